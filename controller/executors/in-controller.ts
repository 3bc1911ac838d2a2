import type { AttemptKey, AttemptResult } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';
import type { ExecutorSink } from '../seams/executor.ts';

/** Attempts that run within the controller: there is nothing to adopt, and they end with it. */
export class InController {
  readonly #sink: ExecutorSink;
  readonly #clock: Clock;
  readonly #live = new Map<string, AbortController>();
  /** How attempts ended, until that is recorded: asked again, they have not to be run again. */
  readonly #ends = new Map<string, { result: AttemptResult; at: Instant }>();
  #closed = false;

  constructor(sink: ExecutorSink, clock: Clock) {
    this.#sink = sink;
    this.#clock = clock;
  }

  /** Runs `work` unless this attempt runs already or has ended, which is reported again. What it returns or throws after it was stopped does not matter. */
  run(key: AttemptKey, work: (stopped: AbortSignal) => Promise<AttemptResult>): void {
    if (this.#closed) throw new Error('the executor is closed');
    const id = idOf(key);
    if (this.#live.has(id) || this.#reportAgain(key)) return;
    const stopping = new AbortController();
    this.#live.set(id, stopping);
    work(stopping.signal).then(
      (result) => this.#end(key, stopping, result),
      (error: unknown) => {
        // The world failed (secrets or files could not be read): an infrastructure error has retries of its own.
        const message = error instanceof Error ? error.message : String(error);
        this.#end(key, stopping, {
          outcome: 'Failed',
          error: { type: 'infrastructure/controller', message, retryable: true },
        });
      },
    );
  }

  /** Reports Stopped at once, and what still runs is aborted and its result dropped; one that has ended is reported again. */
  stop(key: AttemptKey): void {
    if (this.#reportAgain(key)) return;
    const stopping = this.#live.get(idOf(key));
    if (!stopping) return this.#sink.ended(key, { outcome: 'Stopped' }, this.#clock.now());
    this.#end(key, stopping, { outcome: 'Stopped' });
    stopping.abort();
  }

  /** The end of this attempt is recorded. */
  forget(key: AttemptKey): void {
    this.#ends.delete(idOf(key));
  }

  close(): void {
    this.#closed = true;
    for (const stopping of this.#live.values()) stopping.abort();
    this.#live.clear();
    this.#ends.clear();
  }

  #reportAgain(key: AttemptKey): boolean {
    const end = this.#ends.get(idOf(key));
    if (end) this.#sink.ended(key, end.result, end.at);
    return end !== undefined;
  }

  #end(key: AttemptKey, stopping: AbortController, result: AttemptResult): void {
    if (stopping.signal.aborted) return;
    const at = this.#clock.now();
    this.#live.delete(idOf(key));
    this.#ends.set(idOf(key), { result, at });
    this.#sink.ended(key, result, at);
  }
}

function idOf(key: AttemptKey): string {
  return `${key.runId}/${key.step}/${key.attempt}`;
}
