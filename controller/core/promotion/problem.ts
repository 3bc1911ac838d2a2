import { suggest } from '../expression/suggest.ts';
import type { PromotionFacts } from './types.ts';

/**
 * What the environment names and is not there, which keeps refs from being let in though its spec is well formed; null
 * when nothing is missing, or when the source cannot say.
 */
export function findProblem({
  environment: { project, spec },
  source,
  branches,
  upstream,
}: Pick<PromotionFacts, 'environment' | 'source' | 'branches' | 'upstream'>): {
  reason: string;
  message: string;
} | null {
  if (source === null || source.error !== null) return null;
  const branch = spec.track.branch ?? spec.track.tag?.from;
  const names = branches.map(({ name }) => name);
  if (branch !== undefined && !names.includes(branch)) {
    const field = spec.track.branch === undefined ? 'track.tag.from' : 'track.branch';
    const message = `The repository has no branch ${branch}${suggest(branch, names)}. Push it, or correct ${field}.`;
    return { reason: 'BranchNotFound', message };
  }
  const missing = (spec.after ?? []).filter((name) => !upstream.get(name)?.exists);
  if (missing.length > 0) {
    const message = `It comes after ${missing.join(', ')}, which ${missing.length === 1 ? 'is' : 'are'} not in ${project}: nothing can be let in. Apply ${missing.length === 1 ? 'it' : 'them'}, or correct \`after\`.`;
    return { reason: 'UpstreamNotFound', message };
  }
  return null;
}
