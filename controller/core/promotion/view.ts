import type { ActiveVersion, PromotionFacts, PromotionRow, RefContent, SourceError, TagFact } from './types.ts';

/**
 * The facts as one decision sees them: what is active changes while promotions are let in, and what is missing is noted
 * so that it can be asked for.
 */
export interface View {
  readonly facts: PromotionFacts;
  /** By workflow. */
  readonly active: Map<string, ActiveVersion>;
  readonly missing: { read: Set<string>; ancestry: Map<string, { ancestor: string; descendant: string }> };
}

export function viewOf(facts: PromotionFacts): View {
  return {
    facts,
    active: new Map(facts.active.map((version) => [version.workflow, version])),
    missing: { read: new Set(), ancestry: new Map() },
  };
}

/** What a commit holds; undefined when that is not known yet, and then it is asked for. */
export function contentOf(view: View, commit: string): RefContent | undefined {
  const content = view.facts.contents.get(commit);
  if (content === undefined && !sourceError(view)) view.missing.read.add(commit);
  return content;
}

/** Whether `ancestor` is `descendant` or comes before it; undefined when that is not known yet, and then it is asked for. */
export function isAncestor(view: View, ancestor: string, descendant: string): boolean | undefined {
  if (ancestor === descendant) return true;
  const key = `${ancestor}..${descendant}`;
  const known = view.facts.ancestors.get(key);
  if (known === undefined && !sourceError(view)) view.missing.ancestry.set(key, { ancestor, descendant });
  return known;
}

/** Why the source cannot be read at present, or null. */
export function sourceError(view: View): SourceError | null {
  return view.facts.source?.error ?? null;
}

export function tagOf(view: View, ref: string): TagFact | undefined {
  return view.facts.tags.find((tag) => tag.name === ref);
}

/** Whether a promotion has not come to an end. */
export function isWaiting(row: PromotionRow): boolean {
  return row.phase === 'Pending' || row.phase === 'Gating';
}
