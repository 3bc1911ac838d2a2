import type { Plan, StepIndex } from '../plan/types.ts';
import type { Instant } from '../time.ts';
import type { RunState } from './state.ts';
import { peekTimer, popTimer, type Timer, type TimerKind } from './timer-heap.ts';

/** Longest time of all `finally` steps together. */
export const finallyLimitMs = 30 * 60_000;

/** In place of a step's index: a timer of the run itself. */
export const ofRun: StepIndex = -1;

/** How long an attempt that must stop may take to do so politely. */
export const graceMs = 30_000;

/**
 * When a timer of a kind is due, read from the rows; null when there is none now. This alone says whether a timer
 * stands: heaps hold hints.
 */
export function timerInstant(plan: Plan, state: RunState, kind: TimerKind, index: StepIndex): Instant | null {
  if (index === ofRun) return runInstant(plan, state, kind);
  const row = state.steps[index]?.row;
  const live = state.steps[index]?.live ?? null;
  const step = plan.steps[index];
  if (!row || !step || row.startedAt === null || row.finishedAt !== null) return null;
  switch (kind) {
    case 'until':
      return row.phase === 'Waiting' || row.phase === 'Retrying' ? row.until : null;
    case 'attempt':
      return live?.phase === 'Starting' && step.timeoutMs !== null ? live.startedAt + step.timeoutMs : null;
    case 'deadline':
      // An attempt that stops already has nothing more to lose; its end looks at the deadline again.
      return live?.phase !== 'Stopping' && step.deadlineMs !== null ? row.startedAt + step.deadlineMs : null;
    default:
      return null;
  }
}

function runInstant(plan: Plan, state: RunState, kind: TimerKind): Instant | null {
  const { run } = state;
  switch (kind) {
    case 'run':
      return run.phase === 'Running' &&
        run.outcome === null &&
        run.startedAt !== null &&
        run.standsSince === null &&
        plan.timeoutMs !== null
        ? run.startedAt + plan.timeoutMs + run.stoodMs
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
    const timer = peekTimer(state.timers);
    if (timer === undefined) return null;
    if (timerInstant(plan, state, timer.kind, timer.step) === timer.at) return timer;
    popTimer(state.timers);
  }
}

/** Takes the earliest timer that stands out of the heap if it is due. */
export function takeDueTimer(plan: Plan, state: RunState, now: Instant): Timer | null {
  const timer = nextTimer(plan, state);
  if (timer === null || timer.at > now) return null;
  popTimer(state.timers);
  return timer;
}
