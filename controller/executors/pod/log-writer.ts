import type { AttemptKey } from '../../core/run/types.ts';
import { type Clock, pause } from '../../seams/clock.ts';
import type { LogSink } from '../../seams/executor.ts';
import { Masker } from '../masking.ts';

const chunkBytes = 64 * 1024;
/** What may wait for a slow store before reading the log waits, too. */
const pendingBytes = 1024 * 1024;
/** Lines that come within this are stored together. */
const gatherMs = 100;
const retryMs = 1000;
/** How much of the end is kept to find the last line in. */
const endBytes = 2048;

export interface LogWriterOptions {
  key: AttemptKey;
  sink: LogSink;
  secrets: readonly string[];
  /** First position that is not stored yet: what lies before it was handed on by another controller. */
  from: number;
  /** Most bytes to hand on; a notice then says that it was cut. */
  limit: number;
  clock: Clock;
  /** Aborted when nobody wants the log any more: nothing is handed on after that. */
  released: AbortSignal;
}

/** Hands a log on to the store, masked, in pieces, at positions that depend on the bytes alone. */
export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #masker: Masker;
  #pending: Buffer[] = [];
  #waiting = 0;
  /** Bytes shown so far, those that wait included. */
  #shown = 0;
  #cut = false;
  #end: Buffer = Buffer.alloc(0);
  #flushing: Promise<void> | null = null;
  #hurry = new AbortController();

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#masker = new Masker(options.secrets);
  }

  /** Takes what is to be shown next. Waits while the store is slow. */
  async push(bytes: Buffer): Promise<void> {
    if (bytes.length > 0) this.#show(this.#masker.push(bytes));
    if (this.#waiting > pendingBytes) await this.#flushing;
  }

  /** A line of our own; it begins on a line of its own. */
  notice(text: string): void {
    const newLine = this.#end.length === 0 || this.#end.at(-1) === 10 ? '' : '\n';
    this.#show(Buffer.from(`${newLine}[windlass] ${text}\n`));
  }

  /** Resolves when everything is stored. Returns the last line that is not empty, null when there is none or the log was cut. */
  async finish(): Promise<string | null> {
    this.#show(this.#masker.end());
    this.#hurry.abort();
    while (this.#flushing) await this.#flushing;
    if (this.#cut) return null;
    const lines = this.#end.toString().split('\n');
    return lines.findLast((line) => line.trim() !== '') ?? null;
  }

  #show(bytes: Buffer): void {
    if (this.#cut || bytes.length === 0) return;
    const { limit } = this.#options;
    const room = limit - this.#shown;
    this.#queue(bytes.subarray(0, Math.max(0, room)));
    if (bytes.length <= room) return;
    this.#cut = true;
    this.#queue(Buffer.from(`\n[windlass] the log is cut here after ${limit} bytes; the step runs on\n`));
  }

  #queue(bytes: Buffer): void {
    const position = this.#shown;
    this.#shown += bytes.length;
    this.#end = Buffer.concat([this.#end, bytes.subarray(-endBytes)]).subarray(-endBytes);
    const fresh = bytes.subarray(Math.max(0, this.#options.from - position));
    if (fresh.length === 0) return;
    this.#pending.push(Buffer.from(fresh));
    this.#waiting += fresh.length;
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = null;
    });
  }

  async #flush(): Promise<void> {
    const { clock, released } = this.#options;
    while (this.#pending.length > 0 && !released.aborted) {
      if (this.#waiting < chunkBytes) await pause(clock, gatherMs, AbortSignal.any([released, this.#hurry.signal]));
      const bytes = Buffer.concat(this.#pending);
      const position = this.#shown - bytes.length;
      this.#pending = [];
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        await this.#append(position + at, bytes.subarray(at, at + chunkBytes));
      }
      this.#waiting -= bytes.length;
    }
  }

  /** The store may be slow or away for a while; an end is reported only after its log, so this waits with it. */
  async #append(position: number, bytes: Buffer): Promise<void> {
    const { key, sink, clock, released } = this.#options;
    while (!released.aborted) {
      try {
        return await sink.append(key, position, Uint8Array.from(bytes));
      } catch {
        await pause(clock, retryMs, released);
      }
    }
  }
}
