import type { Logger } from 'pino';
import type { Clock } from '../seams/clock.ts';
import type { Store } from '../store/types.ts';

export interface LeaderRoundsDependencies {
  store: Pick<Store, 'isLeader'>;
  clock: Clock;
  log: Pick<Logger, 'warn' | 'debug'>;
  everyMs: number;
  /** What is looked at, in the plural: for the log. */
  what: string;
  /** Returns how many it has removed or changed. */
  round(): Promise<number>;
}

export interface LeaderRounds {
  start(): void;
  /** Resolves when no round is under way. */
  stop(): Promise<void>;
}

/** The first round leaves a start alone. */
const firstMs = 60_000;

/** Looks for what has had its time, every so often. The leader's work; a round that fails is made up for by the next. */
export function createLeaderRounds({
  store,
  clock,
  log,
  everyMs,
  what,
  round,
}: LeaderRoundsDependencies): LeaderRounds {
  let cancel = () => {};
  let running: Promise<void> = Promise.resolve();
  let stopped = false;

  function arm(afterMs: number): void {
    if (stopped) return;
    cancel = clock.at(clock.now() + afterMs, () => {
      running = goRound().finally(() => arm(everyMs));
    });
  }

  async function goRound(): Promise<void> {
    if (!store.isLeader()) return;
    try {
      const changed = await round();
      if (changed > 0) log.debug({ changed }, `went over ${what}`);
    } catch (error) {
      if (!stopped) log.warn({ err: error }, `going over ${what} failed; it is tried again`);
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
