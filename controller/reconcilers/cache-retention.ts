import type { Store } from '../store/types.ts';
import { createLeaderRounds, type LeaderRounds, type LeaderRoundsDependencies } from './leader-rounds.ts';

export interface CacheRetentionDependencies extends Pick<LeaderRoundsDependencies, 'clock' | 'log'> {
  store: Pick<Store, 'cache' | 'isLeader'>;
}

const everyMs = 600_000;
/** Of outputs and artifacts together. */
const limits = { maxBytes: 10 * 1024 ** 3, maxAgeMs: 30 * 24 * 3_600_000 };

/** Removes entries of the step cache by their age, and by what all of them take, every ten minutes. */
export function createCacheRetention(deps: CacheRetentionDependencies): LeaderRounds {
  const round = () => deps.store.cache.evict(limits);
  return createLeaderRounds({ ...deps, everyMs, what: 'entries of the step cache', round });
}
