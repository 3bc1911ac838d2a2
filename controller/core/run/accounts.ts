import type { RunState } from './state.ts';
import { errorView, failuresKept, itemsOf, stepAt, stepOf } from './state.ts';
import { wholeStep } from './types.ts';
import {
  hasEnded,
  hasItems,
  isCompensable,
  isFailure,
  meetsNeed,
  reasons,
  type StepState,
  type Unit,
} from './units.ts';

/** Adds a unit's row to what the state counts, or with `sign` -1 takes it out before the row changes. Keeps every counter right without ever counting. */
export function count(state: RunState, unit: Unit, sign: 1 | -1): void {
  const { row, step } = unit;
  if (row === null) return;
  const { phase } = row;
  if (!hasItems(unit)) {
    if (phase === 'Waiting' || phase === 'Running' || phase === 'Retrying') state.counts[phase] += sign;
    if (isCompensable(unit)) state.compensation.left += sign;
    if (row.reason === reasons.compensationFailed) state.compensation.failed += sign;
    if (row.reason === reasons.approval) keepIn(state.awaitingApproval, unit, sign === 1);
    if (row.reason === reasons.circuit) keepIn(state.awaitingCircuit, unit, sign === 1);
  }
  if (unit.item !== wholeStep) {
    countItem(stepOf(state, unit), unit, sign);
  } else if (hasEnded(phase)) {
    if (step.section === 'main') state.mainLeft -= sign;
    else state.finallyLeft -= sign;
  }
}

function countItem(step: StepState, { row, item }: Unit, sign: 1 | -1): void {
  const items = itemsOf(step);
  if (row === null || row.phase === 'Pending') return;
  if (!hasEnded(row.phase)) {
    items.running += sign;
    return;
  }
  items.ended += sign;
  if (row.phase === 'Cancelled') items.cancelled += sign;
  if (!isFailure(row.phase)) return;
  items.failed += sign;
  if (sign === 1 && (items.firstFailed < 0 || item < items.firstFailed)) items.firstFailed = item;
}

function keepIn(set: Set<Unit>, unit: Unit, is: boolean): void {
  if (is) set.add(unit);
  else set.delete(unit);
}

/** What expressions see of a unit: its step's entry, or its place in the list of a forEach. */
export function show(state: RunState, unit: Unit): void {
  const { row, item } = unit;
  if (row === null) return;
  const step = stepOf(state, unit);
  if (item !== wholeStep) {
    if (row.outputs !== null) itemsOf(step).outputs[item] = row.outputs;
    return;
  }
  const { view } = step;
  view.phase = row.phase;
  view.error = errorView(row.error);
  if (!hasItems(unit)) view.outputs = row.outputs;
  else view.outputs = hasEnded(row.phase) && row.items !== null ? itemsOf(step).outputs : null;
}

/** Remembers what an ended unit means to the run: failures, and what makes it Degraded. */
export function noteEnd(state: RunState, unit: Unit): void {
  const { row, step, item } = unit;
  if (row === null) return;
  const { section, criticality } = step;
  const helped = row.phase === 'Succeeded' ? row.via.startsWith('fallback') : row.reason === reasons.fallback;
  const failed = isFailure(row.phase) && item === wholeStep;
  const cut = section === 'finally' && row.phase === 'Cancelled' && item === wholeStep;
  const tolerated = (failed || cut) && (criticality === 'medium' || criticality === 'low');
  if (helped || tolerated) state.degraded[section].add(step.index);
  if (!failed && !cut) return;
  if (failed && section === 'finally' && criticality === 'critical') state.finallyHalted = true;
  const whole = stepAt(state, step.index);
  remember(state.failures[section], whole);
  const { [section]: fatal } = state.fatal;
  if (!tolerated && (fatal === null || endedBefore(whole, fatal))) state.fatal[section] = whole;
}

function remember(list: StepState[], step: StepState): void {
  let place = list.length;
  while (place > 0 && endedBefore(step, list[place - 1] as StepState)) place--;
  list.splice(place, 0, step);
  if (list.length > failuresKept) list.pop();
}

function endedBefore(a: StepState, b: StepState): boolean {
  const later = (a.row?.finishedAt ?? 0) - (b.row?.finishedAt ?? 0);
  return (later || a.step.index - b.step.index) < 0;
}

/** Tells the steps that need an ended one. Those whose last need it was are handed to `onReady`. */
export function releaseSuccessors(state: RunState, step: StepState, onReady: (successor: StepState) => void): void {
  if (step.row === null) return;
  const met = meetsNeed(step);
  if (isFailure(step.row.phase)) handDownFailure(state, step);
  for (const index of step.step.successors) {
    const next = stepAt(state, index);
    next.unmet--;
    if (!met) next.blocked = true;
    if (next.unmet === 0) onReady(next);
  }
}

/**
 * Tells all that come after a failed step, at once or later, each of them once. What lies between may have ended long before,
 * when the run goes on and has kept it.
 */
export function handDownFailure(state: RunState, failed: StepState): void {
  const told = [failed];
  for (const { step } of told) {
    for (const index of step.successors) {
      const next = stepAt(state, index);
      if (next.upstreamFailed) continue;
      next.upstreamFailed = true;
      told.push(next);
    }
  }
}
