import type { Plan } from '../plan/types.ts';
import { count, handDownFailure, noteEnd, show } from './accounts.ts';
import { isDue } from './begin.ts';
import { outputsSize } from './outputs.ts';
import { emptyState, handOutItems, itemAt, itemsOf, makeReady, type RunState, stepAt } from './state.ts';
import { armRunTimers, armTimers } from './timers.ts';
import { isFinished, type RunRows, type StepRow, wholeStep } from './types.ts';
import {
  bodyOf,
  hasEnded,
  isEarlier,
  isFailure,
  isUndone,
  meetsNeed,
  reasons,
  takesSlot,
  type Unit,
  waitsForLocks,
} from './units.ts';

/**
 * Rebuilds the state of a run from its rows. The next decision says again what was said to the world and not answered
 * (starts, stops, requests for locks, questions to the cache), for the rows cannot tell whether it was heard. The spec and
 * the circuits must be observed anew: they are no rows.
 * @param home.limitedSlots the namespace has a limit of running steps
 * @throws when the rows name a step that the plan does not have: they are of another version
 */
export function hydrate(plan: Plan, rows: RunRows, home: { limitedSlots?: boolean } = {}): RunState {
  const state = emptyState(plan, { ...rows.run }, home.limitedSlots ?? false);
  // A step first, so that its items find how many they are.
  for (const row of rows.steps) if (row.item === wholeStep) restoreRow(plan, state, row);
  for (const row of rows.steps) if (row.item !== wholeStep) restoreRow(plan, state, row);
  for (const attempt of rows.attempts) {
    if (attempt.phase !== 'Starting' && attempt.phase !== 'Stopping') continue;
    const unit = unitOf(plan, state, attempt);
    unit.live = { ...attempt };
    if (takesSlot(bodyOf(unit.step, attempt.via).body.kind)) state.slots++;
    armTimers(state, unit);
    state.unconfirmed.push(unit);
  }
  state.unconfirmed.sort((a, b) => (isEarlier(a, b) ? -1 : 1));
  restoreNeeds(plan, state);
  restoreReady(state);
  armRunTimers(plan, state);
  return state;
}

function unitOf(plan: Plan, state: RunState, { step, item }: { step: string; item: number }): Unit {
  const index = plan.byName.get(step);
  if (index === undefined)
    throw new Error(`step ${step} is recorded, but ${plan.name} (${plan.digest}) has no such step`);
  const whole = stepAt(state, index);
  return item === wholeStep ? whole : itemAt(whole, item);
}

function restoreRow(plan: Plan, state: RunState, row: StepRow): void {
  const unit = unitOf(plan, state, row);
  unit.row = row;
  if (row.items !== null) itemsOf(stepAt(state, unit.step.index)).outputs = new Array(row.items).fill(null);
  const asksCache = row.phase === 'Waiting' && row.reason === reasons.cache;
  if (asksCache || waitsForLocks(row)) state.unconfirmed.push(unit);
  if (isUndone(row)) state.compensation.current = unit;
  count(state, unit, 1);
  show(state, unit);
  armTimers(state, unit);
  if (hasEnded(row.phase)) noteEnd(state, unit);
  state.outputBytes += outputsSize(row.outputs);
}

function restoreNeeds(plan: Plan, state: RunState): void {
  for (const { index, successors } of plan.steps) {
    const step = stepAt(state, index);
    if (step.row === null || !hasEnded(step.row.phase)) continue;
    if (isFailure(step.row.phase)) handDownFailure(state, step);
    const met = meetsNeed(step);
    for (const successor of successors) {
      const next = stepAt(state, successor);
      next.unmet--;
      if (!met) next.blocked = true;
    }
  }
}

/** Between decisions a unit that may begin is one that a pause or the run's parallelism held back. */
function restoreReady(state: RunState): void {
  const { run } = state;
  if (isFinished(run.phase) || run.phase === 'Queued') return;
  for (const step of state.steps) {
    const pending = step.row === null || step.row.phase === 'Pending';
    if (pending && step.unmet === 0) makeReady(state, step);
    for (const unit of step.items?.units ?? [step]) {
      // Time is not known here; what is timed has its timer.
      if (unit?.row && isDue(unit.row, Number.NEGATIVE_INFINITY)) makeReady(state, unit);
    }
    if (step.items === null) continue;
    step.items.handedOut = step.items.running;
    handOutItems(state, step);
  }
}
