import { createHash, randomUUID } from 'node:crypto';
import {
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { AttemptKey } from '../../core/run/types.ts';
import type { Instant } from '../../core/time.ts';

/** Names an attempt's folder and processes: the same on every replica and at every start. */
export function attemptHash({ runId, step, item, attempt }: AttemptKey): string {
  // A step's own attempts keep the name of before there were items: one that an older controller began is adopted.
  return createHash('sha256')
    .update(JSON.stringify(item < 0 ? [runId, step, attempt] : [runId, step, item, attempt]))
    .digest('hex')
    .slice(0, 40);
}

/** The names of all attempts that have a folder. */
export async function attemptHashes(root: string): Promise<string[]> {
  const names = await readdir(root).catch(orNull);
  return (names ?? []).filter((name) => /^[0-9a-f]{40}$/.test(name));
}

export interface PreparedArtifacts {
  /** Name → path of what is kept when it succeeds. */
  out: Readonly<Record<string, string>>;
  /** Puts what it takes from other steps into a directory; null: nothing. What it throws goes on. */
  bring: ((directory: string) => Promise<void>) | null;
}

/** What the folder says about whoever runs the attempt. */
export type Launcher =
  | { is: 'none' }
  /** Someone has won the right to begin, `since` when; who is not known yet. */
  | { is: 'beginning'; since: Instant }
  | { is: 'known'; pid: number; start: string }
  /** Given up before anything began: nobody may begin it any more. */
  | { is: 'renounced' };

/**
 * One attempt on disk. What every attempt pays for (two directories, two tiny files) is done synchronously: a trip to the
 * thread pool takes several times as long as the call. The launcher writes `started`, `pid`, `log`, `output` and `exit.json`; see
 * launcher.ts.
 */
export class AttemptFolder {
  readonly path: string;
  readonly workDirectory: string;
  readonly log: string;
  readonly output: string;

  constructor(root: string, hash: string) {
    this.path = join(root, hash);
    this.workDirectory = join(this.path, 'work');
    this.log = join(this.path, 'log');
    this.output = join(this.path, 'output');
  }

  exists(): boolean {
    return existsSync(this.path);
  }

  /** False when it is there already. */
  async create(): Promise<boolean> {
    try {
      mkdirSync(this.path, { mode: 0o700 });
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      if (codeOf(error) !== 'ENOENT') throw error;
    }
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    return this.create();
  }

  /**
   * Puts what the step needs into place: its work directory with its own copies of the files, and what must not be
   * shown. The directory appears whole or not at all: a controller killed while copying leaves no half file to run.
   */
  async prepare(
    files: { directory: string; paths: readonly string[] },
    secrets: readonly string[],
    artifacts: PreparedArtifacts,
  ): Promise<void> {
    attempt('EEXIST', () => symlinkSync(files.directory, join(this.path, 'files')));
    if (secrets.length > 0) {
      await writeFile(join(this.path, 'masks'), JSON.stringify(secrets), { mode: 0o600 });
    }
    if (Object.keys(artifacts.out).length > 0) {
      await writeFile(join(this.path, 'artifacts'), JSON.stringify(artifacts.out), { mode: 0o600 });
    }
    if (files.paths.length === 0 && artifacts.bring === null) {
      attempt('EEXIST', () => mkdirSync(this.workDirectory));
      return;
    }
    const staged = join(this.path, `work.${randomUUID()}`);
    await mkdir(staged);
    for (const path of files.paths) {
      const to = join(staged, path);
      if (path.includes('/')) await mkdir(dirname(to), { recursive: true });
      await copyFile(join(files.directory, path), to, constants.COPYFILE_FICLONE);
      await chmod(to, 0o755);
    }
    await artifacts.bring?.(staged);
    await rename(staged, this.workDirectory).catch(async (error: unknown) => {
      if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error;
      await rm(staged, { recursive: true, force: true });
    });
  }

  /** Notes which engine runs its container, whatever its user inside, who must be able to write the outputs. */
  async prepareContainer(engine: string): Promise<void> {
    await writeFile(join(this.path, 'engine'), engine, { mode: 0o600 });
    await writeFile(this.output, '');
    await chmod(this.output, 0o666);
  }

  /** The engine that runs its container; null when it is none. */
  engine(): string | null {
    return attempt('ENOENT', () => readFileSync(join(this.path, 'engine'), 'utf8'));
  }

  /** The directory of its version's files, as `prepare` was given it; null when it was not. */
  filesDirectory(): string | null {
    return attempt('ENOENT', () => readlinkSync(join(this.path, 'files')));
  }

  /** What of it is kept when it succeeds, as `prepare` was told: name → path. */
  artifacts(): Record<string, string> {
    const text = attempt('ENOENT', () => readFileSync(join(this.path, 'artifacts'), 'utf8'));
    return text === null ? {} : (JSON.parse(text) as Record<string, string>);
  }

  /** The secrets this attempt was started with: they may have been changed since. */
  async masks(): Promise<string[]> {
    const text = await readFile(join(this.path, 'masks'), 'utf8').catch(orNull);
    return text === null ? [] : (JSON.parse(text) as string[]);
  }

  async launcher(): Promise<Launcher> {
    const text = await readFile(join(this.path, 'pid'), 'utf8').catch(orNull);
    if (text?.startsWith('renounced')) return { is: 'renounced' };
    const written = text === null ? null : /^(\d+) +(\S.*)\n$/.exec(text);
    if (written) return { is: 'known', pid: Number(written[1]), start: (written[2] ?? '').trim() };
    const started = await stat(join(this.path, 'started')).catch(orNull);
    return started ? { is: 'beginning', since: started.mtimeMs } : { is: 'none' };
  }

  /**
   * Takes away the right to begin from whoever has not used it yet. False when a launcher has written who it is (or is
   * just about to): it runs, or ran.
   */
  async renounce(): Promise<boolean> {
    await mkdir(join(this.path, 'started')).catch(unless('EEXIST'));
    try {
      await writeFile(join(this.path, 'pid'), 'renounced\n', { flag: 'wx', mode: 0o600 });
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return (await this.launcher()).is === 'renounced';
      throw error;
    }
  }

  /** The exit code of the command, null while it has none. */
  exitCode(): number | null {
    const text = attempt('ENOENT', () => readFileSync(join(this.path, 'exit.json'), 'utf8'));
    return text === null ? null : (JSON.parse(text) as { exitCode: number }).exitCode;
  }

  /** When the command ended, by the file system's clock; null while it has not. */
  endedAt(): Instant | null {
    const found = attempt('ENOENT', () => statSync(join(this.path, 'exit.json')));
    return found === null ? null : Math.floor(found.mtimeMs);
  }

  /**
   * Notes that a command which still ran was told to stop: what it ends with is not its own end, for controllers to come,
   * and a launcher that has not begun it does not.
   */
  markStopped(): void {
    try {
      writeFileSync(join(this.path, 'stopped'), '', { mode: 0o600 });
    } catch {
      // On a full disk the end of a stopped command is taken for its own by the next controller; it must be stopped all the same.
    }
  }

  wasStopped(): boolean {
    return existsSync(join(this.path, 'stopped'));
  }

  /** Text of $WINDLASS_OUTPUT; null when it is larger than `limit` bytes. */
  async outputText(limit: number): Promise<string | null> {
    const found = attempt('ENOENT', () => statSync(this.output));
    if (!found?.isFile() || found.size === 0) return '';
    return found.size > limit ? null : readFile(this.output, 'utf8');
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true, maxRetries: 3 });
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** For `catch`: null when the file is not there, any other error goes on. */
function orNull(error: unknown): null {
  if (codeOf(error) === 'ENOENT') return null;
  throw error;
}

/** What `act` returns, or null when it fails in this way. */
function attempt<T>(code: string, act: () => T): T | null {
  try {
    return act();
  } catch (error) {
    if (codeOf(error) !== code) throw error;
    return null;
  }
}

function unless(code: string): (error: unknown) => void {
  return (error) => {
    if (codeOf(error) !== code) throw error;
  };
}
