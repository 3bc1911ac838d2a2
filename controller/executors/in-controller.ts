import type { AttemptKey, AttemptResult } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';
import type { ExecutorSink } from '../seams/executor.ts';

/** Attempts that run within the controller: there is nothing to adopt, and they end with it. */
export class InController {
  readonly #sink: ExecutorSink;
  readonly #clock: Clock;
  readonly #lost: () => AbortSignal;
  /** Of the lease that what runs was begun under. */
  #watched: AbortSignal | null = null;
  readonly #live = new Map<string, AbortController>();
  /** How attempts ended, until that is recorded: asked again, they have not to be run again. */
  readonly #ends = new Map<string, { result: AttemptResult; at: Instant }>();
  #closed = false;

  /** `lost`: the signal of the lease as it is now. */
  constructor(sink: ExecutorSink, clock: Clock, lost: () => AbortSignal) {
    this.#sink = sink;
    this.#clock = clock;
    this.#lost = lost;
  }

  /** Runs `work` unless this attempt runs already or has ended, which is reported again. What it returns or throws after it was stopped does not matter. */
  run(key: AttemptKey, work: (stopped: AbortSignal) => Promise<AttemptResult>): void {
    if (this.#closed) throw new Error('the executor is closed');
    this.#watchLease();
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
    this.#abandon();
  }

  #watchLease(): void {
    const lost = this.#lost();
    if (lost.aborted) throw new Error('the lease is lost: nothing begins until there is another');
    if (lost === this.#watched) return;
    this.#watched = lost;
    lost.addEventListener('abort', () => this.#abandon(), { once: true });
  }

  /** Others may run these attempts already: what runs is aborted, and nothing is known of what has ended. */
  #abandon(): void {
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
  return `${key.runId}/${key.step}/${key.item}/${key.attempt}`;
}
