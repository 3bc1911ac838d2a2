import { parseTag } from './tag.ts';
import type { TagFact } from './types.ts';

interface RefusedTag {
  ref: string;
  /** The commit that is not followed. */
  commit: string;
  reason: 'NotSemver' | 'TagMoved';
  message: string;
}

/**
 * The tags of a source that are not followed, for its status: moved ones first, then by name. `ranges` are those of the
 * environments that track tags of this source; without any, a tag may be called as it likes.
 */
export function refusedTags(tags: readonly TagFact[], ranges: readonly string[]): RefusedTag[] {
  const present = tags.filter((tag) => !tag.deleted).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const moved = present.flatMap((tag) => (tag.movedTo === null ? [] : [movedTag(tag, tag.movedTo)]));
  const unnamed = present.filter((tag) => ranges.length > 0 && parseTag(tag.name) === null).map(notSemver);
  return [...moved, ...unnamed];
}

/** What is said of a tag that was moved, wherever it is said. */
export function movedMessage(tag: TagFact, movedTo: string): string {
  return `Tag ${tag.name} was moved to ${movedTo.slice(0, 12)}, which is refused: it stays ${tag.commit.slice(0, 12)}. Push a new tag instead.`;
}

function movedTag(tag: TagFact, movedTo: string): RefusedTag {
  return { ref: tag.name, commit: movedTo, reason: 'TagMoved', message: movedMessage(tag, movedTo) };
}

function notSemver(tag: TagFact): RefusedTag {
  const message = `Tag ${tag.name} names no version and is never a candidate. Name it v1.4.0, or <workflow>/v1.4.0 for one workflow.`;
  return { ref: tag.name, commit: tag.commit, reason: 'NotSemver', message };
}
