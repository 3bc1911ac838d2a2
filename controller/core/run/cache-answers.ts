import { awaitsCache, takeCached } from './cached.ts';
import { type Draft, takeTurn } from './draft.ts';
import { askLocks } from './locks.ts';
import { findUnit } from './state.ts';
import type { RunObservation } from './types.ts';

/** The cache has answered: a unit ends with the entry, or goes on to do itself what the cache does not have. */
export function askCacheAnswered(
  draft: Draft,
  answer: Extract<RunObservation, { type: 'CacheHit' | 'CacheMiss' }>,
): void {
  const unit = findUnit(draft.plan, draft.state, answer.step, answer.item);
  if (unit === undefined || !awaitsCache(unit, answer.key)) return;
  if (answer.type === 'CacheHit' && takeCached(draft, unit, answer)) return;
  if (!askLocks(draft, unit)) takeTurn(draft, unit);
}
