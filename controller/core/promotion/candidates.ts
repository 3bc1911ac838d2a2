import { ageAgainst, type NamedCommit } from './age.ts';
import { changesOf, inScope } from './changes.ts';
import { promotionName } from './name.ts';
import { compareVersions, inRange, parseTag, type VersionTag } from './tag.ts';
import type { PromotionFact, PromotionRow, TagFact } from './types.ts';
import { agreedUpstream } from './upstream.ts';
import { contentOf, isWaiting, tagOf, type View } from './view.ts';

/** How many tags below a refused one are read at once: in an old repository most hold no workflow yet. */
const readAhead = 20;

interface Candidates {
  /** Refs that are new here and would change something, or cannot be read as they should: each becomes a Promotion. */
  create: { name: string; ref: string; commit: string }[];
  /** Refs whose digests are all active already: they name them, and make older ones that still wait pointless. */
  settled: (NamedCommit & { workflows: readonly { name: string; digest: string }[] })[];
}

/** Which refs the environment picks by itself at this moment; nothing where it takes only promotions made by hand. */
export function findCandidates(view: View, promotions: readonly PromotionFact[]): Candidates {
  const { environment } = view.facts;
  const found: Candidates = { create: [], settled: [] };
  if (environment.spec.promote === 'Manual') return found;
  const earlier = promotions.filter(({ row }) => isEarlier(view, row));
  const own = promotions.filter((fact) => !earlier.includes(fact));
  const names = new Set(earlier.map(({ row }) => row.name));
  for (const ref of pickRefs(view, own)) {
    if (promotionOf(own, ref) === undefined) consider(view, ref, names, found);
  }
  return found;
}

/** Whether promotion `row` speaks of nothing but what `ref` settles, and is older. */
export function isSettledBy(view: View, row: PromotionRow, ref: NamedCommit): boolean {
  const scope = parseTag(ref.ref)?.workflow ?? null;
  if (!row.automatic || (scope !== null && scope !== parseTag(row.ref)?.workflow)) return false;
  return row.commit !== null && ageAgainst(view, { ref: row.ref, commit: row.commit }, ref) === 'older';
}

/** Whether a promotion ended in another environment that had the name before: what came to be there is not here. */
function isEarlier(view: View, { finishedAt, reason }: PromotionRow): boolean {
  if (finishedAt === null) return false;
  return reason === 'EnvironmentReplaced' || finishedAt < view.facts.environment.since;
}

function pickRefs(view: View, promotions: readonly PromotionFact[]): NamedCommit[] {
  const { track } = view.facts.environment.spec;
  if (track.branch !== undefined) return branchTip(view, track.branch);
  if (track.tag !== undefined) return tags(view, promotions, track.tag.semver);
  return track.upstream ? upstreamRefs(view) : [];
}

function branchTip(view: View, branch: string): NamedCommit[] {
  const tip = view.facts.branches.find((known) => known.name === branch);
  return tip === undefined ? [] : [{ ref: tip.commit, commit: tip.commit }];
}

/** For every workflow together and for each alone: the highest tag in range that has not come to a bad end. */
function tags(view: View, promotions: readonly PromotionFact[], range: string): NamedCommit[] {
  const scopes = new Map<string | null, { fact: TagFact; tag: VersionTag }[]>();
  for (const fact of view.facts.tags) {
    const tag = parseTag(fact.name);
    if (fact.deleted || tag === null || !inRange(range, tag)) continue;
    scopes.set(tag.workflow, [...(scopes.get(tag.workflow) ?? []), { fact, tag }]);
  }
  return [...scopes.values()].flatMap((found) =>
    highest(
      view,
      promotions,
      found.toSorted((a, b) => compareVersions(b.tag, a.tag)).map(({ fact }) => fact),
    ),
  );
}

/** From the highest down to the first that is on its branch; those above it wait for theirs. */
function highest(view: View, promotions: readonly PromotionFact[], descending: TagFact[]): NamedCommit[] {
  const picked: NamedCommit[] = [];
  let belowRefused = false;
  for (const [index, { name, commit, onBranch }] of descending.entries()) {
    const ref = { ref: name, commit };
    if (isOutdated(view, ref) !== false) break;
    if (hasEndedBadly(promotionOf(promotions, ref))) {
      belowRefused = true;
      continue;
    }
    if (belowRefused) {
      const empty = holdsNothing(view, ref);
      if (empty === undefined) {
        for (const next of descending.slice(index, index + readAhead)) contentOf(view, next.commit);
        break;
      }
      // One refusal says it; a repository with a hundred tags from before its first workflow is not a hundred mistakes.
      if (empty) continue;
    }
    picked.push(ref);
    if (onBranch) break;
  }
  return picked;
}

