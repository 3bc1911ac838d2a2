import type { PlanStep, StepIndex } from '../plan/types.ts';
import { beginApproval } from './approvals.ts';
import { startAttempt } from './attempts.ts';
import { type Draft, endStep } from './draft.ts';
import { beginWait, decideAssert, decideCases } from './immediate.ts';
import { evaluated } from './resolve.ts';
import { needNotMet, stepAt } from './state.ts';

/**
 * Begins every step that may. What ends at once (a skipped step, an assertion, a decision table) readies its successors
 * for the same loop, so a hand-off is one commit and a long chain of them needs no stack.
 */
export function dispatch(draft: Draft): void {
  const { state } = draft;
  // Paused: nothing begins. What is ready stays so.
  if (state.run.desired === 'Paused') return;
  for (let next = 0; next < state.ready.length; next++) begin(draft, state.ready[next] as StepIndex);
  state.ready = [];
}

function begin(draft: Draft, index: StepIndex): void {
  const { state, plan, now } = draft;
  const step = plan.steps[index] as PlanStep;
  const { row } = stepAt(state, index);
  // A run that is stopping starts no main step; one that has not got there starts no `finally`.
  if (step.section === 'main' ? state.run.outcome !== null : state.run.phase !== 'Finalizing') return;
  if (row === null) {
    if (isWanted(draft, step)) beginBody(draft, step);
  } else if (row.phase === 'Retrying' && row.until !== null && row.until <= now) {
    beginBody(draft, step);
  }
}

/** Whether a step whose needs have ended is to run; if not it is ended here. */
function isWanted(draft: Draft, step: PlanStep): boolean {
  const { state } = draft;
  const { blocked, upstreamFailed } = stepAt(state, step.index);
  const { condition } = step;
  const judgesNeeds =
    condition !== null && (condition.calls.always || condition.calls.failure || condition.calls.status.length > 0);
  if (blocked && !judgesNeeds) {
    endStep(draft, step.index, { phase: 'Skipped', reason: needNotMet });
    return false;
  }
  if (condition === null) return true;
  const failure = upstreamFailed || (step.section === 'finally' && runFailed(draft));
  const wanted = evaluated(() => condition.evaluate(state.context, { failure }));
  if (!wanted.ok) endStep(draft, step.index, { phase: 'Failed', error: wanted.error });
  else if (!wanted.value) endStep(draft, step.index, { phase: 'Skipped', reason: 'ConditionFalse' });
  return wanted.ok && wanted.value;
}

/** `finally` comes after everything: to it, the run itself is a need. */
function runFailed(draft: Draft): boolean {
  const { outcome } = draft.state.run;
  return outcome === 'Failed' || outcome === 'TimedOut';
}

function beginBody(draft: Draft, step: PlanStep): void {
  const { body } = step;
  switch (body.kind) {
    case 'assert':
      return decideAssert(draft, step, body);
    case 'decide':
      return decideCases(draft, step, body);
    case 'wait':
      return beginWait(draft, step, body);
    case 'approval':
      return beginApproval(draft, step, body);
    case 'run':
    case 'http':
    case 'template':
      return startAttempt(draft, step.index, body);
  }
}
