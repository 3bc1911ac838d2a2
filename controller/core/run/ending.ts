import type { Plan } from '../plan/types.ts';
import { cancelStep } from './attempts.ts';
import { type Draft, emit } from './draft.ts';
import { formatDuration } from '../duration.ts';
import { dispatch } from './order.ts';
import { fit } from './outputs.ts';
import { evaluated, mapValues } from './resolve.ts';
import { armTimers, errorView, stepAt } from './state.ts';
import { finallyLimitMs, ofRun } from './timers.ts';
import type { RunOutcome, StepError } from './types.ts';

/** Begins everything that may begin, and ends what has nothing left: main steps, then `finally`, then the run. */
export function settle(draft: Draft): void {
  const { state } = draft;
  dispatch(draft);
  if (state.run.phase === 'Running' && state.mainLeft === 0) {
    closeMain(draft);
    dispatch(draft);
  }
  if (state.run.phase === 'Finalizing' && state.finallyLeft === 0) finish(draft);
}

/** Stops the main steps of a run because of a cause from outside of them. The first cause wins. */
export function stopRun(draft: Draft, outcome: 'Cancelled' | 'TimedOut', error: StepError): void {
  if (draft.state.run.outcome !== null) return;
  setOutcome(draft, outcome, error);
  for (let index = 0; index < draft.plan.mainCount; index++) cancelStep(draft, index);
}

/** `finally` has had its time. */
export function stopFinally(draft: Draft): void {
  for (let index = draft.plan.mainCount; index < draft.state.steps.length; index++) cancelStep(draft, index);
}

function closeMain(draft: Draft): void {
  const { state, plan, now } = draft;
  const hasFinally = state.finallyLeft > 0;
  // What comes next begins steps, and a paused run begins none.
  if (state.run.outcome === null && hasFinally && state.run.desired === 'Paused') return;
  if (state.run.outcome === null) judgeMain(draft);
  if (!hasFinally) return finish(draft);
  state.run.phase = 'Finalizing';
  state.run.finalizingAt = now;
  draft.runChanged = true;
  armTimers(plan, state, ofRun);
  for (let index = plan.mainCount; index < state.steps.length; index++) {
    if (stepAt(state, index).unmet === 0) state.ready.push(index);
  }
}

/** Every main step has ended by itself: what has the run come to? */
function judgeMain(draft: Draft): void {
  const { state, plan } = draft;
  const failed = state.failures.main[0];
  if (failed !== undefined) return setOutcome(draft, 'Failed', errorOfStep(draft, failed));
  const values = evaluated(() => mapValues(plan.outputs, (template) => template.evaluate(state.context)));
  if (!values.ok) return setOutcome(draft, 'Failed', inOutputs(values.error));
  const read = fit(values.value, 0);
  if (!read.ok) return setOutcome(draft, 'Failed', inOutputs(read.error));
  state.run.outputs = read.outputs;
  setOutcome(draft, 'Succeeded', null);
}

function setOutcome(draft: Draft, outcome: RunOutcome, error: StepError | null): void {
  const { run, context } = draft.state;
  run.outcome = outcome;
  run.error = error;
  context.run.outcome = outcome;
  context.run.error = errorView(error);
  draft.runChanged = true;
}

/** The end. A `finally` that failed takes the success, but no other end, away. */
function finish(draft: Draft): void {
  const { state, now } = draft;
  const { run } = state;
  const failed = state.failures.finally[0];
  run.phase = run.outcome ?? 'Failed';
  if (run.phase === 'Succeeded' && failed !== undefined) {
    run.phase = 'Failed';
    run.error = errorOfStep(draft, failed);
    run.outputs = null;
  }
  run.finishedAt = now;
  draft.runChanged = true;
  const why = run.error === null ? '' : `: ${run.error.message}`;
  const isGood = run.phase === 'Succeeded' || run.phase === 'Cancelled';
  emit(draft, isGood ? 'Normal' : 'Warning', `Run${run.phase}`, `run ${run.name} ${said[run.phase]}${why}`);
}

const said = { Succeeded: 'succeeded', Failed: 'failed', Cancelled: 'was cancelled', TimedOut: 'timed out' } as const;

function errorOfStep(draft: Draft, index: number): StepError {
  const { row } = stepAt(draft.state, index);
  const error = row?.error ?? finallyTimeout;
  return { ...error, message: `step ${draft.plan.steps[index]?.name}: ${error.message}` };
}

const finallyTimeout: StepError = {
  type: 'timeout',
  message: `cancelled, as finally did not end within ${formatDuration(finallyLimitMs)}`,
  retryable: false,
};

function inOutputs(error: StepError): StepError {
  return { ...error, message: `outputs of the workflow: ${error.message}` };
}

/** Why a run stopped when its own limit passed. */
export function runTimeout(plan: Plan): StepError {
  const message = `the run did not end within ${formatDuration(plan.timeoutMs ?? 0)}`;
  return { type: 'timeout', message, retryable: false };
}
