import { compareVersions, parseTag } from './tag.ts';
import type { PromotionRow } from './types.ts';
import { isAncestor, sourceError, type View } from './view.ts';

export interface NamedCommit {
  ref: string;
  commit: string;
}

/**
 * How a ref stands to an active version: by semver among tags, else by ancestry, where whatever is not an ancestor of the
 * active commit is newer (a force-pushed tip). Undefined while the ancestry is not known.
 */
export function ageAgainst(view: View, ref: NamedCommit, active: NamedCommit): 'older' | 'same' | 'newer' | undefined {
  const order = compareTags(ref.ref, active.ref);
  if (order !== null) return order < 0 ? 'older' : order > 0 ? 'newer' : 'same';
  if (ref.commit === active.commit) return 'same';
  const before = isAncestor(view, ref.commit, active.commit);
  return before === undefined ? undefined : before ? 'older' : 'newer';
}

/**
 * Whether promotion `a` is older than `b`: lower by semver among tags, else an ancestor, else created earlier. Undefined
 * while the ancestry is not known; a source that cannot be read does not stop what is known, so then creation decides.
 */
export function isOlder(view: View, a: PromotionRow, b: PromotionRow): boolean | undefined {
  const order = compareTags(a.ref, b.ref);
  if (order !== null && order !== 0) return order < 0;
  if (order === null && a.commit !== null && b.commit !== null && a.commit !== b.commit) {
    const before = isAncestor(view, a.commit, b.commit);
    const after = isAncestor(view, b.commit, a.commit);
    if (before) return true;
    if (after) return false;
    if ((before === undefined || after === undefined) && sourceError(view) === null) return undefined;
  }
  return a.createdAt !== b.createdAt ? a.createdAt < b.createdAt : a.id < b.id;
}

function compareTags(a: string, b: string): number | null {
  const first = parseTag(a);
  const second = parseTag(b);
  return first && second ? compareVersions(first, second) : null;
}
