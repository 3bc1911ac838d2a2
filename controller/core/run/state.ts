import type { ExpressionContext } from '../expression/types.ts';
import type { Plan, StepIndex } from '../plan/types.ts';
import type { Instant } from '../time.ts';
import { heapPop, heapPush } from './heap.ts';
import type { Timer } from './timers.ts';
import type { LockRequest, RunRow, StepApprovalEntry, StepError } from './types.ts';
import { wholeStep } from './types.ts';
import { hasItems, isEarlier, type Items, newUnit, type StepState, type Unit } from './units.ts';

/**
 * What a replica keeps of a run while it owns it: the rows that matter, and what follows from them, kept up to date step
 * by step. `decideRun` updates it in place; whoever handed it over uses only what came back. All of it can be rebuilt
 * from the rows (`hydrate`) but `approvals` and `circuits`, which are observed again.
 */
export interface RunState {
  run: RunRow;
  /** Of whose object all that the run begins is: one for all attempts. */
  owner: { uid: string; name: string };
  steps: StepState[];
  /** The namespace has a limit of running steps, so that every unit that takes a slot asks for one. */
  limitedSlots: boolean;
  /** Units that may begin or go on, as a heap. Holds some between decisions only while paused. */
  ready: Unit[];
  /** Of them, those that found the run's parallelism used up, as a heap. */
  held: Unit[];
  timers: Timer[];
  /** Units that make attempts or wait themselves, by what they do now. */
  counts: { Waiting: number; Running: number; Retrying: number };
  /** Live attempts that count against the run's parallelism. */
  slots: number;
  mainLeft: number;
  finallyLeft: number;
  /** A critical step of `finally` has failed: nothing more of it begins. */
  finallyHalted: boolean;
  /** Units that wait for approval now. */
  awaitingApproval: Set<Unit>;
  /** Units that wait for a circuit to close. */
  awaitingCircuit: Set<Unit>;
  /** As the spec has them, by step. */
  approvals: Map<string, StepApprovalEntry[]>;
  /** Hosts that nothing may be sent to now. */
  circuits: Map<string, Instant>;
  /** The first steps that failed, by time and then place; at most `failuresKept` a section. */
  failures: Sections<StepState[]>;
  /** The first step whose failure fails the run. */
  fatal: Sections<StepState | null>;
  /** Steps that ended well enough, but not as they should. */
  degraded: Sections<Set<StepIndex>>;
  compensation: Compensation;
  /** Size of all outputs as JSON, for the limit of a run. */
  outputBytes: number;
  context: ExpressionContext;
  /** Units that waited for an answer of the world when the state was hydrated: what was said to it is said again by the next decision. */
  unconfirmed: Unit[];
  /** The same of the run itself, in the queue. */
  askQueue: boolean;
  /** What a queued run has asked for; null before that, and once it has begun. */
  queuedFor: LockRequest | null;
}

interface Sections<T> {
  main: T;
  finally: T;
}

export interface Compensation {
  /** Units that would be undone, and are not yet. */
  left: number;
  failed: number;
  /** What is undone now. */
  current: Unit | null;
  /** What comes after it, the next last; null until it is asked for. */
  queue: Unit[] | null;
}

/** How many failed steps are remembered by name, in each section. */
export const failuresKept = 10;