/** Whether a ref holds no workflow that it speaks of; undefined while it is not read. */
function holdsNothing(view: View, ref: NamedCommit): boolean | undefined {
  const content = contentOf(view, ref.commit);
  if (content === undefined) return undefined;
  return content.ok ? inScope(ref.ref, content.workflows).length === 0 : content.reason === 'NoWorkflows';
}

/**
 * The refs by which what is active in every environment of `after` came to be there: newest first, and as few as name
 * everything, because a ref names all workflows and not only those that it changed.
 */
function upstreamRefs(view: View): NamedCommit[] {
  const picked: NamedCommit[] = [];
  const covered = new Set<string>();
  for (const entry of agreedUpstream(view.facts)) {
    if (covered.has(entry.workflow)) continue;
    const content = contentOf(view, entry.commit);
    // Which other workflows it covers is not known yet; a second ref for them would be one too many.
    if (content === undefined) return picked;
    picked.push({ ref: entry.ref, commit: entry.commit });
    covered.add(entry.workflow);
    if (!content.ok) continue;
    for (const other of agreedUpstream(view.facts)) {
      const digest = inScope(entry.ref, content.workflows).find(({ name }) => name === other.workflow)?.digest;
      if (digest === other.digest && digest !== undefined) covered.add(other.workflow);
    }
  }
  return picked;
}

function consider(view: View, ref: NamedCommit, taken: ReadonlySet<string>, found: Candidates): void {
  const { environment } = view.facts;
  if (isOutdated(view, ref) !== false) return;
  const content = contentOf(view, ref.commit);
  if (content === undefined) return;
  const name = promotionName(environment.name, ref.ref, ref.commit);
  const free = taken.has(name) ? promotionName(environment.name, ref.ref, ref.commit, environment.since) : name;
  const create = { name: free, ...ref };
  if (!content.ok) {
    found.create.push(create);
    return;
  }
  const workflows = inScope(ref.ref, content.workflows);
  const changes = changesOf(view, ref, content.workflows, true);
  if (changes === undefined) return;
  if (changes.changes.length > 0 || workflows.length === 0) found.create.push(create);
  else if (!changes.olderLeftOut && changes.notUpstream.length === 0 && isOnBranch(view, ref))
    found.settled.push({ ...ref, workflows });
}

/** Whether what is active in the ref's scope is newer; undefined while an ancestry is not known. */
function isOutdated(view: View, ref: NamedCommit): boolean | undefined {
  const scope = parseTag(ref.ref)?.workflow ?? null;
  const rivals = [...view.active.values()].filter((active) =>
    scope === null ? (parseTag(active.ref)?.workflow ?? null) === null : active.workflow === scope,
  );
  const ages = rivals.map((active) => ageAgainst(view, ref, active));
  if (ages.includes('older')) return true;
  return ages.includes(undefined) ? undefined : false;
}

/** A tag that is not on its branch names nothing here. Tips and upstream's commits were on theirs. */
function isOnBranch(view: View, ref: NamedCommit): boolean {
  return tagOf(view, ref.ref)?.onBranch ?? true;
}

/** The Promotion of a ref. One that was refused before the ref was known does not count. */
function promotionOf(promotions: readonly PromotionFact[], ref: NamedCommit): PromotionFact | undefined {
  return promotions.find(
    ({ row }) => row.ref === ref.ref && (row.commit === ref.commit || (row.commit === null && isWaiting(row))),
  );
}

/** Rejected, failed or withdrawn: the next lower tag has its turn. */
function hasEndedBadly(promotion: PromotionFact | undefined): boolean {
  if (promotion === undefined) return false;
  const { row, deleted } = promotion;
  if (row.phase === 'Rejected' || row.phase === 'Failed') return true;
  if (row.phase === 'Superseded') return row.reason === 'Withdrawn' || row.reason === 'TagDeleted';
  return deleted && row.phase !== 'Succeeded';
}
