import type { Clock } from '../controller/seams/clock.ts';

/** A stream that people or programs read. */
export interface Output {
  /** Never throws and never waits; what a reader that went away would have got is dropped. */
  write(text: string): void;
  readonly isTTY: boolean;
  /** Width and height of the terminal. */
  readonly columns: number;
  readonly rows: number;
}

/** Everything of the process that a command may use. */
export interface Io {
  stdout: Output;
  stderr: Output;
  /** Writes to standard output as it is; waits while its reader is slower. */
  writeBytes(bytes: Uint8Array): Promise<void>;
  /** All of standard input. */
  readStdin(): Promise<Uint8Array>;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  clock: Clock;
  /** Calls back at each Ctrl-C and SIGTERM. Returns a stop function. */
  onInterrupt(fn: () => void): () => void;
  /** Calls back when the reader of stdout went away. Returns a stop function. */
  onStdoutClosed(fn: () => void): () => void;
}

/** One invocation. */
export interface Cli {
  io: Io;
  /** Aborts at the first Ctrl-C, and when nobody reads stdout any more; the reason is the exit code of that. */
  signal: AbortSignal;
  /** What the process will end with. */
  exitCode: number;
}
