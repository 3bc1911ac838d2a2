import type { AttemptKey, AttemptResult } from '../core/run/types.ts';
import type { Clock } from '../seams/clock.ts';
import type { ExecutorSink } from '../seams/executor.ts';

/** Attempts that run within the controller: there is nothing to adopt, and they end with it. */
export class InController {
  readonly #sink: ExecutorSink;
  readonly #clock: Clock;
  readonly #live = new Map<string, AbortController>();
  #closed = false;

  constructor(sink: ExecutorSink, clock: Clock) {
    this.#sink = sink;
    this.#clock = clock;
  }

  /** Runs `work` unless this attempt runs already. What it returns or throws after it was stopped does not matter. */
  run(key: AttemptKey, work: (stopped: AbortSignal) => Promise<AttemptResult>): void {
    if (this.#closed) throw new Error('the executor is closed');
    const id = idOf(key);
    if (this.#live.has(id)) return;
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

  /** Reports Stopped at once; what still runs is aborted and its result dropped. */
  stop(key: AttemptKey): void {
    const stopping = this.#live.get(idOf(key)) ?? new AbortController();
    this.#end(key, stopping, { outcome: 'Stopped' });
    stopping.abort();
  }

  close(): void {
    this.#closed = true;
    for (const stopping of this.#live.values()) stopping.abort();
    this.#live.clear();
  }

  #end(key: AttemptKey, stopping: AbortController, result: AttemptResult): void {
    if (stopping.signal.aborted) return;
    const id = idOf(key);
    if (this.#live.get(id) === stopping) this.#live.delete(id);
    this.#sink.ended(key, result, this.#clock.now());
  }
}

function idOf(key: AttemptKey): string {
  return `${key.runId}/${key.step}/${key.attempt}`;
}
