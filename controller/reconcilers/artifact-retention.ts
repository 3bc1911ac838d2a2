import type { ArtifactStore } from '../seams/artifacts.ts';
import type { Store } from '../store/types.ts';
import { createLeaderRounds, type LeaderRounds, type LeaderRoundsDependencies } from './leader-rounds.ts';

export interface ArtifactRetentionDependencies extends Pick<LeaderRoundsDependencies, 'clock' | 'log'> {
  store: Pick<Store, 'artifacts' | 'isLeader'>;
  artifacts: Pick<ArtifactStore, 'delete'>;
  /** Milliseconds that artifacts are kept after the end of their run. */
  keptMs: number;
}

const everyMs = 3_600_000;

/** Removes artifacts that neither a run nor the cache refers to any more, once an hour. */
export function createArtifactRetention({ artifacts, keptMs, ...deps }: ArtifactRetentionDependencies): LeaderRounds {
  return createLeaderRounds({
    ...deps,
    everyMs,
    what: 'artifacts that nobody refers to',
    round: () => deps.store.artifacts.sweep({ keptMs, remove: (digests) => artifacts.delete(digests) }),
  });
}
