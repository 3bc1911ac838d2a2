import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';
import { TerminalError } from './errors.ts';

/** When to reconcile again though nothing happens; null: only when something does. */
export interface Requeue {
  requeueAt: Instant | null;
}

export interface LoopOptions {
  /** Shown in logs and metrics. */
  name: string;
  clock: Clock;
  /** Keys that may be reconciled at once; one key never is twice. */
  concurrency: number;
  reconcile(key: string): Promise<Requeue>;
  /** Called after every reconcile; `error` when it threw. */
  observe?(result: { key: string; seconds: number; error: unknown; failures: number; terminal: boolean }): void;
  /** Spread of the backoff, 0 to 1; tests pass a constant. Default Math.random. */
  random?: () => number;
}

export interface Loop {
  /** Reconcile this key soon. Any number of calls before it begins are one. */
  enqueue(key: string): void;
  /** Forgets timers and failures of a key. */
  forget(key: string): void;
  /** Keys waiting or running now. */
  depth(): number;
  /** Resolves when nothing is waiting to run now and nothing runs (timers may still be set). For tests and shutdown. */
  idle(): Promise<void>;
  /** Takes nothing new and waits for what runs. */
  stop(): Promise<void>;
}

const firstBackoffMs = 100;
const longestBackoffMs = 60_000;

/** Exponential with ±20 % spread, so that many keys that failed together do not come back together. */
export function backoffMs(failures: number, random: number): number {
  const pause = Math.min(longestBackoffMs, firstBackoffMs * 2 ** Math.min(failures - 1, 20));
  return pause * (0.8 + 0.4 * random);
}

/**
 * The one generic loop: a key is reconciled, never an event. It has three ends: done, `requeueAt`, or thrown (backoff;
 * TerminalError is not retried). A key enqueued while it is reconciled runs once more afterwards.
 */
export function createLoop(options: LoopOptions): Loop {
  const { clock, reconcile } = options;
  const random = options.random ?? Math.random;
  const waiting = new Set<string>();
  const running = new Set<string>();
  const again = new Set<string>();
  const timers = new Map<string, () => void>();
  const failures = new Map<string, number>();
  let idlers: (() => void)[] = [];
  let stopped = false;

  function enqueue(key: string): void {
    if (stopped) return;
    cancelTimer(key);
    if (running.has(key)) again.add(key);
    else if (!waiting.has(key)) {
      waiting.add(key);
      pump();
    }
  }

  function cancelTimer(key: string): void {
    timers.get(key)?.();
    timers.delete(key);
  }

  function pump(): void {
    for (const key of waiting) {
      if (running.size >= options.concurrency) return;
      waiting.delete(key);
      running.add(key);
      void run(key);
    }
  }

  async function run(key: string): Promise<void> {
    const begun = clock.monotonic();
    let requeueAt: Instant | null = null;
    let error: unknown = null;
    try {
      ({ requeueAt } = await reconcile(key));
      failures.delete(key);
    } catch (thrown) {
      error = thrown;
      const count = (failures.get(key) ?? 0) + 1;
      failures.set(key, count);
      if (!(thrown instanceof TerminalError)) requeueAt = clock.now() + backoffMs(count, random());
    }
    observe(key, begun, error);
    running.delete(key);
    if (again.delete(key)) {
      // What arrived while a failing reconcile ran must not turn its backoff into a busy loop.
      if (error === null) waiting.add(key);
      else if (requeueAt === null) requeueAt = clock.now();
    }
    if (!stopped && requeueAt !== null && !waiting.has(key)) schedule(key, requeueAt);
    if (!stopped) pump();
    if (running.size === 0 && (stopped || waiting.size === 0)) {
      const resolve = idlers;
      idlers = [];
      for (const fn of resolve) fn();
    }
  }

  /** Figures and log lines are not worth a key: whatever goes wrong with them, it goes on. */
  function observe(key: string, begun: number, error: unknown): void {
    try {
      options.observe?.({
        key,
        seconds: (clock.monotonic() - begun) / 1000,
        error,
        failures: failures.get(key) ?? 0,
        terminal: error instanceof TerminalError,
      });
    } catch (thrown) {
      // The logger may be what fails, so not by it.
      process.emitWarning(`the observer of ${options.name} threw at ${key}: ${String(thrown)}`);
    }
  }

  function schedule(key: string, at: Instant): void {
    timers.set(
      key,
      clock.at(at, () => {
        timers.delete(key);
        enqueue(key);
      }),
    );
  }

  function idle(): Promise<void> {
    if (running.size === 0 && (stopped || waiting.size === 0)) return Promise.resolve();
    return new Promise((resolve) => idlers.push(resolve));
  }

  return {
    enqueue,
    forget(key) {
      cancelTimer(key);
      failures.delete(key);
    },
    depth: () => waiting.size + running.size,
    idle,
    stop() {
      stopped = true;
      for (const cancel of timers.values()) cancel();
      timers.clear();
      waiting.clear();
      return idle();
    },
  };
}
