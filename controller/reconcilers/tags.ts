import type { TagFact } from '../core/promotion/types.ts';
import type { Repository } from '../git/repository.ts';
import type { RefRow } from '../store/types.ts';

const prefix = 'refs/tags/';

/**
 * The tags of a source as facts: where each was first seen, and whether that commit is on `branch` now. One git command
 * answers for all tags; only a moved one, whose first commit no ref names any more, is asked for by itself.
 */
export async function tagFacts(repository: Repository, refs: RefRow[], branch: string): Promise<TagFact[]> {
  const tip = refs.find((row) => row.ref === `refs/heads/${branch}` && !row.deleted)?.commit ?? null;
  const tags = refs.filter((row) => row.ref.startsWith(prefix));
  const merged = tip === null || tags.length === 0 ? new Set<string>() : new Set(await repository.tagsOn(tip));
  return await Promise.all(
    tags.map(async (row) => {
      const name = row.ref.slice(prefix.length);
      const asked = row.movedTo === null && !row.deleted;
      const onBranch = asked ? merged.has(name) : tip !== null && (await repository.isAncestor(row.commit, tip));
      return { name, commit: row.commit, movedTo: row.movedTo, deleted: row.deleted, onBranch };
    }),
  );
}
