import type { StepBody } from '../plan/types.ts';
import { formatDuration } from '../duration.ts';
import { type Draft, moveUnit } from './draft.ts';
import { failUnit, iterationOf, succeedUnit } from './settle-unit.ts';
import type { RunState } from './state.ts';
import { storableError } from './storable.ts';
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
}

/** Takes the spec's approvals as they are now, and looks at what waits for them. One entry counts for all items of a step. */
export function observeApprovals(draft: Draft, entries: StepApprovalEntry[]): void {
  const { state } = draft;
  const byStep = new Map<string, StepApprovalEntry[]>();
  for (const entry of entries) {
    const list = byStep.get(entry.step);
    if (list) list.push(entry);
    else byStep.set(entry.step, [entry]);
  }
  state.approvals = byStep;
  if (byStep.size === 0) return;
  for (const unit of Array.from(state.awaitingApproval).sort((a, b) => (isEarlier(a, b) ? -1 : 1))) {
    if (byStep.has(unit.step.name)) judgeApproval(draft, unit);
  }
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
  const counted = countedEntries(draft.state, unit.step.name, body);
  const rejected = counted.find((entry) => entry.decision === 'Reject');
  if (rejected) {
    const why = rejected.comment === null ? '' : `: ${rejected.comment}`;
    const error = storableError({ type: 'approval', message: `rejected by ${rejected.user}${why}`, retryable: false });
    return failUnit(draft, unit, { phase: 'Failed', error });
  }
  if (new Set(counted.map((entry) => entry.user)).size < body.count) return;
  succeedUnit(draft, unit, { outputs: {} });
}

function countedEntries(state: RunState, step: string, body: ApprovalBody): StepApprovalEntry[] {
  const { groups } = body;
  const entries = state.approvals.get(step) ?? [];
  return groups === null ? entries : entries.filter((entry) => entry.groups.some((group) => groups.includes(group)));
}
