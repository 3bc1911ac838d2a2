import type { Plan, StepIndex } from '../plan/types.ts';
import type { Instant } from '../time.ts';
import { endApprovalByTimeout, observeApprovals } from './approvals.ts';
import { confirmAttempt, endByDeadline, observeAttemptEnded, stopAttempt } from './attempts.ts';
import { closeDraft, type Draft, emit, endStep, newDraft } from './draft.ts';
import { runTimeout, settle, stopFinally, stopRun } from './ending.ts';
import { armTimers, type RunState, stepAt } from './state.ts';
import { storableText } from './storable.ts';
import type { Timer } from './timer-heap.ts';
import { nextTimer, ofRun, takeDueTimer } from './timers.ts';
import { isFinished, type RunDecision, type RunObservation } from './types.ts';

/**
 * Decides what becomes of a run, given what was observed since the last decision. Pure but for `state`, which it updates
 * in place: commit `transition` first, then perform `actions`; when either fails drop the state and hydrate anew.
 * Costs what the changed steps and their successors cost, never the size of the run.
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
  if (state.run.phase === 'Queued') beginRun(draft);
  for (const observation of observations) observe(draft, observation);
  for (let timer = takeDueTimer(plan, state, now); timer !== null; timer = takeDueTimer(plan, state, now)) {
    fire(draft, timer);
  }
  for (const index of state.unconfirmed) confirmAttempt(draft, index);
  state.unconfirmed = [];
  settle(draft);
  keepClock(draft);
  const transition = closeDraft(draft);
  return { state, transition, actions: draft.actions, wakeAt: nextTimer(plan, state)?.at ?? null };
}

/** A run whose data the store refused was ended by the store, while attempts of it may still run. */
function stopsLeft(draft: Draft): Draft['actions'] {
  const { state } = draft;
  for (const index of state.unconfirmed) {
    if (stepAt(state, index).live?.phase === 'Stopping') confirmAttempt(draft, index);
  }
  state.unconfirmed = [];
  return draft.actions;
}

function beginRun(draft: Draft): void {
  const { state, plan, now } = draft;
  state.run.phase = 'Running';
  state.run.startedAt = now;
  draft.runChanged = true;
  emit(draft, 'Normal', 'RunStarted', `run ${state.run.name} of ${state.run.workflow} started`);
  armTimers(plan, state, ofRun);
  for (let index = 0; index < plan.mainCount; index++) {
    if (stepAt(state, index).unmet === 0) state.ready.push(index);
  }
}

function observe(draft: Draft, observation: RunObservation): void {
  if (observation.type === 'AttemptEnded') return observeAttemptEnded(draft, observation);
  if (observation.type === 'LogUnmasked') return observeUnmasked(draft, observation);
  const { run } = draft.state;
  const reason = observation.reason === null ? null : storableText(observation.reason);
  if (run.desired !== observation.desired || run.reason !== reason) {
    run.desired = observation.desired;
    run.reason = reason;
    draft.runChanged = true;
  }
  observeApprovals(draft, observation.approvals);
  if (run.desired === 'Cancelled') {
    const message = reason === null ? 'the run was cancelled' : `the run was cancelled: ${reason}`;
    stopRun(draft, 'Cancelled', { type: 'cancelled', message, retryable: false });
  }
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

function fire(draft: Draft, timer: Timer): void {
  switch (timer.kind) {
    case 'until':
      return endPause(draft, timer.step);
    case 'attempt':
      return stopAttempt(draft, timer.step, 'timeout');
    case 'deadline':
      return stepAt(draft.state, timer.step).live === null
        ? endByDeadline(draft, timer.step)
        : stopAttempt(draft, timer.step, 'timeout');
    case 'run':
      return stopRun(draft, 'TimedOut', runTimeout(draft.plan));
    case 'finally':
      return stopFinally(draft);
  }
}

/** A wait is over, an approval came too late, or the pause before a retry has passed. */
function endPause(draft: Draft, index: StepIndex): void {
  const { state, plan } = draft;
  if (stepAt(state, index).row?.phase === 'Retrying') state.ready.push(index);
  else if (plan.steps[index]?.body.kind === 'approval') endApprovalByTimeout(draft, index);
  else endStep(draft, index, { phase: 'Succeeded', outputs: {} });
}

/** The run's clock stands while nothing runs and it is paused, or waits for nothing but approvals. */
function keepClock(draft: Draft): void {
  const { state, plan, now } = draft;
  const { run, phases } = state;
  const waits = state.awaitingApproval.size;
  const onlyApprovals = waits > 0 && phases.Waiting === waits && phases.Retrying === 0;
  const stands =
    run.phase === 'Running' &&
    run.outcome === null &&
    phases.Running === 0 &&
    (run.desired === 'Paused' || onlyApprovals);
  if (stands === (run.standsSince !== null)) return;
  draft.runChanged = true;
  if (run.standsSince === null) {
    run.standsSince = now;
  } else {
    run.stoodMs += now - run.standsSince;
    run.standsSince = null;
    armTimers(plan, state, ofRun);
  }
}
