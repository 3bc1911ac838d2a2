import type { Plan } from '../plan/types.ts';
import type { Instant } from '../time.ts';
import { heapPop, heapPush } from './heap.ts';
import type { RunState } from './state.ts';
import type { RunRow } from './types.ts';
import { wholeStep } from './types.ts';
import { bodyOf, reasons, type Unit } from './units.ts';

/** Longest time of all `finally` steps together. */
export const finallyLimitMs = 30 * 60_000;

/** Longest time of all compensations together. */
export const compensationLimitMs = 30 * 60_000;

/** `finally` has had its time, or is not wanted. */
export function isFinallyOver(run: RunRow, now: Instant): boolean {
  return run.forced || (run.finalizingAt !== null && now >= run.finalizingAt + finallyLimitMs);
}

/** Compensating has had its time, or is not wanted. */
export function isCompensationOver(run: RunRow, now: Instant): boolean {
  return run.forced || (run.compensatingAt !== null && now >= run.compensatingAt + compensationLimitMs);
}

/** How long an attempt that must stop may take to do so politely. */
export const graceMs = 30_000;

/** In the order in which timers of one instant are served: what ends well goes before what cuts short. */
const unitKinds = ['until', 'attempt', 'deadline'] as const;
const runKinds = ['queue', 'run', 'compensation', 'finally'] as const;
export type TimerKind = (typeof unitKinds)[number] | (typeof runKinds)[number];
const order: readonly TimerKind[] = [...unitKinds, ...runKinds];

/**
 * Timers are kept in a heap. Nothing is ever removed from its middle: whether a timer still stands is read from the rows
 * when it reaches the top, so cancelling costs nothing and cannot be forgotten.
 */
export interface Timer {
  at: Instant;
  kind: TimerKind;
  /** Null: of the run itself. */
  unit: Unit | null;
  /** Place among those of one instant. */
  order: number;
}

/** Sets every timer that the rows of a unit imply. A timer twice in the heap does no harm. */
export function armTimers(state: RunState, unit: Unit): void {
  const { row } = unit;
  // Most moves of a unit are its end.
  if (row !== null && row.finishedAt !== null && row.reason !== reasons.compensating) return;
  for (const kind of unitKinds) {
    const at = unitInstant(kind, unit);
    if (at !== null) heapPush(state.timers, timerOf(at, kind, unit), isBefore);
  }
}

/** Sets the timers of the run itself. */
export function armRunTimers(plan: Plan, state: RunState): void {
  for (const kind of runKinds) {
    const at = runInstant(plan, state.run, kind);
    if (at !== null) heapPush(state.timers, timerOf(at, kind, null), isBefore);
  }
}

function timerOf(at: Instant, kind: TimerKind, unit: Unit | null): Timer {
  return { at, kind, unit, order: order.indexOf(kind) * 2 ** 40 + (unit?.order ?? 0) };
}

/** When a timer of a kind is due, read from the rows; null when there is none now. This alone says whether a timer stands. */
export function timerInstant(plan: Plan, state: RunState, { kind, unit }: Timer): Instant | null {
  return unit === null ? runInstant(plan, state.run, kind) : unitInstant(kind, unit);
}

function unitInstant(kind: TimerKind, { step, item, row, live }: Unit): Instant | null {
  if (row === null || row.startedAt === null) return null;
  const compensates = row.reason === reasons.compensating;
  if (row.finishedAt !== null && !compensates) return null;
  switch (kind) {
    case 'until':
      return row.phase === 'Waiting' || row.phase === 'Retrying' || compensates ? row.until : null;
    case 'attempt': {
      const timeoutMs = live?.phase === 'Starting' ? bodyOf(step, live.via).timeoutMs : null;
      return live === null || timeoutMs === null ? null : live.startedAt + timeoutMs;
    }
    case 'deadline': {
      // Of a whole step. What stops already has nothing more to lose; its end looks at the deadline again.
      const stops = live?.phase === 'Stopping' || (step.forEach !== null && row.reason !== null);
      return item !== wholeStep || compensates || stops || step.deadlineMs === null
        ? null
        : row.startedAt + step.deadlineMs;
    }
    default:
      return null;
  }
}

function runInstant(plan: Plan, run: RunRow, kind: TimerKind): Instant | null {
  switch (kind) {
    case 'queue':
      return run.phase === 'Queued' && plan.queueTimeoutMs !== null ? run.queuedAt + plan.queueTimeoutMs : null;
    case 'run':
      return run.phase === 'Running' &&
        run.outcome === null &&
        run.startedAt !== null &&
        run.standsSince === null &&
        plan.timeoutMs !== null
        ? run.startedAt + plan.timeoutMs + run.stoodMs
        : null;
    case 'compensation':
      return run.phase === 'Compensating' && run.compensatingAt !== null
        ? run.compensatingAt + compensationLimitMs
        : null;
    case 'finally':
      return run.phase === 'Finalizing' && run.finalizingAt !== null ? run.finalizingAt + finallyLimitMs : null;
    default:
      return null;
  }
}

/** The earliest timer that stands, left in the heap; those before it that no longer stand are dropped. */
export function nextTimer(plan: Plan, state: RunState): Timer | null {
  for (;;) {
    const timer = state.timers[0];
    if (timer === undefined) return null;
    if (timerInstant(plan, state, timer) === timer.at) return timer;
    heapPop(state.timers, isBefore);
  }
}

/** Takes the earliest timer that stands out of the heap if it is due. */
export function takeDueTimer(plan: Plan, state: RunState, now: Instant): Timer | null {
  const timer = nextTimer(plan, state);
  if (timer === null || timer.at > now) return null;
  heapPop(state.timers, isBefore);
  return timer;
}

/** A total order, so that a hydrated run serves simultaneous timers as the folded one would. */
function isBefore(a: Timer, b: Timer): boolean {
  return a.at === b.at ? a.order < b.order : a.at < b.at;
}
