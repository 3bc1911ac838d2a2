import { formatDiagnostic } from '../diagnostic.ts';
import { findCandidates, isSettledBy } from './candidates.ts';
import { isSame } from './equal.ts';
import { gatesFor } from './gates/judge.ts';
import { letIn } from './let-in.ts';
import { nameKey } from './name.ts';
import { advance, newerPromoted, type Standing, workflowsOf } from './phases.ts';
import { movedMessage } from './refused.ts';
import { shortRef } from '../short.ts';
import { isRange } from './tag.ts';
import type { PromotionDecision, PromotionFacts, PromotionRow } from './types.ts';
import { isWaiting, tagOf, type View, viewOf } from './view.ts';

/** Of the mistakes in one ref. */
const maxMistakesTold = 10;

/**
 * What happens to one environment's promotions now: which refs become candidates, what each waiting one waits for, and
 * what is let in. Deciding again on facts that hold the decision changes nothing. While `read` or `ancestry` is not
 * empty, what depends on it was left open: gather that and decide again.
 */
export function decidePromotion(facts: PromotionFacts, now: number): PromotionDecision {
  const stalled = findStall(facts);
  if (stalled !== null || facts.environment.spec.suspend) return { ...nothing(), stalled };
  const view = viewOf(facts);
  const start = facts.promotions.map((fact) =>
    isWaiting(fact.row) ? advance(view, fact, now) : { fact, row: fact.row, open: false },
  );
  const { standings: judged, activate } = letIn(view, start, now);
  const candidates = findCandidates(
    view,
    judged.map(({ fact, row }) => ({ ...fact, row })),
  );
  const standings = judged
    .map((standing) => overtake(view, standing, candidates.settled, now))
    .map((standing) => ({ ...standing, row: withNotice(standing.row, movedNotice(view, standing.row)) }));
  const changed = standings.filter(({ fact, row }) => !isSame(fact.row, row));
  const succeeded = changed.map(({ row }) => row).filter((row) => row.phase === 'Succeeded');
  return {
    read: [...view.missing.read],
    ancestry: [...view.missing.ancestry.values()],
    create: candidates.create,
    promotions: changed.map(({ row }) => row),
    activate,
    names: newNames(view, [
      ...candidates.settled,
      ...succeeded.map((row) => ({ ref: row.ref, commit: row.commit ?? '', workflows: workflowsOf(view, row) })),
    ]),
    events: changed.flatMap((standing) => eventsOf(view, standing)),
    stalled: null,
    wakeAt: isComplete(view) && standings.some((standing) => goesOn(view, standing)) ? now : null,
  };
}

/** Whether the decision itself makes more possible: at once, not when something happens. */
function goesOn(view: View, { fact, row, open }: Standing): boolean {
  if (!isWaiting(row)) return false;
  // One workflow changes once in a decision: what is open still comes with the next.
  if (open) return true;
  // Who wrote it can be found out now that its commit is recorded.
  const found = fact.row.commit === null && row.commit !== null && fact.authors === null;
  return found && gatesFor(view, row).some((gate) => gate.approval?.notAuthor);
}

function isComplete({ missing }: View): boolean {
  return missing.read.size === 0 && missing.ancestry.size === 0;
}

function nothing(): PromotionDecision {
  return {
    read: [],
    ancestry: [],
    create: [],
    promotions: [],
    activate: [],
    names: [],
    events: [],
    stalled: null,
    wakeAt: null,
  };
}

/** What makes the environment unable to promote anything until someone changes a spec. */
function findStall({ environment, source }: PromotionFacts): PromotionDecision['stalled'] {
  const { name, project, spec } = environment;
  if (spec.after?.includes(name)) {
    return { reason: 'AfterCycle', message: `${name} comes after itself: take it out of its own \`after\`.` };
  }
  if (spec.track.tag && !isRange(spec.track.tag.semver)) {
    const message = `track.tag.semver is not a range: ${spec.track.tag.semver}. Write it like >=1.0.0 or ^1.2.0.`;
    return { reason: 'InvalidRange', message };
  }
  if (source === null) {
    return { reason: 'SourceNotFound', message: `There is no WorkflowSource ${spec.source.name} in ${project}.` };
  }
  return null;
}

/** A candidate that changes nothing still is the newest: what is older and waits would take a step back. */
function overtake(view: View, standing: Standing, settled: { ref: string; commit: string }[], now: number): Standing {
  const { row } = standing;
  if (!isWaiting(row) || !settled.some((ref) => isSettledBy(view, row, ref))) return standing;
  return { ...standing, row: { ...row, ...newerPromoted(), phase: 'Superseded', finishedAt: now } };
}

function newNames(
  view: View,
  refs: { ref: string; commit: string; workflows: readonly { name: string; digest: string }[] }[],
): PromotionDecision['names'] {
  return refs
    .flatMap(({ ref, commit, workflows }) =>
      workflows.map(({ name, digest }) => ({ workflow: name, digest, ref, commit })),
    )
    .filter((name) => view.active.get(name.workflow)?.digest === name.digest)
    .filter((name) => !view.facts.knownNames.has(nameKey(name)));
}

function eventsOf(view: View, { fact, row }: Standing): PromotionDecision['events'] {
  const events: PromotionDecision['events'] = [];
  const say = (type: 'Normal' | 'Warning', reason: string, message: string) =>
    events.push({ promotion: row.name, type, reason, message });
  const message = `${shortRef(row.ref)} into ${row.environment}: ${row.message ?? ''}`;
  const moved = movedNotice(view, row);
  if (moved !== null && withNotice(fact.row, moved) !== fact.row) say('Warning', 'TagMoved', moved);
  if (row.phase === fact.row.phase) return events;
  if (row.phase === 'Gating') say('Normal', 'PromotionWaiting', message);
  if (row.phase === 'Succeeded') say('Normal', row.reason === 'Promoted' ? 'Promoted' : 'NothingToChange', message);
  if (row.phase === 'Superseded') say('Normal', 'PromotionSuperseded', message);
  if (row.phase === 'Rejected') say('Warning', 'PromotionRejected', [message, ...mistakes(row)].join('\n'));
  return events;
}

/** So that whoever watches sees where they are; the Promotion has them all. */
function mistakes({ diagnostics }: PromotionRow): string[] {
  const shown = diagnostics.slice(0, maxMistakesTold).map(formatDiagnostic);
  return diagnostics.length > shown.length ? [...shown, `and ${diagnostics.length - shown.length} more`] : shown;
}

/** What is said once of a promotion whose tag was moved, and stays said. */
function movedNotice(view: View, row: PromotionRow): string | null {
  const tag = isWaiting(row) || row.phase === 'Succeeded' ? tagOf(view, row.ref) : undefined;
  return tag?.movedTo ? movedMessage(tag, tag.movedTo) : null;
}

function withNotice(row: PromotionRow, notice: string | null): PromotionRow {
  if (notice === null || row.message?.includes(notice)) return row;
  return { ...row, message: row.message ? `${row.message} ${notice}` : notice };
}
