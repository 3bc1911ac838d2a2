import type { Logger } from 'pino';
import type { Clock } from '../seams/clock.ts';
import type { Store } from '../store/types.ts';

export interface CacheRetentionDependencies {
  store: Pick<Store, 'cache' | 'isLeader'>;
  clock: Clock;
  log: Pick<Logger, 'warn' | 'debug'>;
}

const everyMs = 600_000;
/** The first look leaves a start alone. */
const firstMs = 60_000;
/** Of outputs and artifacts together. */
const limits = { maxBytes: 10 * 1024 ** 3, maxAgeMs: 30 * 24 * 3_600_000 };

/** Removes entries of the step cache by their age, and by what all of them take. The leader's work. */
export function createCacheRetention({ store, clock, log }: CacheRetentionDependencies): {
  start(): void;
  stop(): Promise<void>;
} {
  let cancel = () => {};
  let running: Promise<void> = Promise.resolve();
  let stopped = false;

  function arm(afterMs: number): void {
    if (stopped) return;
    cancel = clock.at(clock.now() + afterMs, () => {
      running = look().finally(() => arm(everyMs));
    });
  }

  async function look(): Promise<void> {
    if (!store.isLeader()) return;
    try {
      const removed = await store.cache.evict(limits);
      if (removed > 0) log.debug({ removed }, 'entries of the step cache were removed');
    } catch (error) {
      if (!stopped) log.warn({ err: error }, 'entries of the step cache could not be removed; it is tried again');
    }
  }

  return {
    start: () => arm(firstMs),
    async stop() {
      stopped = true;
      cancel();
      await running;
    },
  };
}
