import type { AttemptKey } from '../core/run/types.ts';
import { type Clock, pause } from '../seams/clock.ts';
import type { LogSink } from '../seams/executor.ts';
import { logPieceBytes } from '../seams/limits.ts';

/** The store, and whatever else a log is given to, is asked again after this when it does not take it. */
export const retryMs = 1000;
/** How much of the end is kept to find the last line in. */
const endBytes = 2048;

export interface LogHandoverOptions {
  key: AttemptKey;
  sink: LogSink;
  /** First position that is not stored yet: what lies before it was handed on by another controller. */
  from: number;
  clock: Clock;
  /** Aborted when nobody wants the log any more: nothing is handed on after that. */
  released: AbortSignal;
}

/** Hands a log, as it is shown, on to the store in pieces, and knows how it ends. */
export class LogHandover {
  readonly #options: LogHandoverOptions;
  #end: Buffer = Buffer.alloc(0);

  constructor(options: LogHandoverOptions) {
    this.#options = options;
  }

  /** Resolves when the store has what is new of `bytes`, which may be used again then. */
  async give(position: number, bytes: Buffer): Promise<void> {
    const { key, sink, from } = this.#options;
    for (let at = Math.max(0, from - position); at < bytes.length; at += logPieceBytes) {
      // A copy: the sink may keep it for longer.
      const piece = Uint8Array.from(bytes.subarray(at, at + logPieceBytes));
      await this.untilTaken(() => sink.append(key, position + at, piece));
    }
  }

  /** The store may be slow or away for a while; an end is reported only after its log, so this waits with it. */
  async untilTaken(give: () => Promise<void>): Promise<void> {
    const { clock, released } = this.#options;
    while (!released.aborted) {
      try {
        return await give();
      } catch {
        await pause(clock, retryMs, released);
      }
    }
  }

  /** Says what is shown next, whether it is stored or not. */
  remember(bytes: Buffer): void {
    this.#end = Buffer.concat([this.#end, bytes.subarray(-endBytes)]).subarray(-endBytes);
  }

  /** Whether what is shown next begins a line. */
  atLineStart(): boolean {
    return this.#end.length === 0 || this.#end.at(-1) === 10;
  }

  /** The last line that is not empty, nor one that says nothing; null when there is none. */
  lastLine(saysNothing?: RegExp): string | null {
    const lines = this.#end.toString().split('\n');
    return lines.findLast((line) => line.trim() !== '' && !saysNothing?.test(line))?.trim() ?? null;
  }
}
