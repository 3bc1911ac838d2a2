import type { Readable } from 'node:stream';

/**
 * Keeps artifacts by the digest of their content: a directory (or volume), or a bucket. Conformance suite:
 * test/conformance/artifacts.ts. What is there already is not written again.
 */
export interface ArtifactStore {
  /**
   * Reads the stream to its end and keeps it; half-written ones are never seen.
   * @param known awaited once the content is known, before the store looks whether it has it: whoever removes what nobody
   *   refers to is told in time
   * @returns `sha256:` + hex of the bytes, and how many there are
   * @throws ArtifactTooLarge after `maxBytes`; what the stream or `known` threw; when the store cannot be reached
   */
  put(
    content: Readable,
    maxBytes: number,
    known?: (artifact: StoredArtifact) => Promise<void>,
  ): Promise<StoredArtifact>;
  /** The bytes; null when there are none of this digest. @throws when the store cannot be reached */
  get(digest: string): Promise<{ content: Readable; bytes: number } | null>;
  /** Up to `bytes` bytes from `start` on, fewer at the end; null when there is no such artifact. @throws when the store cannot be reached */
  read(digest: string, start: number, bytes: number): Promise<Uint8Array | null>;
  /** Removes what nobody refers to any more; what is not there is no error. @throws when the store cannot be reached */
  delete(digests: readonly string[]): Promise<void>;
}

/** For whoever only reads. */
export type ArtifactReader = Pick<ArtifactStore, 'get' | 'read'>;

export interface StoredArtifact {
  /** `sha256:` + hex. */
  digest: string;
  bytes: number;
}

/** The content is larger than is allowed: the step's mistake, never retried. */
export class ArtifactTooLarge extends Error {
  override name = 'ArtifactTooLarge';
}
