import { formatDuration } from '../duration.ts';
import { hasRetryLeft, isInfrastructure, retryPauseMs } from '../retry.ts';
import { inArtifacts, startAction, stopAction } from './attempt-actions.ts';
import { circuitOf } from './circuits.ts';
import { contextOf, isFallback, seeingOwn } from './contexts.ts';
import { type Draft, emitFor, endUnit, moveUnit, ownAttempt, ownRow, takeTurn } from './draft.ts';
import { readOutputs } from './outputs.ts';
import { type AttemptBody, evaluated, maxChildDepth, resolveBody } from './resolve.ts';
import { cancelUnit, failUnit, isStopping, iterationOf, succeedUnit } from './settle-unit.ts';
import { findUnit, hold, isFull, type RunState, stepAt, stepOf } from './state.ts';
import { storableError, storableText } from './storable.ts';
import { isCompensationOver } from './timers.ts';
import type { AttemptResult, AttemptRow, ResolvedBody, RunObservation, StepError, StepRow } from './types.ts';
import { wholeStep } from './types.ts';
import { bodyOf, hasEnded, noArtifacts, phaseOf, reasons, takesSlot, type Unit, unitName } from './units.ts';

/**
 * Begins the next attempt of a unit. It waits when the run's parallelism is used up or the circuit of its host is open; a
 * body that cannot be evaluated has failed without one.
 */
export function startAttempt(draft: Draft, unit: Unit): void {
  const { state, plan, now } = draft;
  const { step, item, row } = unit;
  const via = row?.via ?? 'main';
  const compensates = via === 'compensate';
  const body = bodyOf(step, via).body as AttemptBody;
  if (!compensates && takesSlot(body.kind) && isFull(plan, state)) return hold(state, unit);
  const resolved = resolve(draft, unit, body, row?.bodyAttempts ?? 0);
  if (!resolved.ok) return failUnit(draft, unit, { phase: 'Failed', error: resolved.error });
  const open = circuitOf(state, resolved.value, now);
  if (open !== null) return waitForCircuit(draft, unit, open);
  const number = (row?.attempts ?? 0) + 1;
  const live: AttemptRow = {
    runId: state.run.id,
    step: step.name,
    item,
    number,
    via,
    phase: 'Starting',
    stopReason: null,
    startedAt: now,
    finishedAt: null,
    error: null,
    imageId: null,
  };
  unit.live = live;
  if (takesSlot(body.kind)) state.slots++;
  draft.attempts.add(live);
  // A fallback may read how the one before it failed, and is evaluated again when the run is hydrated.
  const error = isFallback(via) ? (row?.error ?? null) : null;
  const begun = { attempts: number, bodyAttempts: (row?.bodyAttempts ?? 0) + 1, until: null, error };
  if (compensates) {
    moveUnit(draft, unit, { ...begun, phase: phaseOf(unit), reason: reasons.compensating });
  } else {
    const startedAt = row?.startedAt ?? now;
    moveUnit(draft, unit, { ...begun, phase: 'Running', reason: null, startedAt, iteration: iterationOf(unit) });
  }
  draft.actions.push(startAction(draft, unit, live, resolved.value));
}

/** `before`: how often this body was tried before, since it is its turn. */
function resolve(
  draft: Draft,
  unit: Unit,
  body: AttemptBody,
  before: number,
): { ok: true; value: ResolvedBody } | Refused {
  const { state } = draft;
  if (body.kind === 'workflow' && state.run.depth >= maxChildDepth) {
    const message = `child runs may be nested ${maxChildDepth} deep at most`;
    return { ok: false, error: { type: 'child', message, retryable: false } };
  }
  const own = unit.row?.via === 'compensate' ? unit.row.outputs : null;
  const value = evaluated(() => {
    const context = contextOf(state, unit);
    const resumes = body.kind === 'workflow' && (before > 0 || isRetriedAlone(state, unit));
    if (own === null) return resolveBody(body, context, state.run, resumes);
    return seeingOwn(state, unit, own, () => resolveBody(body, context, state.run, resumes));
  });
  if (!value.ok) return value;
  const artifacts = inArtifacts(draft, unit);
  return artifacts.ok ? value : artifacts;
}

/** A later execution of the run begins it again, and nothing that it needs: it gets what it was given before. */
function isRetriedAlone(state: RunState, { step, row }: Unit): boolean {
  const { execution, queuedAt } = state.run;
  if (execution === 1 || step.section === 'finally' || (row?.via ?? 'main') !== 'main') return false;
  return step.needs.every((need) => (stepAt(state, need).row?.finishedAt ?? queuedAt) < queuedAt);
}

