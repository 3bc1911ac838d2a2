import type { Plan } from '../plan/types.ts';
import type { Instant } from '../time.ts';
import { endApprovalByTimeout, observeApprovals } from './approvals.ts';
import { confirmAttempt, endByDeadline, grantLocks, observeAttemptEnded, stopAttempt } from './attempts.ts';
import { askCacheAnswered } from './cache-answers.ts';
import { sayLookUp } from './cached.ts';
import { observeCircuits } from './circuits.ts';
import { closeDraft, type Draft, endUnit, newDraft } from './draft.ts';
import { endRun, settle } from './ending.ts';
import { endForEachByDeadline } from './for-each.ts';
import { asksSince, groupTaken, sayAcquire } from './locks.ts';
import { askQueue, beginRun, holdsAsRun, queueTimeout } from './queue.ts';
import { failCompensation, succeedUnit } from './settle-unit.ts';
import { findUnit, makeReady, type RunState, stepOf } from './state.ts';
import { storableError, storableText } from './storable.ts';
import { runTimeout, setOutcome, stopFinally, stopRun } from './stop.ts';
import { armRunTimers, nextTimer, takeDueTimer, type Timer } from './timers.ts';
import {
  type Holder,
  isFinished,
  type RunDecision,
  type RunObservation,
  type RunOutcome,
  type StepError,
} from './types.ts';
import { hasItems, reasons, type Unit, waitsForLocks } from './units.ts';

/**
 * Decides what becomes of a run, given what was observed since the last decision. Pure but for `state`, which it updates
 * in place: commit `transition` first, then perform `actions`; when either fails drop the state and hydrate anew.
 * Costs what the changed units and the successors of their steps cost, never the size of the run.
 * @throws only when the plan or the rows are not what they say; a user's mistake fails a step, never the decision
 */
export function decideRun(
  plan: Plan,
  state: RunState,
  observations: readonly RunObservation[],
  now: Instant,
): RunDecision<RunState> {
  const draft = newDraft(plan, state, now);
  if (isFinished(state.run.phase)) return { state, transition: null, actions: stopsLeft(draft), wakeAt: null };
  for (const observation of observations) observe(draft, observation);
  for (let timer = takeDueTimer(plan, state, now); timer !== null; timer = takeDueTimer(plan, state, now)) {
    fire(draft, timer);
  }
  if (state.run.phase === 'Queued') leaveQueue(draft);
  for (const unit of state.unconfirmed) confirm(draft, unit);
  state.unconfirmed = [];
  settle(draft);
  keepClock(draft);
  const transition = closeDraft(draft);
  const wakeAt = isFinished(state.run.phase) ? null : (nextTimer(plan, state)?.at ?? null);
  return { state, transition, actions: draft.actions, wakeAt };
}

/** A run whose data the store refused was ended by the store, while attempts of it may still run. */
function stopsLeft(draft: Draft): Draft['actions'] {
  const { state } = draft;
  for (const unit of state.unconfirmed) if (unit.live?.phase === 'Stopping') confirmAttempt(draft, unit);
  state.unconfirmed = [];
  return draft.actions;
}

function observe(draft: Draft, observation: RunObservation): void {
  // What comes after the end of a run that was still queued.
  if (isFinished(draft.state.run.phase)) return;
  switch (observation.type) {
    case 'AttemptEnded':
      return observeAttemptEnded(draft, observation);
    case 'LogUnmasked':
      return observeUnmasked(draft, observation);
    case 'SpecObserved':
      return observeSpec(draft, observation);
    case 'LocksGranted':
      return observeLocks(draft, observation, null);
    case 'LocksRefused':
      return observeLocks(draft, observation, storableError(observation.error));
    case 'CacheHit':
    case 'CacheMiss':
      return askCacheAnswered(draft, observation);
    case 'CircuitsObserved':
      return observeCircuits(draft, observation);
  }
}

function observeSpec(draft: Draft, seen: Extract<RunObservation, { type: 'SpecObserved' }>): void {
  const { run } = draft.state;
  const reason = seen.reason === null ? null : storableText(seen.reason);
  const forced = run.forced || (seen.force && seen.desired === 'Cancelled');
  if (run.desired !== seen.desired || run.reason !== reason || run.forced !== forced) {
    run.desired = seen.desired;
    run.reason = reason;
    run.forced = forced;
    draft.runChanged = true;
  }
  observeApprovals(draft, seen.approvals);
  if (run.desired !== 'Cancelled') return;
  const message = reason === null ? 'the run was cancelled' : `the run was cancelled: ${reason}`;
  const error: StepError = { type: 'cancelled', message, retryable: false };
  if (run.phase === 'Queued') endQueued(draft, 'Cancelled', error);
  else stopRun(draft, 'Cancelled', error);
}

