import type { PlanStep, StepBody } from '../plan/types.ts';
import { formatDuration } from '../duration.ts';
import { type Draft, emit, moveUnit } from './draft.ts';
import { failUnit, iterationOf, succeedUnit } from './settle-unit.ts';
import type { RunState } from './state.ts';
import { storableError, storableText } from './storable.ts';
import type { StepApprovalEntry } from './types.ts';
import { isEarlier, reasons, type Unit } from './units.ts';

type ApprovalBody = Extract<StepBody, { kind: 'approval' }>;

/** Begins to wait for approval; entries that the spec has already count at once. */
export function beginApproval(draft: Draft, unit: Unit, body: ApprovalBody): void {
  const { now } = draft;
  moveUnit(draft, unit, {
    phase: 'Waiting',
    reason: reasons.approval,
    startedAt: unit.row?.startedAt ?? now,
    until: body.timeoutMs === null ? null : now + body.timeoutMs,
    iteration: iterationOf(unit),
  });
  judgeApproval(draft, unit);
  // Its items are approved together, by the name of their step.
  if (unit.item <= 0 && draft.state.awaitingApproval.has(unit)) {
    const { run } = draft.state;
    emit(draft, 'Normal', 'RunWaiting', storableText(`run ${run.name}: ${sayWaits(draft.state, unit.step)}`));
  }
}

/** Takes the spec's approvals as they are now, and looks at what waits for them. One entry counts for all items of a step. */
export function observeApprovals(draft: Draft, entries: StepApprovalEntry[]): void {
  const { state } = draft;
  const byStep = entriesByStep(entries, state.run.execution);
  state.approvals = byStep;
  if (byStep.size === 0) return;
  for (const unit of Array.from(state.awaitingApproval).sort((a, b) => (isEarlier(a, b) ? -1 : 1))) {
    if (byStep.has(unit.step.name)) judgeApproval(draft, unit);
  }
}

/** The entries of a run that are for this execution of it, by step. */
export function entriesByStep(
  entries: readonly StepApprovalEntry[],
  execution: number,
): Map<string, StepApprovalEntry[]> {
  // What was approved then is not what a retry has made since; and what was rejected may be right now.
  return Map.groupBy(
    entries.filter((entry) => entry.execution === execution),
    ({ step }) => step,
  );
}

/** A step that waits for approval, and what for. */
export function sayWaits({ approvals }: RunState, { name, main }: PlanStep): string {
  return `step ${name} waits for ${sayMissing(main.body as ApprovalBody, approvals.get(name) ?? [])}`;
}

/** The steps that the spec has approvals for and that ask for none: nobody reads those entries. */
export function notAskedFor({ approvals, steps }: RunState): string[] {
  if (approvals.size === 0) return [];
  const asked = new Set(steps.flatMap(({ step }) => (step.main.body.kind === 'approval' ? [step.name] : [])));
  return [...approvals.keys()].filter((name) => !asked.has(name));
}

/** Without enough approvals in time the unit is TimedOut. */
export function endApprovalByTimeout(draft: Draft, unit: Unit): void {
  const body = unit.step.main.body as ApprovalBody;
  const message = `not approved within ${formatDuration(body.timeoutMs ?? 0)}`;
  failUnit(draft, unit, { phase: 'TimedOut', error: { type: 'timeout', message, retryable: false } });
}

function judgeApproval(draft: Draft, unit: Unit): void {
  // Stopped meanwhile, by a critical step in the same observation.
  if (!draft.state.awaitingApproval.has(unit)) return;
  const body = unit.step.main.body as ApprovalBody;
  const { counted } = countEntries(body, draft.state.approvals.get(unit.step.name) ?? []);
  const rejected = counted.find((entry) => entry.decision === 'Reject');
  if (rejected) {
    const why = rejected.comment === null ? '' : `: ${rejected.comment}`;
    const error = storableError({ type: 'approval', message: `rejected by ${rejected.user}${why}`, retryable: false });
    return failUnit(draft, unit, { phase: 'Failed', error });
  }
  if (usersOf(counted).length < body.count) return;
  succeedUnit(draft, unit, { outputs: {} });
}

/** What an approval step asks for. */
export interface ApprovalAsked {
  /** Approvers must be in one of these; null: anyone. */
  groups: readonly string[] | null;
  count: number;
}

/** How many people, groups and names a message lists. */
const listedNames = 5;

/**
 * What an approval step still waits for, such as `1 more approval of groups editors; not counted: bob (in none of them)`.
 * @param entries those of this step
 */
export function sayMissing(asked: ApprovalAsked, entries: readonly ApprovalGiven[]): string {
  const { counted, others } = countEntries(asked, entries);
  const missing = Math.max(0, asked.count - usersOf(counted).length);
  const groups = asked.groups === null ? '' : ` of groups ${listNames(asked.groups)}`;
  const outside = usersOf(others);
  const ignored = outside.length === 0 ? '' : `; not counted: ${listNames(outside)} (in none of them)`;
  return `${missing} more approval${missing === 1 ? '' : 's'}${groups}${ignored}`;
}

type ApprovalGiven = Pick<StepApprovalEntry, 'user' | 'groups'>;

function countEntries<E extends ApprovalGiven>(asked: ApprovalAsked, entries: readonly E[]) {
  const { groups } = asked;
  const counts = (entry: E) => groups === null || entry.groups.some((group) => groups.includes(group));
  return { counted: entries.filter(counts), others: entries.filter((entry) => !counts(entry)) };
}

function usersOf(entries: readonly ApprovalGiven[]): string[] {
  return [...new Set(entries.map(({ user }) => user))];
}

function listNames(names: readonly string[]): string {
  const more = names.length - listedNames;
  return names.slice(0, listedNames).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
