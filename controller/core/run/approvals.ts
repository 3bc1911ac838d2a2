import type { PlanStep, StepBody, StepIndex } from '../plan/types.ts';
import { type Draft, endStep, moveStep } from './draft.ts';
import { formatDuration } from '../duration.ts';
import type { RunState } from './state.ts';
import { storableError } from './storable.ts';
import type { StepApprovalEntry } from './types.ts';

type ApprovalBody = Extract<StepBody, { kind: 'approval' }>;

/** Begins to wait for approval; entries that the spec has already count at once. */
export function beginApproval(draft: Draft, step: PlanStep, body: ApprovalBody): void {
  const until = body.timeoutMs === null ? null : draft.now + body.timeoutMs;
  moveStep(draft, step.index, { phase: 'Waiting', reason: 'WaitingForApproval', startedAt: draft.now, until });
  judgeApproval(draft, step.index);
}

/** Takes the spec's approvals as they are now, and looks at the waiting steps that they name. */
export function observeApprovals(draft: Draft, entries: StepApprovalEntry[]): void {
  const { state, plan } = draft;
  const byStep = new Map<string, StepApprovalEntry[]>();
  for (const entry of entries) {
    const list = byStep.get(entry.step);
    if (list) list.push(entry);
    else byStep.set(entry.step, [entry]);
  }
  state.approvals = byStep;
  for (const name of byStep.keys()) {
    const index = plan.byName.get(name);
    if (index !== undefined && state.awaitingApproval.has(index)) judgeApproval(draft, index);
  }
}

/** Without enough approvals in time the step is TimedOut. */
export function endApprovalByTimeout(draft: Draft, index: StepIndex): void {
  const body = draft.plan.steps[index]?.body as ApprovalBody;
  const message = `not approved within ${formatDuration(body.timeoutMs ?? 0)}`;
  endStep(draft, index, { phase: 'TimedOut', error: { type: 'timeout', message, retryable: false } });
}

function judgeApproval(draft: Draft, index: StepIndex): void {
  const step = draft.plan.steps[index] as PlanStep;
  const body = step.body as ApprovalBody;
  const counted = countedEntries(draft.state, step.name, body);
  const rejected = counted.find((entry) => entry.decision === 'Reject');
  if (rejected) {
    const why = rejected.comment === null ? '' : `: ${rejected.comment}`;
    const error = storableError({ type: 'approval', message: `rejected by ${rejected.user}${why}`, retryable: false });
    return endStep(draft, index, { phase: 'Failed', error });
  }
  if (new Set(counted.map((entry) => entry.user)).size < body.count) return;
  endStep(draft, index, { phase: 'Succeeded', outputs: {} });
}

function countedEntries(state: RunState, step: string, body: ApprovalBody): StepApprovalEntry[] {
  const { groups } = body;
  const entries = state.approvals.get(step) ?? [];
  return groups === null ? entries : entries.filter((entry) => entry.groups.some((group) => groups.includes(group)));
}
