import type { TagFact } from '../core/promotion/types.ts';
import type { Repository } from '../git/repository.ts';
import type { RefRow } from '../store/types.ts';

const prefix = 'refs/tags/';

/**
 * The tags of a source as facts: where each was first seen, and whether that commit is on `branch` now. One git command
 * answers for all tags; only a moved one, whose first commit no ref names any more, is asked for by itself, and one after
 * the other, so that many of them do not become as many processes. Of a deleted one nobody asks; those only ever add up.
 */
export async function tagFacts(repository: Repository, refs: RefRow[], branch: string): Promise<TagFact[]> {
  const tip = refs.find((row) => row.ref === `refs/heads/${branch}` && !row.deleted)?.commit ?? null;
  const tags = refs.filter((row) => row.ref.startsWith(prefix));
  const merged = tip === null || tags.length === 0 ? new Set<string>() : new Set(await repository.tagsOn(tip));
  const facts: TagFact[] = [];
  for (const { ref, commit, movedTo, deleted } of tags) {
    const name = ref.slice(prefix.length);
    facts.push({ name, commit, movedTo, deleted, onBranch: !deleted && (await isOnBranch(name, commit, movedTo)) });
  }
  return facts;

  async function isOnBranch(name: string, commit: string, movedTo: string | null): Promise<boolean> {
    if (movedTo === null) return merged.has(name);
    return tip !== null && (await repository.isAncestor(commit, tip));
  }
}
