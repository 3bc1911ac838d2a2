import type { Logger } from 'pino';
import type { Clock } from '../seams/clock.ts';
import type { Store } from '../store/types.ts';

export interface LeaderRoundsDependencies {
  store: Pick<Store, 'isLeader'>;
  clock: Clock;
  log: Pick<Logger, 'warn' | 'debug'>;
  everyMs: number;
  /** What is removed, in the plural: for the log. */
  what: string;
  /** Returns how many were removed. */
  remove(): Promise<number>;
}

export interface LeaderRounds {
  start(): void;
  /** Resolves when no round is under way. */
  stop(): Promise<void>;
}

/** The first round leaves a start alone. */
const firstMs = 60_000;

/** Removes what has had its time, every so often. The leader's work; a round that fails is made up for by the next. */
export function createLeaderRounds({
  store,
  clock,
  log,
  everyMs,
  what,
  remove,
}: LeaderRoundsDependencies): LeaderRounds {
  let cancel = () => {};
  let running: Promise<void> = Promise.resolve();
  let stopped = false;

  function arm(afterMs: number): void {
    if (stopped) return;
    cancel = clock.at(clock.now() + afterMs, () => {
      running = round().finally(() => arm(everyMs));
    });
  }

  async function round(): Promise<void> {
    if (!store.isLeader()) return;
    try {
      const removed = await remove();
      if (removed > 0) log.debug({ removed }, `${what} were removed`);
    } catch (error) {
      if (!stopped) log.warn({ err: error }, `${what} could not be removed; it is tried again`);
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
