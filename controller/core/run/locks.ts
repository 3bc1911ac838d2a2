import type { PlanLock } from '../plan/types.ts';
import { contextOf } from './contexts.ts';
import { asksForLocks, asksForSlot, type Draft, moveUnit } from './draft.ts';
import { evaluated } from './resolve.ts';
import { failUnit } from './settle-unit.ts';
import type { ExpressionContext } from '../expression/types.ts';
import type { Instant } from '../time.ts';
import type { LockRequest } from './types.ts';
import { reasons, type Unit } from './units.ts';

/** The type of the error that a run ends with whose group is taken, and rejects. */
export const groupTaken = 'groupTaken';

/**
 * Asks for what a unit must hold before it begins, or before it is undone: for that it needs the same alone as for what it did.
 * True: it waits now, or has failed; false: there is nothing to ask for.
 */
export function askLocks(draft: Draft, unit: Unit): boolean {
  if (!asksForLocks(draft.state, unit)) return false;
  const { row } = unit;
  if (row?.via === 'compensate') {
    moveUnit(draft, unit, { phase: row.phase, reason: reasons.compensationLocks });
  } else {
    moveUnit(draft, unit, {
      phase: 'Waiting',
      reason: reasons.locks,
      startedAt: row?.startedAt ?? draft.now,
      until: null,
    });
  }
  sayAcquire(draft, unit);
  return true;
}

/** Says what a waiting unit asks for, for the first time or again. A name that cannot be evaluated fails it. */
export function sayAcquire(draft: Draft, unit: Unit): void {
  const { state } = draft;
  const { step, item } = unit;
  const { id: runId, namespace, priority } = state.run;
  const locks = evaluated(() => namesOf(step.locks, contextOf(state, unit)));
  if (!locks.ok) return failUnit(draft, unit, { phase: 'Failed', error: locks.error });
  draft.actions.push({
    type: 'Acquire',
    runId,
    holder: { step: step.name, item },
    namespace,
    priority,
    since: asksSince(draft, unit),
    request: { locks: locks.value, group: null, slot: asksForSlot(state, unit) },
    compensates: unit.row?.via === 'compensate',
  });
}

/** Since when a unit asks for what it must hold. This tells its step from its compensation, and an execution from the one before. */
export function asksSince({ state, now }: Draft, { row }: Unit): Instant {
  const startedAt = row?.startedAt ?? now;
  return row?.via === 'compensate' ? Math.max(state.run.compensatingAt ?? now, startedAt + 1) : startedAt;
}

/** Locks in the one order in which they are asked for everywhere; of one that is named twice the smaller limit counts. */
export function namesOf(locks: PlanLock[], context: ExpressionContext): LockRequest['locks'] {
  const limits = new Map<string, number>();
  for (const { name, limit } of locks) {
    const text = name.evaluate(context);
    limits.set(text, Math.min(limit, limits.get(text) ?? limit));
  }
  return Array.from(limits, ([name, limit]) => ({ name, limit })).sort((a, b) => (a.name < b.name ? -1 : 1));
}
