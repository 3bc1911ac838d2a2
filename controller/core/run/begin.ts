import { beginApproval } from './approvals.ts';
import { startAttempt } from './attempts.ts';
import { askCache } from './cached.ts';
import { type Draft, endUnit } from './draft.ts';
import { beginForEach, lookAtItems } from './for-each.ts';
import { beginWait, decideAssert, decideCases } from './immediate.ts';
import { askLocks } from './locks.ts';
import { evaluated } from './resolve.ts';
import { isStopping } from './settle-unit.ts';
import { hold, isFull, stepAt, stepOf, takeReady } from './state.ts';
import { haltFor } from './stop.ts';
import { type StepRow, wholeStep } from './types.ts';
import { bodyOf, reasons, takesSlot, type Unit } from './units.ts';

/**
 * Begins every unit that may. What ends at once (a skipped step, an assertion, a decision table) readies its successors
 * for the same loop, so a hand-off is one commit and a long chain of them needs no stack.
 */
export function dispatch(draft: Draft): void {
  const { state, plan } = draft;
  for (;;) {
    lookAtEnded(draft);
    // Paused: nothing begins. What is ready stays so.
    if (state.run.desired === 'Paused') return;
    const unit = takeReady(plan, state);
    if (unit === undefined) return;
    begin(draft, unit);
  }
}

/** What follows from ends, before anything else begins. */
function lookAtEnded(draft: Draft): void {
  while (draft.halt !== null || draft.itemsEnded.length > 0) {
    const { itemsEnded } = draft;
    draft.itemsEnded = [];
    for (const step of itemsEnded) lookAtItems(draft, step);
    const { halt } = draft;
    draft.halt = null;
    if (halt !== null) haltFor(draft, halt);
  }
}

function begin(draft: Draft, unit: Unit): void {
  const { state, now } = draft;
  // A run that is stopping starts no main step; one that has not got there starts no `finally`.
  if (unit.step.section === 'finally' && state.run.phase !== 'Finalizing') return;
  if (isStopping(draft, unit)) return;
  const { row } = unit;
  if (row === null || row.phase === 'Pending') beginUnit(draft, unit);
  else if (isDue(row, now)) beginBody(draft, unit);
}

/** Whether a unit that has begun may go on now. */
export function isDue({ phase, reason, until }: StepRow, now: number): boolean {
  const timed = phase === 'Retrying' || (phase === 'Waiting' && reason === reasons.interval);
  if (timed) return until !== null && until <= now;
  return phase === 'Waiting' && (reason === reasons.turn || reason === reasons.circuit);
}

function beginUnit(draft: Draft, unit: Unit): void {
  const { state, plan } = draft;
  const { step, item } = unit;
  if (item === wholeStep) {
    if (!isWanted(draft, unit)) return;
    if (step.forEach !== null) return beginForEach(draft, stepOf(state, unit));
  }
  if (takesSlot(step.main.body.kind) && isFull(plan, state)) return hold(state, unit);
  if (askCache(draft, unit) || askLocks(draft, unit)) return;
  beginBody(draft, unit);
}

/** Whether a step whose needs have ended is to run; if not it is ended here. */
function isWanted(draft: Draft, unit: Unit): boolean {
  const { state } = draft;
  const { step } = unit;
  const { blocked, upstreamFailed } = stepAt(state, step.index);
  const { condition } = step;
  const judgesNeeds =
    condition !== null && (condition.calls.always || condition.calls.failure || condition.calls.status.length > 0);
  if (blocked && !judgesNeeds) {
    endUnit(draft, unit, { phase: 'Skipped', reason: reasons.needNotMet });
    return false;
  }
  if (condition === null) return true;
  const failure = upstreamFailed || (step.section === 'finally' && runFailed(draft));
  const wanted = evaluated(() => condition.evaluate(state.context, { failure }));
  if (!wanted.ok) endUnit(draft, unit, { phase: 'Failed', error: wanted.error });
  else if (!wanted.value) endUnit(draft, unit, { phase: 'Skipped', reason: 'ConditionFalse' });
  return wanted.ok && wanted.value;
}

/** `finally` comes after everything: to it, the run itself is a need. */
function runFailed(draft: Draft): boolean {
  const { outcome } = draft.state.run;
  return outcome === 'Failed' || outcome === 'TimedOut';
}

function beginBody(draft: Draft, unit: Unit): void {
  const { body } = bodyOf(unit.step, unit.row?.via ?? 'main');
  switch (body.kind) {
    case 'assert':
      return decideAssert(draft, unit, body);
    case 'decide':
      return decideCases(draft, unit, body);
    case 'wait':
      return beginWait(draft, unit, body);
    case 'approval':
      return beginApproval(draft, unit, body);
    default:
      return startAttempt(draft, unit);
  }
}
