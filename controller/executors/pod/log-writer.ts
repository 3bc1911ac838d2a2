import { pause } from '../../seams/clock.ts';
import { logPieceBytes } from '../../seams/limits.ts';
import { LogHandover, type LogHandoverOptions } from '../log-handover.ts';
import { Masker } from '../masking.ts';

/** What may wait for a slow store before reading the log waits, too. */
const pendingBytes = 1024 * 1024;
/** Lines that come within this are stored together. */
const gatherMs = 100;

export interface LogWriterOptions extends LogHandoverOptions {
  secrets: readonly string[];
  /** Most bytes to hand on; a notice then says that it was cut. */
  limit: number;
}

/** Hands a log on to the store, masked, in pieces, at positions that depend on the bytes alone. */
export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #masker: Masker;
  readonly #handover: LogHandover;
  #pending: Buffer[] = [];
  #waiting = 0;
  /** Bytes shown so far, those that wait included. */
  #shown = 0;
  #cut = false;
  #flushing: Promise<void> | null = null;
  #hurry = new AbortController();

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#masker = new Masker(options.secrets);
    this.#handover = new LogHandover(options);
  }

  /** Takes what is to be shown next. Waits while the store is slow. */
  async push(bytes: Buffer): Promise<void> {
    if (bytes.length > 0) this.#show(this.#masker.push(bytes));
    if (this.#waiting > pendingBytes) await this.#flushing;
  }

  /** A line of our own; it begins on a line of its own. */
  notice(text: string): void {
    this.#show(Buffer.from(`${this.#handover.atLineStart() ? '' : '\n'}[windlass] ${text}\n`));
  }

  /** Resolves when everything is stored. Returns the last line that is not empty, null when there is none or the log was cut. */
  async finish(): Promise<string | null> {
    this.#show(this.#masker.end());
    this.#hurry.abort();
    while (this.#flushing) await this.#flushing;
    return this.#cut ? null : this.#handover.lastLine();
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
    this.#shown += bytes.length;
    this.#handover.remember(bytes);
    if (bytes.length === 0) return;
    this.#pending.push(Buffer.from(bytes));
    this.#waiting += bytes.length;
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = null;
    });
  }

  async #flush(): Promise<void> {
    const { clock, released } = this.#options;
    while (this.#pending.length > 0 && !released.aborted) {
      if (this.#waiting < logPieceBytes) await pause(clock, gatherMs, AbortSignal.any([released, this.#hurry.signal]));
      const bytes = Buffer.concat(this.#pending);
      const position = this.#shown - bytes.length;
      this.#pending = [];
      await this.#handover.give(position, bytes);
      this.#waiting -= bytes.length;
    }
  }
}
