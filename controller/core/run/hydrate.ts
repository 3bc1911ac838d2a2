import type { Plan } from '../plan/types.ts';
import { outputsSize } from './outputs.ts';
import { armTimers, emptyState, enterPhase, hasEnded, isFailure, meetsNeed, type RunState, stepAt } from './state.ts';
import { ofRun } from './timers.ts';
import { isFinished, type RunRows } from './types.ts';

/**
 * Rebuilds the state of a run from its rows. The next decision says the Start or Stop of every live attempt again, for
 * the rows cannot tell whether it was heard. The spec must be observed anew: its approvals are no rows.
 * @throws when the rows name a step that the plan does not have: they are of another version
 */
export function hydrate(plan: Plan, rows: RunRows): RunState {
  const state = emptyState(plan, { ...rows.run });
  for (const attempt of rows.attempts) {
    if (attempt.phase !== 'Starting' && attempt.phase !== 'Stopping') continue;
    const index = indexOf(plan, attempt.step);
    stepAt(state, index).live = { ...attempt };
    state.unconfirmed.push(index);
  }
  state.unconfirmed.sort((a, b) => a - b);
  for (const row of rows.steps) {
    enterPhase(plan, state, indexOf(plan, row.step), 'Pending', { ...row });
    state.outputBytes += outputsSize(row.outputs);
  }
  restoreNeeds(plan, state);
  restoreReady(plan, state);
  armTimers(plan, state, ofRun);
  return state;
}

function indexOf(plan: Plan, name: string): number {
  const index = plan.byName.get(name);
  if (index === undefined)
    throw new Error(`step ${name} is recorded, but ${plan.name} (${plan.digest}) has no such step`);
  return index;
}

function restoreNeeds(plan: Plan, state: RunState): void {
  const left = plan.steps.map((step) => step.needs.length);
  const reached = plan.steps.filter((step) => step.needs.length === 0).map((step) => step.index);
  for (const { index, successors } of plan.steps) {
    const { row } = stepAt(state, index);
    if (row === null || !hasEnded(row.phase)) continue;
    for (const successor of successors) {
      const next = stepAt(state, successor);
      next.unmet--;
      if (!meetsNeed(row)) next.blocked = true;
    }
  }
  // In the order of the graph, as a failure is handed down from need to need.
  for (let i = 0; i < reached.length; i++) {
    const index = reached[i] as number;
    const step = stepAt(state, index);
    if (step.row === null || !hasEnded(step.row.phase)) continue;
    const failed = step.upstreamFailed || isFailure(step.row.phase);
    for (const successor of plan.steps[index]?.successors ?? []) {
      if (failed) stepAt(state, successor).upstreamFailed = true;
      left[successor] = (left[successor] ?? 0) - 1;
      if (left[successor] === 0) reached.push(successor);
    }
  }
}

/** Between decisions a Pending step with all needs ended is one that a pause held back. */
function restoreReady(plan: Plan, state: RunState): void {
  const { run } = state;
  if (isFinished(run.phase) || run.phase === 'Queued') return;
  const inMain = run.phase === 'Running' && run.outcome === null;
  const from = inMain ? 0 : plan.mainCount;
  const to = inMain ? plan.mainCount : run.phase === 'Finalizing' ? state.steps.length : from;
  for (let index = from; index < to; index++) {
    const { row, unmet } = stepAt(state, index);
    if (row === null && unmet === 0) state.ready.push(index);
  }
}
