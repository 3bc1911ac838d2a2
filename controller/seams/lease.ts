/**
 * The right of this replica to write and to begin things. PGlite has one process and a lease that never ends. A lost one
 * never holds again: the store takes another, and what was claimed under the old one is dropped and claimed anew.
 */
export interface Lease {
  /** Identity of this replica while it has this lease; unique. */
  readonly replica: string;
  /** Ms left on the local monotonic clock; Infinity on PGlite. Side effects begin only with ≥2,000 left. */
  remainingMs(): number;
  /** Aborted when the lease is lost; in-controller work stops and its result is discarded. */
  readonly lost: AbortSignal;
}

/** The commit's fence did not match: another replica owns the run or the leadership now. Drop state and actions. */
export class FenceLost extends Error {
  override name = 'FenceLost';
}
