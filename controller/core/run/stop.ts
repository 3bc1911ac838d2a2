import { formatDuration } from '../duration.ts';
import type { Plan } from '../plan/types.ts';
import { stopUnit } from './attempts.ts';
import type { Draft } from './draft.ts';
import { stopForEach } from './for-each.ts';
import { errorView } from './state.ts';
import { compensationLimitMs, finallyLimitMs } from './timers.ts';
import type { RunOutcome, RunRow, StepError } from './types.ts';
import { hasEnded, phaseOf, reasons, type StepState } from './units.ts';

/** Stops the main steps of a run. The first cause wins. */
export function stopRun(draft: Draft, outcome: 'Failed' | 'Cancelled' | 'TimedOut', error: StepError): void {
  if (draft.state.run.outcome !== null) return;
  setOutcome(draft, outcome, error);
  for (const step of draft.state.steps) if (step.step.section === 'main') stopStep(draft, step);
}

/** `finally` has had its time, or is not wanted. */
export function stopFinally(draft: Draft): void {
  for (const step of draft.state.steps) if (step.step.section === 'finally') stopStep(draft, step);
}

/** A critical step has failed: what runs beside it is stopped. */
export function haltFor(draft: Draft, step: StepState): void {
  if (step.step.section === 'finally') return stopFinally(draft);
  stopRun(draft, 'Failed', errorOfStep(step));
}

function stopStep(draft: Draft, step: StepState): void {
  if (step.step.forEach !== null && phaseOf(step) === 'Running') {
    stopForEach(draft, step, reasons.runStopping, null);
  } else if (!hasEnded(phaseOf(step))) {
    stopUnit(draft, step);
  }
}

/** Fixes what the run comes to, and why; expressions see it from now on. */
export function setOutcome(draft: Draft, outcome: RunOutcome, error: StepError | null): void {
  const { run, context } = draft.state;
  run.outcome = outcome;
  run.error = error;
  context.run.outcome = outcome;
  context.run.error = errorView(error);
  draft.runChanged = true;
}

/** Why a run failed: the error of a step, with its name. */
export function errorOfStep({ step, row }: StepState): StepError {
  const error = row?.error ?? finallyTimeout;
  return { ...error, message: `step ${step.name}: ${error.message}` };
}

const finallyTimeout: StepError = {
  type: 'timeout',
  message: `cancelled, as finally did not end within ${formatDuration(finallyLimitMs)}`,
  retryable: false,
};

/** Why a compensation was cut short. */
export function compensationCut({ forced }: RunRow): StepError {
  if (forced)
    return { type: 'cancelled', message: 'was given up, as the run was cancelled by force', retryable: false };
  const message = `the compensations did not end within ${formatDuration(compensationLimitMs)}`;
  return { type: 'timeout', message, retryable: false };
}

/** Why a run stopped when its own limit passed. */
export function runTimeout(plan: Plan): StepError {
  const message = `the run did not end within ${formatDuration(plan.timeoutMs ?? 0)}`;
  return { type: 'timeout', message, retryable: false };
}
