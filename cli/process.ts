import { systemClock } from '../controller/runtime/clock.ts';
import { exitCodes } from './exit.ts';
import type { Io, Output } from './io.ts';
import { main } from './main.ts';

/** Signals closer together than anybody presses a key twice. */
const sameInterruptMs = 250;

/** Runs the command line of this process and ends it: streams, signals and arguments in, exit code out. */
export async function runProcess(): Promise<void> {
  const closed = new Set<() => void>();
  const interrupted = new Set<() => void>();
  const stdout = wrap(process.stdout, () => {
    for (const fn of closed) fn();
  });
  const stderr = wrap(process.stderr, () => {});
  let last = Number.NEGATIVE_INFINITY;
  const interrupt = () => {
    // One Ctrl-C reaches the whole group, and npm and our launcher hand it on besides: that is one, not two.
    const now = systemClock.monotonic();
    if (now - last < sameInterruptMs) return;
    last = now;
    for (const fn of interrupted) fn();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  // A mistake of ours in one corner must not end what runs elsewhere, nor go unseen.
  process.on('unhandledRejection', (error) => stderr.write(`windlass: unexpected error: ${stackOf(error)}\n`));
  process.on('uncaughtException', (error) => {
    stderr.write(`windlass: unexpected error, ending: ${stackOf(error)}\n`);
    process.exit(exitCodes.failed);
  });
  const io: Io = {
    stdout,
    stderr,
    writeBytes: (bytes) =>
      new Promise((resolve) => {
        // A reader that went away ends the command by its signal.
        if (process.stdout.destroyed || process.stdout.write(bytes, () => resolve())) resolve();
      }),
    async readStdin() {
      const chunks: Uint8Array[] = [];
      for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array));
      return Buffer.concat(chunks);
    },
    env: process.env,
    cwd: process.cwd(),
    clock: systemClock,
    onInterrupt: (fn) => register(interrupted, fn),
    onStdoutClosed: (fn) => register(closed, fn),
  };
  const code = await main(process.argv.slice(2), io);
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(code);
}

function register(listeners: Set<() => void>, fn: () => void): () => void {
  listeners.add(fn);
  return () => listeners.delete(fn);
}

/** A pipe or file has no size, and is no terminal. */
type Stream = NodeJS.WritableStream & {
  isTTY?: boolean;
  columns?: number;
  rows?: number;
  destroyed: boolean;
  writableLength: number;
};

/** A reader that went away (`| head`) is no failure of ours. */
function wrap(stream: Stream, onClosed: () => void): Output {
  let open = true;
  stream.on('error', () => {
    if (open) onClosed();
    open = false;
  });
  return {
    write(text) {
      if (open) stream.write(text);
    },
    get isTTY() {
      return stream.isTTY ?? false;
    },
    // a terminal without a size says 0
    get columns() {
      return stream.columns || 80;
    },
    get rows() {
      return stream.rows || 24;
    },
  };
}

/** Resolves when everything written has left the process, or cannot any more. */
function flushed(stream: Stream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve();
    else stream.write('', () => resolve());
  });
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
