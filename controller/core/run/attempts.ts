import type { ExpressionContext } from '../expression/types.ts';
import type { PlanStep, StepIndex } from '../plan/types.ts';
import { hasRetryLeft, isInfrastructure, retryPauseMs } from '../retry.ts';
import { type Draft, emit, endStep, moveStep } from './draft.ts';
import { formatDuration } from '../duration.ts';
import { outputsSize, readOutputs } from './outputs.ts';
import { type AttemptBody, evaluated, resolveBody } from './resolve.ts';
import { hasEnded, stepAt } from './state.ts';
import { storableError, storableText } from './storable.ts';
import { graceMs } from './timers.ts';
import type { AttemptResult, AttemptRow, RunObservation, StepError, StepRow } from './types.ts';

/** Begins the next attempt of a step; a body that cannot be evaluated fails the step without one. */
export function startAttempt(draft: Draft, index: StepIndex, body: AttemptBody): void {
  const { state, plan, now } = draft;
  const step = stepAt(state, index);
  const name = plan.steps[index]?.name ?? '';
  const resolved = evaluated(() => resolveBody(body, state.context));
  if (!resolved.ok) return endStep(draft, index, { phase: 'Failed', error: resolved.error });
  const number = (step.row?.attempts ?? 0) + 1;
  step.live = {
    runId: state.run.id,
    step: name,
    number,
    phase: 'Starting',
    stopReason: null,
    startedAt: now,
    finishedAt: null,
    error: null,
    imageId: null,
  };
  draft.attempts.add(step.live);
  moveStep(draft, index, {
    phase: 'Running',
    reason: null,
    startedAt: step.row?.startedAt ?? now,
    attempts: number,
    until: null,
    error: null,
  });
  draft.actions.push(startAction(draft, step.live, resolved.value));
}

/** Tells an attempt to end; it is over only when the executor says so. */
export function stopAttempt(draft: Draft, index: StepIndex, reason: 'cancelled' | 'timeout'): void {
  const { live } = stepAt(draft.state, index);
  if (live?.phase !== 'Starting') return;
  live.phase = 'Stopping';
  live.stopReason = reason;
  draft.attempts.add(live);
  pushStop(draft, index, live);
}

/** Says the Start or Stop of an attempt again that was live when the run was hydrated: the first may never have got out. */
export function confirmAttempt(draft: Draft, index: StepIndex): void {
  const { state, plan } = draft;
  const { live } = stepAt(state, index);
  const body = plan.steps[index]?.body as AttemptBody;
  // Stopping since this very decision: said already.
  if (live === null || draft.attempts.has(live)) return;
  if (live.phase === 'Stopping') return pushStop(draft, index, live);
  const resolved = evaluated(() => resolveBody(body, state.context));
  if (resolved.ok) draft.actions.push(startAction(draft, live, resolved.value));
  else endAttempt(draft, index, live, draft.now, { outcome: 'Failed', error: resolved.error });
}

/** Takes in how an attempt ended. One that is unknown, old or over changes nothing. */
export function observeAttemptEnded(draft: Draft, seen: Extract<RunObservation, { type: 'AttemptEnded' }>): void {
  const index = draft.plan.byName.get(seen.step);
  if (index === undefined) return;
  const { live } = stepAt(draft.state, index);
  if (live === null || live.number !== seen.attempt) return;
  endAttempt(draft, index, live, seen.at, seen.result);
}

function endAttempt(draft: Draft, index: StepIndex, live: AttemptRow, seenAt: number, result: AttemptResult): void {
  const { state, plan, now } = draft;
  const step = stepAt(state, index);
  const planned = plan.steps[index] as PlanStep;
  const row = step.row as StepRow;
  // Another machine's clock: never before the beginning nor in the future.
  const at = Math.max(live.startedAt, Math.min(seenAt, now));
  step.live = null;
  live.finishedAt = at;
  live.imageId = result.imageId === undefined ? null : storableText(result.imageId);
  draft.attempts.add(live);
  const verdict = judge(live, row, planned, at, result, state.outputBytes);
  live.phase = verdict.phase;
  live.error = verdict.error;
  if (verdict.phase === 'Succeeded') {
    state.outputBytes += outputsSize(verdict.outputs);
    return endStep(draft, index, { phase: 'Succeeded', outputs: verdict.outputs, at });
  }
  if (verdict.phase === 'Cancelled') return endStep(draft, index, { phase: 'Cancelled', reason: 'RunStopping', at });
  if (isInfrastructure(verdict.error.type)) row.infrastructureFailures++;
  if (verdict.phase === 'TimedOut' && now >= deadlineOf(planned, row)) return endByDeadline(draft, index, at);
  failAttempt(draft, index, live.number, verdict.error, at);
}

type Verdict =
  | { phase: 'Succeeded'; error: null; outputs: NonNullable<StepRow['outputs']> }
  | { phase: 'Failed' | 'TimedOut'; error: StepError }
  | { phase: 'Cancelled'; error: null };

