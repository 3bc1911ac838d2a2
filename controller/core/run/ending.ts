import { dispatch } from './begin.ts';
import { beginCompensating, compensate } from './compensate.ts';
import { type Draft, emit } from './draft.ts';
import { fit } from './outputs.ts';
import { holdsAsRun } from './queue.ts';
import { evaluated, mapValues } from './resolve.ts';
import { makeReady } from './state.ts';
import { errorOfStep, setOutcome, stopFinally } from './stop.ts';
import { armRunTimers } from './timers.ts';
import type { RunPhase, RunRow, StepError } from './types.ts';

/** Begins everything that may begin, and ends what has nothing left: main steps, compensation, `finally`, then the run. */
export function settle(draft: Draft): void {
  const { state } = draft;
  const { run } = state;
  dispatch(draft);
  if (run.phase === 'Running' && state.mainLeft === 0) closeMain(draft);
  if (run.phase === 'Compensating' && compensate(draft)) beginFinally(draft);
  if (run.phase === 'Finalizing') {
    if (run.forced) stopFinally(draft);
    dispatch(draft);
    if (state.finallyLeft === 0) finish(draft);
  }
}

function closeMain(draft: Draft): void {
  const { state } = draft;
  const { run, compensation, finallyLeft } = state;
  // What comes next begins steps, and a paused run begins none.
  if (run.outcome === null && run.desired === 'Paused' && (finallyLeft > 0 || compensation.left > 0)) return;
  if (run.outcome === null) judgeMain(draft);
  const wentBadly = run.outcome !== 'Succeeded' && run.outcome !== 'Degraded';
  if (wentBadly && compensation.left > 0 && !run.forced) beginCompensating(draft);
  else beginFinally(draft);
}

function beginFinally(draft: Draft): void {
  const { state, plan, now } = draft;
  state.run.phase = 'Finalizing';
  draft.runChanged = true;
  if (state.finallyLeft === 0) return;
  state.run.finalizingAt = now;
  armRunTimers(plan, state);
  for (const step of state.steps) if (step.step.section === 'finally' && step.unmet === 0) makeReady(state, step);
}

/** Every main step has ended by itself: what has the run come to? */
function judgeMain(draft: Draft): void {
  const { state, plan } = draft;
  const { main: failed } = state.fatal;
  if (failed !== null) return setOutcome(draft, 'Failed', errorOfStep(failed));
  const values = evaluated(() => mapValues(plan.outputs, (template) => template.evaluate(state.context)));
  if (!values.ok) return setOutcome(draft, 'Failed', inOutputs(values.error));
  const read = fit(values.value, 0);
  if (!read.ok) return setOutcome(draft, 'Failed', inOutputs(read.error));
  state.run.outputs = read.outputs;
  setOutcome(draft, state.degraded.main.size > 0 ? 'Degraded' : 'Succeeded', null);
}

/** The end. A `finally` that failed takes the success, but no other end, away. */
function finish(draft: Draft): void {
  const { state } = draft;
  const { run } = state;
  const { finally: failed } = state.fatal;
  run.phase = run.outcome ?? 'Failed';
  if (run.phase === 'Succeeded' || run.phase === 'Degraded') {
    if (failed !== null) {
      run.phase = run.forced ? 'Cancelled' : 'Failed';
      run.error = run.forced ? forcedError : errorOfStep(failed);
      run.outputs = null;
    } else if (state.degraded.finally.size > 0) {
      run.phase = 'Degraded';
    }
  }
  endRun(draft);
}

/** The run has ended in its phase: it lets go of all that it holds. */
export function endRun(draft: Draft): void {
  const { state, plan, now } = draft;
  const { run } = state;
  run.finishedAt = now;
  draft.runChanged = true;
  if (holdsAsRun(plan)) {
    const { id: runId, namespace } = run;
    draft.actions.push({ type: 'Release', runId, holder: { step: null }, namespace });
  }
  const { phase } = run;
  const isGood = phase === 'Succeeded' || phase === 'Cancelled';
  emit(draft, isGood ? 'Normal' : 'Warning', `Run${phase}`, sayEnd(run));
}

function sayEnd({ name, phase, error }: RunRow): string {
  // The error says that it was cancelled, and why.
  if (phase === 'Cancelled' && error?.type === 'cancelled')
    return error.message.replace(/^the run\b/, () => `run ${name}`);
  const why = error === null ? '' : `: ${error.message}`;
  return `run ${name} ${said[phase]}${why}`;
}

const said: Partial<Record<RunPhase, string>> = {
  Succeeded: 'succeeded',
  Degraded: 'succeeded, degraded',
  Failed: 'failed',
  Cancelled: 'was cancelled',
  TimedOut: 'timed out',
};

const forcedError: StepError = {
  type: 'cancelled',
  message: 'the run was cancelled by force while finally ran',
  retryable: false,
};

function inOutputs(error: StepError): StepError {
  return { ...error, message: `outputs of the workflow: ${error.message}` };
}
