import type { JsonObject } from '../../crds/json.ts';
import type { ArtifactRef, RunAction } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';

/** Who asks the cache: a unit of a run. */
export type LookUp = Omit<Extract<RunAction, { type: 'LookUp' }>, 'type'> & { workflow: string };
export type CacheFill = Omit<Extract<RunAction, { type: 'Fill' }>, 'type'>;

/** Wait: another unit makes the entry. Listen by `onFill` before asking, and ask again then and every few seconds. */
export type CacheAnswer =
  | { type: 'hit'; outputs: JsonObject; artifacts: Record<string, ArtifactRef> }
  | { type: 'fill' }
  | { type: 'wait' };

/** An entry, without what it holds. */
export interface CacheEntry {
  key: string;
  parts: Record<string, string>;
  filledAt: Instant;
  expiresAt: Instant;
  usedAt: Instant;
  bytes: number;
  imageId: string | null;
}

/** Results of steps, by what they were made of. */
export interface StepCache {
  /** An entry that is good now; or this unit is the one to make it (also when it asks again); or another unit is. */
  lookUp(request: LookUp): Promise<CacheAnswer>;
  /** Keeps a result, and tells those who wait for it. */
  fill(entry: CacheFill): Promise<void>;
  /** Calls back when something may have been filled (here at once, elsewhere within 2 s). Returns a stop function. */
  onFill(fn: () => void): () => void;
  /** The newest entries of a step, to compare what they were made of. */
  entries(namespace: string, workflow: string, step: string, limit: number): Promise<CacheEntry[]>;
  /**
   * Removes what has expired or was not used for `maxAgeMs`, then what was used longest ago until the rest takes at most
   * `maxBytes`. Returns how many entries were removed.
   */
  evict(limits: { maxBytes: number; maxAgeMs: number }): Promise<number>;
}
