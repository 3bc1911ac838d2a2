import type { ArtifactRef, AttemptResult, StepError } from '../../core/run/types.ts';
import { type ArtifactOptions, bring, keep } from '../artifacts/transfer.ts';
import type { AttemptFolder, PreparedArtifacts } from './attempt-folder.ts';

/** A step cannot have what it takes from others. */
export class ArtifactsMissing extends Error {
  override name = 'ArtifactsMissing';
  readonly error: StepError;
  constructor(error: StepError) {
    super(error.message);
    this.error = error;
  }
}

/** What the folder of an attempt is to be prepared with. Its `bring` throws ArtifactsMissing. */
export function artifactsFor(
  options: ArtifactOptions,
  wanted: { out: Record<string, string>; in: Record<string, ArtifactRef> },
): PreparedArtifacts {
  const bringAll = async (directory: string): Promise<void> => {
    const error = await bring(options, directory, wanted.in);
    if (error) throw new ArtifactsMissing(error);
  };
  return { out: wanted.out, bring: Object.keys(wanted.in).length === 0 ? null : bringAll };
}

/**
 * The result with what a successful attempt has left to be kept. What it says is the same however often it is asked: a
 * controller that was killed meanwhile is followed by one that does it again.
 */
export async function withArtifacts(
  options: ArtifactOptions,
  folder: AttemptFolder,
  result: AttemptResult,
): Promise<AttemptResult> {
  if (result.outcome !== 'Succeeded') return result;
  const wanted = folder.artifacts();
  if (Object.keys(wanted).length === 0) return result;
  const kept = await keep(options, folder.workDirectory, wanted);
  return 'error' in kept ? { outcome: 'Failed', error: kept.error } : { ...result, artifacts: kept.artifacts };
}
