import { startAttempt, stopAttempt } from './attempts.ts';
import { type Draft, moveUnit } from './draft.ts';
import { askLocks } from './locks.ts';
import { failCompensation } from './settle-unit.ts';
import type { RunState } from './state.ts';
import { compensationCut } from './stop.ts';
import { armRunTimers, isCompensationOver } from './timers.ts';
import { isCompensable, isEarlier, isUndone, phaseOf, reasons, type Unit, waitsForLocks } from './units.ts';

/** Begins to undo what succeeded. */
export function beginCompensating(draft: Draft): void {
  const { state, plan, now } = draft;
  state.run.phase = 'Compensating';
  state.run.compensatingAt = now;
  draft.runChanged = true;
  armRunTimers(plan, state);
}

/** Undoes one unit after the other, the last that ended first. True: there is nothing left to undo. */
export function compensate(draft: Draft): boolean {
  const { state, now } = draft;
  const { compensation, run } = state;
  compensation.queue ??= compensableUnits(state);
  for (;;) {
    const { current } = compensation;
    const over = isCompensationOver(run, now);
    if (current === null) {
      const next = over ? undefined : compensation.queue.at(-1);
      if (next === undefined) return true;
      if (run.desired === 'Paused') return false;
      compensation.queue.pop();
      compensation.current = next;
      begin(draft, next);
    } else if (current.live !== null) {
      if (over) stopAttempt(draft, current, 'cancelled');
      return false;
    } else if (over) {
      failCompensation(draft, current, compensationCut(run));
    } else {
      const { row } = current;
      if (run.desired === 'Paused' || row === null || waitsForLocks(row) || (row.until ?? 0) > now) return false;
      startAttempt(draft, current);
    }
  }
}

function begin(draft: Draft, unit: Unit): void {
  moveUnit(draft, unit, {
    phase: phaseOf(unit),
    reason: reasons.compensating,
    via: 'compensate',
    bodyAttempts: 0,
    infrastructureFailures: 0,
    until: null,
  });
  if (!askLocks(draft, unit)) startAttempt(draft, unit);
}

/** The units to undo, the next one last. */
function compensableUnits(state: RunState): Unit[] {
  const units: Unit[] = [];
  for (const step of state.steps) {
    if (step.step.compensate === null) continue;
    for (const unit of step.items?.units ?? [step]) {
      if (unit !== undefined && isCompensable(unit) && unit.row !== null && !isUndone(unit.row)) units.push(unit);
    }
  }
  const endOf = (unit: Unit) => unit.row?.finishedAt ?? 0;
  return units.sort((a, b) => endOf(a) - endOf(b) || (isEarlier(a, b) ? -1 : 1));
}
