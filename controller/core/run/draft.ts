import type { Plan } from '../plan/types.ts';
import type { Instant } from '../time.ts';
import { count, noteEnd, releaseSuccessors, show } from './accounts.ts';
import { makeReady, type RunState, stepOf } from './state.ts';
import { armTimers } from './timers.ts';
import type { AttemptRow, RunAction, RunEvent, RunTransition, StepError, StepPhase, StepRow } from './types.ts';
import { wholeStep } from './types.ts';
import {
  bodyOf,
  hasEnded,
  hasItems,
  isEarlier,
  isFailure,
  newStepRow,
  reasons,
  type StepState,
  takesSlot,
  type Unit,
} from './units.ts';

/** A decision while it is being made: the state it changes, and what it changed so far. */
export interface Draft {
  plan: Plan;
  state: RunState;
  now: Instant;
  runChanged: boolean;
  /** Rows that are new, or copies of what they were. */
  steps: Set<StepRow>;
  attempts: Set<AttemptRow>;
  events: RunEvent[];
  actions: RunAction[];
  /** Steps of which an item has ended: their accounts are looked at next. */
  itemsEnded: StepState[];
  /** The first critical step, by place, that failed: the rest is stopped next. */
  halt: StepState | null;
}

export function newDraft(plan: Plan, state: RunState, now: Instant): Draft {
  return {
    plan,
    state,
    now,
    runChanged: false,
    steps: new Set(),
    attempts: new Set(),
    events: [],
    actions: [],
    itemsEnded: [],
    halt: null,
  };
}

/** What must be committed; null when nothing changed. Raises the run's revision. */
export function closeDraft(draft: Draft): RunTransition | null {
  const { run } = draft.state;
  if (!draft.runChanged && draft.steps.size === 0 && draft.attempts.size === 0) return null;
  run.revision++;
  return {
    run: { ...run },
    steps: [...draft.steps],
    attempts: [...draft.attempts],
    events: draft.events,
  };
}

export function emit(draft: Draft, type: RunEvent['type'], reason: string, message: string): void {
  draft.events.push({ type, reason, message, at: draft.now });
}

/** Warns about a step. What happens to items is told by their step alone: there may be 10,000 of them. */
export function emitFor(draft: Draft, unit: Unit, reason: string, message: string): void {
  if (unit.item === wholeStep) emit(draft, 'Warning', reason, message);
}

/** Moves a unit on: `phase`, and whatever else its row changes with it. A Pending one gets its row now. */
export function moveUnit(
  draft: Draft,
  unit: Unit,
  change: Partial<StepRow> & { phase: StepPhase; reason: string | null },
): void {
  const { state } = draft;
  count(state, unit, -1);
  Object.assign(ownRow(draft, unit), change);
  count(state, unit, 1);
  show(state, unit);
  armTimers(state, unit);
}

/** The row of a unit as this decision may change it: what was handed out to be committed stays as it is. */
export function ownRow(draft: Draft, unit: Unit): StepRow {
  const { state, steps } = draft;
  const { step, item, row } = unit;
  if (row !== null && steps.has(row)) return row;
  const own = row
    ? { ...row }
    : newStepRow({ runId: state.run.id, step: step.name, item, label: labelOf(state, unit) });
  unit.row = own;
  steps.add(own);
  return own;
}

/** An attempt as this decision may change it. */
export function ownAttempt({ attempts }: Draft, live: Readonly<AttemptRow>): AttemptRow {
  if (attempts.has(live)) return live;
  const own = { ...live };
  attempts.add(own);
  return own;
}

/**
 * Ends a unit. A step readies those whose last need it was, to begin in this same decision; an item is looked at by its
 * forEach.
 * @param end.at when it ended, if the world said so; else now
 */
export function endUnit(
  draft: Draft,
  unit: Unit,
  end: Partial<Pick<StepRow, 'outputs' | 'artifacts' | 'iteration'>> & {
    phase: 'Succeeded' | 'Cached' | 'Skipped' | 'Failed' | 'TimedOut' | 'Cancelled';
    reason?: string;
    error?: StepError;
    at?: Instant;
  },
): void {
  const { state, now } = draft;
  const { row, step, item } = unit;
  if (row && hasEnded(row.phase)) return;
  const { phase, reason = null, error = null, outputs = null, at = now, ...more } = end;
  const holdsLocks = row !== null && row.startedAt !== null && asksForLocks(state, unit);
  moveUnit(draft, unit, {
    ...more,
    phase,
    reason,
    error,
    outputs,
    until: null,
    startedAt: row?.startedAt ?? (phase === 'Skipped' || phase === 'Cancelled' ? null : now),
    finishedAt: at,
  });
  noteEnd(state, unit);
  if (holdsLocks) letGo(draft, unit);
  const whole = stepOf(state, unit);
  if (item !== wholeStep) {
    if (whole.items !== null) whole.items.handedOut--;
    draft.itemsEnded.push(whole);
    return;
  }
  if (isFailure(phase)) {
    emit(draft, 'Warning', 'StepFailed', `step ${step.name}: ${error?.message ?? phase}`);
    const first = draft.halt === null || isEarlier(whole, draft.halt);
    if (step.criticality === 'critical' && first) draft.halt = whole;
  }
  releaseSuccessors(state, whole, (successor) => makeReady(state, successor));
}

/** Puts a unit that has what it waited for among those that go on in this decision, unless something else holds it. */
export function takeTurn(draft: Draft, unit: Unit, change: Partial<StepRow> = {}): void {
  moveUnit(draft, unit, { ...change, phase: 'Waiting', reason: reasons.turn, until: null });
  makeReady(draft.state, unit);
}

/** Whether a unit asks for locks, or for one of the namespace's running steps. */
export function asksForLocks(state: RunState, unit: Unit): boolean {
  if (hasItems(unit)) return false;
  return unit.step.locks.length > 0 || asksForSlot(state, unit);
}

/** A unit whose own body takes no slot asks for none for its fallbacks either: what it holds never changes while it runs. */
export function asksForSlot(state: RunState, { step, row }: Unit): boolean {
  if (!state.limitedSlots) return false;
  return takesSlot(bodyOf(step, row?.via === 'compensate' ? 'compensate' : 'main').body.kind);
}

/** What a unit has asked for is for others now. */
export function letGo({ state, actions }: Draft, { step, item }: Unit): void {
  const { id: runId, namespace } = state.run;
  actions.push({ type: 'Release', runId, holder: { step: step.name, item }, namespace });
}

function labelOf(state: RunState, unit: Unit): string | null {
  return unit.item === wholeStep ? null : (stepOf(state, unit).items?.values?.[unit.item]?.label ?? null);
}