/** The state of a run before any of its steps: what `hydrate` fills. */
export function emptyState(plan: Plan, run: RunRow, limitedSlots: boolean): RunState {
  const steps = plan.steps.map(
    (step): StepState => ({
      ...newUnit(step, wholeStep),
      unmet: step.needs.length,
      blocked: false,
      upstreamFailed: false,
      view: { outputs: null, phase: 'Pending', error: null },
      items: null,
    }),
  );
  return {
    run,
    owner: { uid: run.root, name: run.rootName },
    steps,
    limitedSlots,
    ready: [],
    held: [],
    timers: [],
    counts: { Waiting: 0, Running: 0, Retrying: 0 },
    slots: 0,
    mainLeft: plan.mainCount,
    finallyLeft: steps.length - plan.mainCount,
    finallyHalted: false,
    awaitingApproval: new Set(),
    awaitingCircuit: new Set(),
    approvals: new Map(),
    circuits: new Map(),
    failures: { main: [], finally: [] },
    fatal: { main: null, finally: null },
    degraded: { main: new Set(), finally: new Set() },
    compensation: { left: 0, failed: 0, current: null, queue: null },
    outputBytes: 0,
    context: {
      inputs: run.inputs,
      steps: Object.fromEntries(steps.map(({ step, view }) => [step.name, view])),
      run: {
        id: run.id,
        name: run.name,
        namespace: run.namespace,
        date: run.date,
        outcome: run.outcome,
        error: errorView(run.error),
      },
      workflow: { name: run.workflow, digest: run.digest },
      environment: run.values,
    },
    unconfirmed: [],
    askQueue: true,
    queuedFor: null,
  };
}

export function stepAt(state: RunState, index: StepIndex): StepState {
  const step = state.steps[index];
  if (step === undefined) throw new Error(`step ${index} is not in the plan`);
  return step;
}

/** The step that a unit is, or is an item of. */
export function stepOf(state: RunState, unit: Unit): StepState {
  return stepAt(state, unit.step.index);
}

/** The unit of an observation; undefined when it has none, as when it is of a past long over. */
export function findUnit(plan: Plan, state: RunState, step: string, item: number): Unit | undefined {
  const index = plan.byName.get(step);
  if (index === undefined) return undefined;
  const whole = stepAt(state, index);
  if (item !== wholeStep) return whole.items?.units[item];
  return hasItems(whole) ? undefined : whole;
}

/** The accounts of a forEach, made when first asked for. */
export function itemsOf(step: StepState): Items {
  step.items ??= {
    values: null,
    units: [],
    next: 0,
    handedOut: 0,
    running: 0,
    ended: 0,
    failed: 0,
    cancelled: 0,
    firstFailed: -1,
    outputs: [],
  };
  return step.items;
}

/** The item's unit, made when first asked for. */
export function itemAt(step: StepState, item: number): Unit {
  const { units } = itemsOf(step);
  units[item] ??= newUnit(step.step, item);
  return units[item];
}

export function makeReady(state: RunState, unit: Unit): void {
  heapPush(state.ready, unit, isEarlier);
}

/** Puts a unit aside until the run's parallelism has room. */
export function hold(state: RunState, unit: Unit): void {
  heapPush(state.held, unit, isEarlier);
}

export function isFull(plan: Plan, state: RunState): boolean {
  return plan.parallelism !== null && state.slots >= plan.parallelism;
}

/** Takes the next unit that may begin, by place, whether it was put aside or not. */
export function takeReady(plan: Plan, state: RunState): Unit | undefined {
  const [ready] = state.ready;
  const held = isFull(plan, state) ? undefined : state.held[0];
  if (held !== undefined && (ready === undefined || isEarlier(held, ready))) return heapPop(state.held, isEarlier);
  return heapPop(state.ready, isEarlier);
}

/** Hands out the items of a forEach that may begin. */
export function handOutItems(state: RunState, step: StepState): void {
  const { items, row } = step;
  if (items === null || row === null || row.phase !== 'Running' || row.reason !== null) return;
  const limit = step.step.forEach?.parallelism ?? Number.POSITIVE_INFINITY;
  for (const total = row.items ?? 0; items.next < total && items.handedOut < limit; items.next++) {
    const unit = itemAt(step, items.next);
    if (unit.row !== null && unit.row.phase !== 'Pending') continue;
    items.handedOut++;
    makeReady(state, unit);
  }
}

/** An error as expressions see it. */
export function errorView(error: StepError | null): ExpressionContext['run']['error'] {
  return error === null ? null : { ...error };
}