/** What an attempt comes to, given what it was told. One that succeeded before its time was up did succeed. */
function judge(
  live: AttemptRow,
  row: StepRow,
  step: PlanStep,
  at: number,
  result: AttemptResult,
  usedBytes: number,
): Verdict {
  const limit = Math.min(live.startedAt + (step.timeoutMs ?? Number.POSITIVE_INFINITY), deadlineOf(step, row));
  if (live.stopReason === 'timeout' && (result.outcome !== 'Succeeded' || at > limit)) {
    const message = `did not end within ${formatDuration(limit - live.startedAt)}`;
    return { phase: 'TimedOut', error: { type: 'timeout', message, retryable: true } };
  }
  if (result.outcome === 'Succeeded') {
    const read = readOutputs(step.body, result.outputs, usedBytes);
    return read.ok
      ? { phase: 'Succeeded', error: null, outputs: read.outputs }
      : { phase: 'Failed', error: storableError(read.error) };
  }
  if (live.stopReason === 'cancelled') return { phase: 'Cancelled', error: null };
  if (result.outcome === 'Failed') return { phase: 'Failed', error: storableError(result.error) };
  const message = 'was stopped by something other than this run';
  return { phase: 'Failed', error: { type: 'infrastructure/stopped', message, retryable: true } };
}

/** Retries a failed step if its policy allows, else fails it; a run that is stopping starts nothing more. */
function failAttempt(draft: Draft, index: StepIndex, number: number, error: StepError, at: number): void {
  const { state, plan, now } = draft;
  const step = plan.steps[index] as PlanStep;
  const row = stepAt(state, index).row as StepRow;
  const again = evaluated(() => wantsRetry(step, row, error, state.context));
  if (!again.ok) return endStep(draft, index, { phase: 'Failed', error: again.error, at });
  if (!again.value) return endStep(draft, index, { phase: 'Failed', error, at });
  if (isStopping(draft, step)) return endStep(draft, index, { phase: 'Cancelled', reason: 'RunStopping', at });
  const key = { runId: state.run.id, step: step.name, attempt: number };
  const pause = retryPauseMs(step.retry, key, error.retryAfterMs);
  moveStep(draft, index, { phase: 'Retrying', reason: 'Backoff', until: now + pause, error });
  const next = `attempt ${number} of step ${step.name} failed: ${error.message}; next in ${formatDuration(pause)}`;
  emit(draft, 'Warning', 'AttemptFailed', next);
}

function wantsRetry(step: PlanStep, row: StepRow, error: StepError, context: ExpressionContext): boolean {
  // A request that must not be sent twice is not, whoever lost the first.
  if (step.body.kind === 'http' && !step.body.retryable) return false;
  if (!hasRetryLeft(step.retry, error.type, row.attempts, row.infrastructureFailures)) return false;
  if (isInfrastructure(error.type) || step.retry.condition === null) return error.retryable;
  return step.retry.condition.evaluate({ ...context, error: { ...error }, attempt: row.attempts });
}

function isStopping(draft: Draft, step: PlanStep): boolean {
  const { run } = draft.state;
  return step.section === 'main' && run.outcome !== null;
}

function deadlineOf(step: PlanStep, row: StepRow): number {
  return step.deadlineMs === null || row.startedAt === null
    ? Number.POSITIVE_INFINITY
    : row.startedAt + step.deadlineMs;
}

/** Ends a step whose own deadline has passed: no retry. */
export function endByDeadline(draft: Draft, index: StepIndex, at = draft.now): void {
  const deadline = draft.plan.steps[index]?.deadlineMs ?? 0;
  const message = `did not end within its deadline of ${formatDuration(deadline)}`;
  endStep(draft, index, { phase: 'TimedOut', error: { type: 'timeout', message, retryable: false }, at });
}

/** Stops whatever a step is doing because its run is ending. */
export function cancelStep(draft: Draft, index: StepIndex): void {
  const { row, live } = stepAt(draft.state, index);
  if (live !== null) stopAttempt(draft, index, 'cancelled');
  else if (row === null || !hasEnded(row.phase)) endStep(draft, index, { phase: 'Cancelled', reason: 'RunStopping' });
}

function pushStop(draft: Draft, index: StepIndex, live: AttemptRow): void {
  const body = draft.plan.steps[index]?.body as AttemptBody;
  draft.actions.push({ type: 'Stop', key: keyOf(live), kind: body.kind, graceMs });
}

function startAction(draft: Draft, live: AttemptRow, body: ReturnType<typeof resolveBody>) {
  const { namespace, name: runName, workflow, digest } = draft.state.run;
  return {
    type: 'Start' as const,
    key: keyOf(live),
    namespace,
    runName,
    workflow,
    digest,
    body,
    startedAt: live.startedAt,
  };
}

function keyOf(live: AttemptRow) {
  return { runId: live.runId, step: live.step, attempt: live.number };
}
