import { createHash } from 'node:crypto';
import type { ArtifactStore, StoredArtifact } from '../seams/artifacts.ts';
import type { Clock } from '../seams/clock.ts';
import { createArtifactDirectory } from './directory.ts';
import type { ArtifactLocation } from './location.ts';
import { createS3Artifacts } from './s3.ts';
import type { S3Credentials } from './credentials.ts';

/** What a home wants of its artifacts. */
export interface ArtifactSettings {
  location: ArtifactLocation;
  /** For a bucket; null: there are none. */
  credentials: S3Credentials | null;
  /** Most bytes of one artifact. */
  maxBytes: number;
  /** Milliseconds that artifacts are kept after the end of their run; null: for good. */
  keptMs: number | null;
}

/** Where nobody says otherwise. */
export const defaultArtifacts: Omit<ArtifactSettings, 'location'> = {
  credentials: null,
  maxBytes: 1024 ** 3,
  keptMs: 30 * 24 * 3_600_000,
};

export interface OpenArtifactsOptions {
  /** In a bucket each home has keys of its own, so that none removes what another keeps. */
  home: string;
  /** Folder for what is on its way to a bucket. */
  spools: string;
  clock: Clock;
  /** Told what is about to be kept, before it is. */
  note(artifacts: StoredArtifact[]): Promise<void>;
}

/** The artifacts of a home. Nothing is reached before the first use. @throws Error when a bucket has no credentials */
export function openArtifacts(
  { location, credentials, maxBytes: largest }: ArtifactSettings,
  options: OpenArtifactsOptions,
): ArtifactStore {
  const { home, spools, clock, note } = options;
  const store = open();
  return {
    put: (content, maxBytes, known = async () => {}) =>
      store.put(content, maxBytes, async (artifact) => {
        await note([artifact]);
        await known(artifact);
      }),
    get: (digest) => store.get(digest),
    read: (digest, start, bytes) => store.read(digest, start, bytes),
    delete: (digests) => store.delete(digests),
  };

  function open(): ArtifactStore {
    if (location.kind === 'directory') return createArtifactDirectory(location.path, clock);
    if (credentials === null) {
      throw new Error('a bucket for artifacts needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment');
    }
    const own = createHash('sha256').update(home).digest('hex').slice(0, 16);
    return createS3Artifacts({
      ...location,
      prefix: `${location.prefix}${own}/`,
      credentials,
      spools,
      clock,
      maxBytes: largest,
    });
  }
}
