import type { JsonValue } from '../../../crds/json.ts';
import type { StepView } from '../expression/types.ts';
import type { Body, PlanStep, StepBody } from '../plan/types.ts';
import type { ListedItem } from './items.ts';
import { type AttemptRow, type StepPhase, type StepRow, type Via, wholeStep } from './types.ts';

/** Of most units: one for all, as a run may have ten thousand of them. */
export const noArtifacts: StepRow['artifacts'] = Object.freeze({});

/** What begins, makes attempts and ends: a step, or one item of its forEach. */
export interface Unit {
  step: PlanStep;
  /** Place in the forEach; `wholeStep` for the step itself. */
  item: number;
  /** Place among all units of the run: those of one instant are served in this order, whatever became of the run before. */
  order: number;
  /** Null while Pending, unless a retry of the run made it so. */
  row: Readonly<StepRow> | null;
  /** The attempt that has not ended. */
  live: Readonly<AttemptRow> | null;
}

export interface StepState extends Unit {
  /** Needs that have not ended. */
  unmet: number;
  /** An ended need was not met. */
  blocked: boolean;
  /** A need, or a need of one, Failed or TimedOut: what `failure()` says. */
  upstreamFailed: boolean;
  /** The entry of `context.steps`, updated in place. */
  view: StepView;
  /** Null unless it is a forEach of which something is known. */
  items: Items | null;
}

/** The accounts of a forEach. */
export interface Items {
  /** Evaluated when first wanted. */
  values: ListedItem[] | null;
  /** By place; those of which nothing was asked yet are not there. */
  units: Unit[];
  /** All before it were handed out or have ended. */
  next: number;
  /** Handed out and not ended, begun or not. */
  handedOut: number;
  /** With a row that has not ended. */
  running: number;
  ended: number;
  failed: number;
  cancelled: number;
  /** The first in the order of places that failed; -1: none. */
  firstFailed: number;
  /** What `steps.x.outputs` becomes. */
  outputs: JsonValue[];
}

/** Reasons that decisions read again. */
export const reasons = {
  /** Skipped because of a need; the only Skipped that does not meet a need. */
  needNotMet: 'NeedNotMet',
  fallback: 'Fallback',
  backoff: 'Backoff',
  runStopping: 'RunStopping',
  /** An item failed and the others need not go on. */
  itemFailed: 'ItemFailed',
  deadline: 'Deadline',
  time: 'WaitingForTime',
  approval: 'WaitingForApproval',
  locks: 'WaitingForLocks',
  cache: 'WaitingForCache',
  /** It has its locks; a pause, or the run's parallelism, holds it. */
  turn: 'WaitingForTurn',
  circuit: 'CircuitOpen',
  interval: 'UntilInterval',
  /** Succeeded in another run. */
  reused: 'Reused',
  compensating: 'Compensating',
  /** A compensation that must hold something first; `compensating` once it does. */
  compensationLocks: 'CompensationWaitingForLocks',
  compensationFailed: 'CompensationFailed',
} as const;

export function phaseOf(unit: Unit): StepPhase {
  return unit.row?.phase ?? 'Pending';
}

/** True for the own unit of a forEach, which makes no attempts. */
export function hasItems(unit: Unit): boolean {
  return unit.item === wholeStep && unit.step.forEach !== null;
}

export function hasEnded(phase: StepPhase): boolean {
  return phase !== 'Pending' && phase !== 'Waiting' && phase !== 'Running' && phase !== 'Retrying';
}

/** Failed or TimedOut: what fails a run, and what `failure()` sees. */
export function isFailure(phase: StepPhase): boolean {
  return phase === 'Failed' || phase === 'TimedOut';
}

/** Whether an ended step lets those that need it go on. */
export function meetsNeed({ step, row }: Unit): boolean {
  if (row === null) return false;
  if (row.phase === 'Skipped') return row.reason !== reasons.needNotMet;
  if (isFailure(row.phase)) return step.criticality === 'low';
  return row.phase !== 'Cancelled';
}

/** Whether an ended unit is something to undo when the run ends badly. */
export function isCompensable({ step, row }: Unit): boolean {
  return (
    step.compensate !== null &&
    step.section === 'main' &&
    row?.phase === 'Succeeded' &&
    row.reason !== reasons.reused &&
    row.reason !== reasons.compensationFailed
  );
}

/** Whether a unit is being undone now. */
export function isUndone({ reason }: StepRow): boolean {
  return reason === reasons.compensating || reason === reasons.compensationLocks;
}

/** Whether a unit waits for what it must hold before it begins, or before it is undone. */
export function waitsForLocks({ phase, reason }: StepRow): boolean {
  return (phase === 'Waiting' && reason === reasons.locks) || reason === reasons.compensationLocks;
}

/** What a unit does now. @throws when the plan has no such body: the row is of another version */
export function bodyOf(step: PlanStep, via: Via): Body {
  if (via === 'main') return step.main;
  const body = via === 'compensate' ? step.compensate : step.fallback[placeOf(via)];
  if (body === undefined || body === null || !('body' in body)) throw new Error(`step ${step.name} has no ${via}`);
  return body;
}

/** The next fallback after a body, and what it is called. */
export function fallbackAfter(step: PlanStep, via: Via) {
  const place = via === 'main' ? 0 : placeOf(via) + 1;
  const next = step.fallback[place];
  return next === undefined ? null : { next, via: `fallback[${place}]` as const };
}

function placeOf(via: Via): number {
  return Number(/\d+/.exec(via)?.[0] ?? 0);
}

/** Kinds that count against parallelism and take one of the namespace's running steps. */
export function takesSlot(kind: StepBody['kind']): boolean {
  return kind === 'run' || kind === 'container' || kind === 'http' || kind === 'template';
}

/** A unit of which nothing is known yet. */
export function newUnit(step: PlanStep, item: number): Unit {
  // More than the items of a step can be.
  return { step, item, order: step.index * 2 ** 14 + item + 1, row: null, live: null };
}

export function isEarlier(a: Unit, b: Unit): boolean {
  return a.order < b.order;
}

/** What people call a unit. */
export function unitName({ step, item }: Unit): string {
  return item === wholeStep ? `step ${step.name}` : `item ${item} of step ${step.name}`;
}

/** A row of a unit of which nothing was recorded. */
export function newStepRow(of: Pick<StepRow, 'runId' | 'step' | 'item' | 'label'>): StepRow {
  const { runId, step, item, label } = of;
  return {
    runId,
    step,
    item,
    label,
    items: null,
    phase: 'Pending',
    reason: null,
    startedAt: null,
    finishedAt: null,
    via: 'main',
    attempts: 0,
    bodyAttempts: 0,
    infrastructureFailures: 0,
    iteration: 0,
    until: null,
    outputs: null,
    error: null,
    artifacts: noArtifacts,
    cache: null,
  };
}