/** Said of the first step alone: one log that shows a value is enough to know that the run's logs do. */
function observeUnmasked(draft: Draft, { step, secrets }: Extract<RunObservation, { type: 'LogUnmasked' }>): void {
  const { run } = draft.state;
  if (run.logsUnmasked !== null) return;
  const names = secrets.slice(0, 5).join(', ');
  run.logsUnmasked = storableText(
    `the log of step ${step} may show values of Secrets: only those labelled windlass.dev/use=allowed are hidden, which these are not: ${names}`,
  );
  draft.runChanged = true;
}

function observeLocks(
  draft: Draft,
  { holder, since }: { holder: Holder; since: Instant },
  refused: StepError | null,
): void {
  const { state, plan } = draft;
  if (holder.step === null) {
    if (state.run.phase !== 'Queued' || since !== state.run.queuedAt || !holdsAsRun(plan)) return;
    if (refused === null) return beginRun(draft);
    // To be turned away by its group is what the workflow asks for: nothing has failed.
    return endQueued(draft, refused.type === groupTaken ? 'Cancelled' : 'Failed', refused);
  }
  const unit = findUnit(plan, state, holder.step, holder.item);
  if (unit === undefined || !unit.row || !waitsForLocks(unit.row) || since !== asksSince(draft, unit)) return;
  if (refused === null) return grantLocks(draft, unit);
  // Nothing of it has begun, and a fallback would need the same locks.
  if (unit.row.via === 'compensate') failCompensation(draft, unit, refused);
  else endUnit(draft, unit, { phase: 'Failed', error: refused });
}

/** A run that never left the queue has nothing to stop, undo or finish. */
function endQueued(draft: Draft, outcome: RunOutcome, error: StepError): void {
  setOutcome(draft, outcome, error);
  draft.state.run.phase = outcome;
  endRun(draft);
}

function leaveQueue(draft: Draft): void {
  const { state, plan } = draft;
  if (!holdsAsRun(plan)) return beginRun(draft);
  if (!state.askQueue) return;
  state.askQueue = false;
  const problem = askQueue(draft);
  if (problem !== null) endQueued(draft, 'Failed', problem);
}

function fire(draft: Draft, { kind, unit }: Timer): void {
  const { plan } = draft;
  if (unit === null) {
    if (kind === 'queue') endQueued(draft, 'TimedOut', queueTimeout(plan, draft.state));
    else if (kind === 'run') stopRun(draft, 'TimedOut', runTimeout(plan));
    else if (kind === 'finally') stopFinally(draft);
    return;
  }
  if (kind === 'until') endPause(draft, unit);
  else if (kind === 'attempt' || unit.live !== null) stopAttempt(draft, unit, 'timeout');
  else if (hasItems(unit)) endForEachByDeadline(draft, stepOf(draft.state, unit));
  else endByDeadline(draft, unit);
}

/** A wait is over, an approval came too late, or the pause before going on has passed. */
function endPause(draft: Draft, unit: Unit): void {
  switch (unit.row?.reason) {
    case reasons.time:
      return succeedUnit(draft, unit, { outputs: {} });
    case reasons.approval:
      return endApprovalByTimeout(draft, unit);
    case reasons.compensating:
      // Taken up when the run is settled.
      return;
    default:
      makeReady(draft.state, unit);
  }
}

/** Says again what a unit waits for that was hydrated: the first may never have got out. */
function confirm(draft: Draft, unit: Unit): void {
  if (unit.live !== null) return confirmAttempt(draft, unit);
  const { row } = unit;
  if (row === null) return;
  if (row.phase === 'Waiting' && row.reason === reasons.cache) sayLookUp(draft, unit);
  else if (waitsForLocks(row) && !draft.steps.has(row)) sayAcquire(draft, unit);
}

/** The run's clock stands while nothing runs and it is paused, or waits for nothing but approvals. */
function keepClock(draft: Draft): void {
  const { state, plan, now } = draft;
  const { run, counts } = state;
  const waits = state.awaitingApproval.size;
  const onlyApprovals = waits > 0 && counts.Waiting === waits && counts.Retrying === 0;
  const stands =
    run.phase === 'Running' &&
    run.outcome === null &&
    counts.Running === 0 &&
    (run.desired === 'Paused' || onlyApprovals);
  if (stands === (run.standsSince !== null)) return;
  draft.runChanged = true;
  if (run.standsSince === null) {
    run.standsSince = now;
  } else {
    run.stoodMs += now - run.standsSince;
    run.standsSince = null;
    armRunTimers(plan, state);
  }
}
