import type { Executor } from '../seams/executor.ts';
import type { Store } from '../store/types.ts';
import { createLeaderRounds, type LeaderRounds, type LeaderRoundsDependencies } from './leader-rounds.ts';

export interface AttemptSweepsDependencies extends Pick<LeaderRoundsDependencies, 'clock' | 'log'> {
  store: { runs: Pick<Store['runs'], 'openAttempts'>; isLeader: Store['isLeader'] };
  executor: Pick<Executor, 'sweep'>;
}

const everyMs = 15 * 60_000;

/**
 * Removes every fifteen minutes what attempts have left behind and nobody came to remove: a replica that ends leaves what it
 * was about to, and the files of versions that no step uses any more are nobody's.
 */
export function createAttemptSweeps({ store, executor, clock, log }: AttemptSweepsDependencies): LeaderRounds {
  async function round(): Promise<number> {
    await executor.sweep(() => store.runs.openAttempts());
    return 0;
  }
  return createLeaderRounds({ store, clock, log, everyMs, what: 'what attempts have left', round });
}
