import type { Readable } from 'node:stream';

/**
 * Keeps artifacts by the digest of their content: a directory, a bucket, or a volume. Conformance suite:
 * test/conformance/artifacts.ts. What is there already is not written again.
 */
export interface ArtifactStore {
  /**
   * Reads the stream to its end and keeps it; half-written ones are never seen.
   * @returns `sha256:` + hex of the bytes, and how many there are
   * @throws ArtifactTooLarge after `maxBytes`; when the store cannot be reached
   */
  put(content: Readable, maxBytes: number): Promise<{ digest: string; bytes: number }>;
  /** The bytes; null when there are none of this digest. @throws when the store cannot be reached */
  get(digest: string): Promise<{ content: Readable; bytes: number } | null>;
  /** Removes what nobody refers to any more; what is not there is no error. */
  delete(digests: string[]): Promise<void>;
}

/** The content is larger than is allowed: the step's mistake, never retried. */
export class ArtifactTooLarge extends Error {
  override name = 'ArtifactTooLarge';
}
