import type { ArtifactRef, StepError } from '../../core/run/types.ts';
import { type ArtifactStore, ArtifactTooLarge } from '../../seams/artifacts.ts';
import { collect } from './collect.ts';
import { place } from './place.ts';
import { ArtifactRefused } from './refused.ts';

/** Where the artifacts of steps are kept, and how large one may be. */
export interface ArtifactOptions {
  store: Pick<ArtifactStore, 'put' | 'get'>;
  maxBytes: number;
}

/**
 * Puts artifacts (path → what is kept) into a work directory that nothing runs in yet.
 * @returns null, or why a step cannot have them
 * @throws when the store or the disk failed: it may be tried again
 */
export async function bring(
  { store }: ArtifactOptions,
  workDirectory: string,
  wanted: Readonly<Record<string, ArtifactRef>>,
): Promise<StepError | null> {
  try {
    // In the order of their paths, so that a folder is there before what goes into it.
    for (const [path, ref] of Object.entries(wanted).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const found = await store.get(ref.digest);
      if (found === null) {
        throw new ArtifactRefused(`what is to be put at ${path} is no longer kept: run the step that made it again`);
      }
      await place(workDirectory, path, ref, found.content);
    }
    return null;
  } catch (error) {
    if (!(error instanceof ArtifactRefused)) throw error;
    return { type: 'artifact', message: error.message, retryable: false };
  }
}

/**
 * Keeps what a step has left (name → path in its work directory). The same again yields the same.
 * @throws when the store or the disk failed: it may be tried again
 */
export async function keep(
  { store, maxBytes }: ArtifactOptions,
  workDirectory: string,
  wanted: Readonly<Record<string, string>>,
): Promise<{ artifacts: Record<string, ArtifactRef> } | { error: StepError }> {
  const artifacts: Record<string, ArtifactRef> = {};
  for (const [name, path] of Object.entries(wanted)) {
    try {
      const { content, folder, executable } = await collect(workDirectory, path);
      const put = await store.put(content, maxBytes);
      artifacts[name] = { ...put, folder, ...(executable ? { executable } : {}) };
    } catch (error) {
      const why = refusalOf(error, path, maxBytes);
      if (why === null) throw error;
      return { error: { type: 'output', message: `artifact ${name} cannot be kept: ${why}`, retryable: false } };
    }
  }
  return { artifacts };
}

function refusalOf(error: unknown, path: string, maxBytes: number): string | null {
  if (error instanceof ArtifactRefused) return error.message;
  if (!(error instanceof ArtifactTooLarge)) return null;
  const limit = formatBytes(maxBytes);
  return `${path} is larger than ${limit}, the controller's --max-artifact-size; keep less of it, or compress it`;
}

function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && Number.isInteger(value / 1024) && unit < units.length - 1; unit++) value /= 1024;
  return `${value} ${units[unit] ?? ''}`;
}