interface Refused {
  ok: false;
  error: StepError;
}

function waitForCircuit(draft: Draft, unit: Unit, until: number): void {
  const { row } = unit;
  if (row?.via === 'compensate') return moveUnit(draft, unit, { phase: row.phase, reason: row.reason, until });
  if (row?.reason === reasons.circuit && row.until === until) return;
  const startedAt = row?.startedAt ?? draft.now;
  moveUnit(draft, unit, { phase: 'Waiting', reason: reasons.circuit, startedAt, until });
}

/** Tells an attempt to end; it is over only when the executor says so. */
export function stopAttempt(draft: Draft, unit: Unit, reason: 'cancelled' | 'timeout'): void {
  const { live } = unit;
  if (live?.phase !== 'Starting') return;
  const own = ownAttempt(draft, live);
  unit.live = Object.assign(own, { phase: 'Stopping', stopReason: reason });
  draft.actions.push(stopAction(draft, unit, own));
}

/** Says the Start or Stop of an attempt again that was live when the run was hydrated: the first may never have got out. */
export function confirmAttempt(draft: Draft, unit: Unit): void {
  const { live, step, row } = unit;
  // Stopping since this very decision: said already.
  if (live === null || draft.attempts.has(live)) return;
  if (live.phase === 'Stopping') {
    draft.actions.push(stopAction(draft, unit, live));
    return;
  }
  const before = Math.max(0, (row?.bodyAttempts ?? 0) - 1);
  const resolved = resolve(draft, unit, bodyOf(step, live.via).body as AttemptBody, before);
  if (resolved.ok) draft.actions.push(startAction(draft, unit, live, resolved.value));
  else endAttempt(draft, unit, live, draft.now, { outcome: 'Failed', error: resolved.error });
}

/** Takes in how an attempt ended. One that is unknown, old or over changes nothing. */
export function observeAttemptEnded(draft: Draft, seen: Extract<RunObservation, { type: 'AttemptEnded' }>): void {
  const unit = findUnit(draft.plan, draft.state, seen.step, seen.item);
  const live = unit?.live ?? null;
  if (unit === undefined || live === null || live.number !== seen.attempt) return;
  endAttempt(draft, unit, live, seen.at, seen.result);
}

function endAttempt(
  draft: Draft,
  unit: Unit,
  begun: Readonly<AttemptRow>,
  seenAt: number,
  result: AttemptResult,
): void {
  const { state, now } = draft;
  // Another machine's clock: never before the beginning nor in the future.
  const at = Math.max(begun.startedAt, Math.min(seenAt, now));
  const deadline = deadlineOf(draft, unit);
  unit.live = null;
  const live = ownAttempt(draft, begun);
  if (takesSlot(bodyOf(unit.step, live.via).body.kind)) state.slots--;
  live.finishedAt = at;
  live.imageId = result.imageId === undefined ? null : storableText(result.imageId);
  const verdict = judge(live, unit, deadline, at, result, state.outputBytes);
  live.phase = verdict.phase;
  live.error = verdict.error;
  if (verdict.phase === 'Succeeded') return succeedUnit(draft, unit, { ...verdict, at });
  if (verdict.phase === 'Cancelled') {
    const error: StepError = { type: 'cancelled', message: 'was stopped', retryable: false };
    return live.via === 'compensate'
      ? failUnit(draft, unit, { phase: 'Failed', error, at })
      : cancelUnit(draft, unit, { at });
  }
  if (isInfrastructure(verdict.error.type)) ownRow(draft, unit).infrastructureFailures++;
  if (verdict.phase === 'TimedOut' && now >= deadline) return endByDeadline(draft, unit, at);
  failAttempt(draft, unit, live.number, verdict.error, at);
}

type Verdict =
  | {
      phase: 'Succeeded';
      error: null;
      outputs: NonNullable<StepRow['outputs']>;
      artifacts: StepRow['artifacts'];
      imageId: string | null;
    }
  | { phase: 'Failed' | 'TimedOut'; error: StepError }
  | { phase: 'Cancelled'; error: null };

