import type { Instant } from '../core/time.ts';

/** Time, handed in. The real one is runtime/clock.ts; tests turn a virtual one by hand. */
export interface Clock {
  /** Wall clock, ms since the epoch. */
  now(): Instant;
  /** Monotonic ms, for measuring spans and leases; its zero means nothing. */
  monotonic(): number;
  /** Calls `fn` once at or after `at`. The returned function cancels it. */
  at(at: Instant, fn: () => void): () => void;
}

/** Resolves after `ms`, or at once when the signal aborts. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.at(clock.now() + ms, done);
    signal.addEventListener('abort', done);
  });
}
