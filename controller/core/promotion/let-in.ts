import { isOlder } from './age.ts';
import { advance, newerPromoted, type Standing } from './phases.ts';
import { scopeOf } from './tag.ts';
import type { PromotionDecision, PromotionRow } from './types.ts';
import { isWaiting, type View } from './view.ts';

/**
 * Lets in what is open, newest first, and at most one for each workflow: after each, what is older is overtaken and what
 * is left is judged again against what is active now. Returns where everything stands afterwards.
 */
export function letIn(
  view: View,
  standings: Standing[],
  now: number,
): { standings: Standing[]; activate: PromotionDecision['activate'] } {
  const activate: PromotionDecision['activate'] = [];
  let current = standings;
  for (;;) {
    const next = newest(view, current, activate);
    if (next === undefined) return { standings: current, activate };
    const entries = activation(next.row, now);
    apply(view, entries);
    activate.push(...entries);
    current = current.map((standing) => {
      if (standing === next) return { ...standing, row: promoted(standing.row, now), open: false };
      return isWaiting(standing.row) ? afterLettingIn(view, next, standing, now) : standing;
    });
  }
}

/** The newest that is open, if it is known which of those that wait it overtakes. */
function newest(view: View, standings: Standing[], activate: PromotionDecision['activate']): Standing | undefined {
  const open = standings.filter(
    ({ open, row }) => open && !row.changes.some(({ workflow }) => activate.some((done) => done.workflow === workflow)),
  );
  const known = open.filter(({ row }) =>
    // Every pair is looked at before one is missed, so that all that is missing is asked for at once.
    standings.map((other) => isComparable(view, row, other.row)).every(Boolean),
  );
  if (known.length < open.length) return undefined;
  // Ancestry and order of creation may contradict each other in a circle (force-pushes): then the last one made.
  return (
    known.find(({ row }) => known.every((other) => other.row === row || isOlder(view, other.row, row))) ??
    known.toSorted((a, b) => b.row.createdAt - a.row.createdAt)[0]
  );
}

function isComparable(view: View, row: PromotionRow, other: PromotionRow): boolean {
  return row === other || !isWaiting(other) || isOlder(view, other, row) !== undefined;
}

function afterLettingIn(view: View, next: Standing, standing: Standing, now: number): Standing {
  const superseded = {
    ...standing,
    open: false,
    row: { ...standing.row, ...newerPromoted(next.row), phase: 'Superseded', finishedAt: now },
  } satisfies Standing;
  // One that was open too was passed over: it is the older one of the two.
  const older = standing.open || isOlder(view, standing.row, next.row) === true;
  if (older && covers(next.row, standing.row)) return superseded;
  const again = advance(view, standing.fact, now);
  return older && isWaiting(again.row) && overlaps(next.row, again.row) ? superseded : again;
}

/** Whether everything that `other` speaks of is spoken of by `row`. */
function covers(row: PromotionRow, other: PromotionRow): boolean {
  const scope = scopeOf(row.ref);
  return scope === null || scope === scopeOf(other.ref);
}

function overlaps(row: PromotionRow, other: PromotionRow): boolean {
  return row.changes.some(({ workflow }) => other.changes.some((change) => change.workflow === workflow));
}

function promoted(row: PromotionRow, now: number): PromotionRow {
  const said = row.changes.map(({ workflow, action }) => `${workflow}${action === 'Retire' ? ' (retired)' : ''}`);
  return { ...row, phase: 'Succeeded', reason: 'Promoted', message: `Let in: ${said.join(', ')}.`, finishedAt: now };
}

function activation(row: PromotionRow, now: number): PromotionDecision['activate'] {
  return row.changes.map(({ workflow, to }) => ({
    workflow,
    digest: to ?? null,
    ref: row.ref,
    commit: row.commit ?? '',
    at: now,
  }));
}

function apply(view: View, entries: PromotionDecision['activate']): void {
  for (const { workflow, digest, ref, commit, at } of entries) {
    if (digest === null) view.active.delete(workflow);
    else view.active.set(workflow, { workflow, digest, ref, commit, since: at });
  }
}