/** What an attempt comes to, given what it was told. One that succeeded before its time was up did succeed. */
function judge(
  live: AttemptRow,
  { step }: Unit,
  deadline: number,
  at: number,
  result: AttemptResult,
  usedBytes: number,
): Verdict {
  const { body, timeoutMs } = bodyOf(step, live.via);
  const limit = Math.min(live.startedAt + (timeoutMs ?? Number.POSITIVE_INFINITY), deadline);
  if (live.stopReason === 'timeout' && (result.outcome !== 'Succeeded' || at > limit)) {
    const message = `did not end within ${formatDuration(limit - live.startedAt)}`;
    return { phase: 'TimedOut', error: { type: 'timeout', message, retryable: true } };
  }
  if (result.outcome === 'Succeeded') {
    const more = { error: null, artifacts: result.artifacts ?? noArtifacts, imageId: result.imageId ?? null };
    // Nobody reads what a compensation yields.
    if (live.via === 'compensate') return { phase: 'Succeeded', outputs: {}, ...more };
    const read = readOutputs(body, result.outputs, usedBytes);
    return read.ok
      ? { phase: 'Succeeded', outputs: read.outputs, ...more }
      : { phase: 'Failed', error: storableError(read.error) };
  }
  if (live.stopReason === 'cancelled') return { phase: 'Cancelled', error: null };
  if (result.outcome === 'Failed') return { phase: 'Failed', error: storableError(result.error) };
  const message = 'was stopped by something other than this run';
  return { phase: 'Failed', error: { type: 'infrastructure/stopped', message, retryable: true } };
}

/** Retries a failed body if its policy allows, else it has failed for good; a run that is stopping starts nothing more. */
function failAttempt(draft: Draft, unit: Unit, number: number, error: StepError, at: number): void {
  const { state, now } = draft;
  const row = unit.row as StepRow;
  const again = evaluated(() => wantsRetry(draft, unit, row, error));
  if (!again.ok) return failUnit(draft, unit, { phase: 'Failed', error: again.error, at });
  if (!again.value) return failUnit(draft, unit, { phase: 'Failed', error, at });
  const compensates = row.via === 'compensate';
  if (compensates && isCompensationOver(state.run, now)) return failUnit(draft, unit, { phase: 'Failed', error, at });
  if (!compensates && isStopping(draft, unit)) return cancelUnit(draft, unit, { at });
  const key = { runId: state.run.id, step: unit.step.name, item: unit.item, attempt: number };
  const { retry } = bodyOf(unit.step, row.via);
  const pause = retryPauseMs(retry, key, row.bodyAttempts, error.retryAfterMs);
  const change = { until: now + pause, error };
  if (compensates) moveUnit(draft, unit, { ...change, phase: row.phase, reason: row.reason });
  else moveUnit(draft, unit, { ...change, phase: 'Retrying', reason: reasons.backoff });
  const next = `attempt ${number} of ${unitName(unit)} failed: ${error.message}; next in ${formatDuration(pause)}`;
  emitFor(draft, unit, 'AttemptFailed', next);
}

function wantsRetry({ state }: Draft, unit: Unit, row: StepRow, error: StepError): boolean {
  const { body, retry } = bodyOf(unit.step, row.via);
  // A request that must not be sent twice is not, whoever lost the first.
  if (body.kind === 'http' && !body.retryable) return false;
  if (!hasRetryLeft(retry, error.type, row.bodyAttempts, row.infrastructureFailures)) return false;
  if (isInfrastructure(error.type) || retry.condition === null) return error.retryable;
  return retry.condition.evaluate({ ...contextOf(state, unit), error: { ...error }, attempt: row.bodyAttempts });
}

function deadlineOf({ state }: Draft, unit: Unit): number {
  const { deadlineMs } = unit.step;
  const startedAt = stepOf(state, unit).row?.startedAt ?? null;
  if (deadlineMs === null || startedAt === null || unit.live?.via === 'compensate') return Number.POSITIVE_INFINITY;
  return startedAt + deadlineMs;
}

/** Ends a step whose own deadline has passed: no retry, no fallback. */
export function endByDeadline(draft: Draft, unit: Unit, at = draft.now): void {
  if (unit.item !== wholeStep) return cancelUnit(draft, unit, { at });
  endUnit(draft, unit, { phase: 'TimedOut', error: deadlineError(unit), at });
}

/** Why a step ended whose deadline has passed. */
export function deadlineError({ step }: Unit): StepError {
  const message = `did not end within its deadline of ${formatDuration(step.deadlineMs ?? 0)}`;
  return { type: 'timeout', message, retryable: false };
}

/** Stops whatever a unit is doing, and ends one that does nothing. */
export function stopUnit(draft: Draft, unit: Unit): void {
  if (unit.live !== null) stopAttempt(draft, unit, 'cancelled');
  else if (!hasEnded(phaseOf(unit))) cancelUnit(draft, unit);
}

/** A unit has got the locks that it waited for. */
export function grantLocks(draft: Draft, unit: Unit): void {
  const { row } = unit;
  // Taken up when the run is settled.
  if (row?.via === 'compensate') moveUnit(draft, unit, { phase: row.phase, reason: reasons.compensating });
  else takeTurn(draft, unit);
}
