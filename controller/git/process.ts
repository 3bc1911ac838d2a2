import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { GitError } from './errors.ts';

export interface GitCommand {
  args: readonly string[];
  /** The whole environment of the child. */
  env: Readonly<Record<string, string>>;
  /** Ms until the process group is ended. */
  timeoutMs: number;
  /** Bytes of stdout until the process group is ended. */
  maxOutputBytes: number;
  /** Bytes that one file written by git may have (a pack, in a fetch). */
  maxFileBytes?: number;
  stdin?: string;
}

export interface GitResult {
  /** Null when a signal ended git. */
  code: number | null;
  stdout: Buffer;
  stderr: string;
  /** Which limit made us end it. */
  exceeded: 'time' | 'output' | 'file' | null;
}

/** Runs git commands and can end all that still run. */
export interface GitProcesses {
  /** Resolves however git ended; @throws GitError when it cannot be started at all. */
  run(command: GitCommand): Promise<GitResult>;
  /** Ends what runs, and waits for it; nothing begins any more. */
  close(): Promise<void>;
}

const killAfterMs = 2_000;
const pipesAfterExitMs = 1_000;
const maxStderrBytes = 64 * 1024;
/** Many refs may be asked about at once; more gits than this only wait for each other's processor. */
const maxRunning = 8;

/**
 * Each git gets a process group and session of its own: its helpers (ssh, git-remote-https, index-pack) end with it, and
 * none of them finds a terminal to ask for a password on.
 */
export function createGitProcesses(): GitProcesses {
  const running = new Map<() => void, Promise<unknown>>();
  const queue: (() => void)[] = [];
  let free = maxRunning;
  let closing = false;

  async function run(command: GitCommand): Promise<GitResult> {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => queue.push(resolve));
    try {
      return await launch(command);
    } finally {
      const next = queue.shift();
      if (next) next();
      else free++;
    }
  }

  async function launch(command: GitCommand): Promise<GitResult> {
    if (closing) throw new GitError('The repository was closed; the controller is stopping.');
    const { file, args } = withFileLimit(command);
    const child = spawn(file, args, { env: { ...command.env }, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let stdoutBytes = 0;
    let stderrBytes = 0;
    let exceeded: GitResult['exceeded'] = null;
    let closed = false;

    function signalGroup(signal: NodeJS.Signals): void {
      if (closed || child.pid === undefined) return;
      try {
        process.kill(-child.pid, signal);
      } catch {
        // The group is gone already.
      }
    }
    // Politely first: on SIGTERM git removes its lock files and half-written packs.
    function end(): void {
      signalGroup('SIGTERM');
      setTimeout(() => signalGroup('SIGKILL'), killAfterMs).unref();
    }
    function exceed(limit: NonNullable<GitResult['exceeded']>): void {
      exceeded ??= limit;
      end();
    }

    const finished = new Promise<GitResult>((resolve, reject) => {
      const timer = setTimeout(() => exceed('time'), command.timeoutMs);
      child.on('error', (cause: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        reject(new GitError(cannotStart(cause), { cause }));
      });
      // Out of file descriptors it has no streams, and the error comes in a moment.
      if ((child.stdout as Readable | undefined) === undefined) return;
      child.stdout.on('data', (chunk: Buffer) => {
        stdoutBytes += chunk.length;
        if (stdoutBytes > command.maxOutputBytes) return exceed('output');
        stdout.push(chunk);
      });
      child.stderr.on('data', (chunk: Buffer) => {
        stderrBytes += chunk.length;
        stderr.push(chunk);
        while (stderrBytes > maxStderrBytes && stderr.length > 1) stderrBytes -= stderr.shift()?.length ?? 0;
      });
      // git may end before it has read all of it (EPIPE); its exit code says what happened.
      child.stdin.on('error', () => {});
      child.stdin.end(command.stdin ?? '');
      // A background ssh (ControlPersist) keeps our pipes open for minutes after git has ended.
      child.on('exit', () => {
        setTimeout(() => {
          child.stdout.destroy();
          child.stderr.destroy();
        }, pipesAfterExitMs).unref();
      });
      child.on('close', (code) => {
        closed = true;
        clearTimeout(timer);
        const said = Buffer.concat(stderr).toString('utf8');
        if (command.maxFileBytes !== undefined && /File too large/.test(said)) exceeded ??= 'file';
        resolve({ code, stdout: Buffer.concat(stdout), stderr: said, exceeded });
      });
    });
    const settled = finished.then(
      () => running.delete(end),
      () => running.delete(end),
    );
    running.set(end, settled);
    return finished;
  }

  async function close(): Promise<void> {
    closing = true;
    for (const end of running.keys()) end();
    await Promise.all(running.values());
  }

  return { run, close };
}

function cannotStart({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return 'Cannot start git. Install git 2.31 or newer and have it on the PATH.';
  return `Cannot start git: ${message}. The machine may be out of processes, files or memory.`;
}

/**
 * git has no limit of its own on what it fetches, so the kernel's is used, in the 512-byte blocks of POSIX. Its signal is
 * ignored: then git sees a failed write and says so, instead of dying without a word.
 */
function withFileLimit(command: GitCommand): { file: string; args: string[] } {
  if (command.maxFileBytes === undefined) return { file: 'git', args: [...command.args] };
  const blocks = String(Math.ceil(command.maxFileBytes / 512));
  return {
    file: '/bin/sh',
    args: ['-c', 'trap "" XFSZ; ulimit -f "$1"; shift; exec git "$@"', 'sh', blocks, ...command.args],
  };
}
