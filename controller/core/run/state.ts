import type { ExpressionContext, StepView } from '../expression/types.ts';
import type { Plan, StepIndex } from '../plan/types.ts';
import { pushTimer, type TimerHeap, timerKinds } from './timer-heap.ts';
import { timerInstant } from './timers.ts';
import type { AttemptRow, RunRow, StepApprovalEntry, StepError, StepPhase, StepRow } from './types.ts';

/**
 * What a replica keeps of a run while it owns it: the rows that matter, and what follows from them, kept up to date step
 * by step. `decideRun` updates it in place; whoever handed it over uses only what came back. All of it can be
 * rebuilt from the rows (`hydrate`) but `approvals`, which the next SpecObserved brings again.
 */
export interface RunState {
  run: RunRow;
  steps: StepState[];
  /** Steps that may begin: all needs ended, or the pause before a retry is over. Holds some between decisions only while paused. */
  ready: StepIndex[];
  timers: TimerHeap;
  /** How many steps are in each phase. */
  phases: Record<StepPhase, number>;
  mainLeft: number;
  finallyLeft: number;
  /** Steps that wait for approval now. */
  awaitingApproval: Set<StepIndex>;
  /** As the spec has them, by step. */
  approvals: Map<string, StepApprovalEntry[]>;
  /** The first steps that failed, by time and then place; at most `failuresKept` a section. */
  failures: { main: StepIndex[]; finally: StepIndex[] };
  /** Size of all outputs as JSON, for the limit of a run. */
  outputBytes: number;
  context: ExpressionContext;
  /** Steps whose attempt was live when the state was hydrated: its Start or Stop is said again by the next decision. */
  unconfirmed: StepIndex[];
}

export interface StepState {
  /** Null while Pending. */
  row: StepRow | null;
  /** The attempt that has not ended. */
  live: AttemptRow | null;
  /** Needs that have not ended. */
  unmet: number;
  /** An ended need was not met. */
  blocked: boolean;
  /** A need, or a need of one, Failed or TimedOut: what `failure()` says. */
  upstreamFailed: boolean;
  /** The entry of `context.steps`, updated in place. */
  view: StepView;
}

/** How many failed steps are remembered by name, in each section. */
export const failuresKept = 10;

/** The reason of a step that was skipped because of a need; the only Skipped that does not meet a need. */
export const needNotMet = 'NeedNotMet';

/** The state of a run before any of its steps: what `hydrate` fills. */
export function emptyState(plan: Plan, run: RunRow): RunState {
  const views: Record<string, StepView> = {};
  const steps = plan.steps.map((step): StepState => {
    const view: StepView = { outputs: null, phase: 'Pending', error: null };
    views[step.name] = view;
    return { row: null, live: null, unmet: step.needs.length, blocked: false, upstreamFailed: false, view };
  });
  return {
    run,
    steps,
    ready: [],
    timers: { items: [] },
    phases: {
      Pending: steps.length,
      Waiting: 0,
      Running: 0,
      Retrying: 0,
      Succeeded: 0,
      Skipped: 0,
      Failed: 0,
      TimedOut: 0,
      Cancelled: 0,
    },
    mainLeft: plan.mainCount,
    finallyLeft: steps.length - plan.mainCount,
    awaitingApproval: new Set(),
    approvals: new Map(),
    failures: { main: [], finally: [] },
    outputBytes: 0,
    context: {
      inputs: run.inputs,
      steps: views,
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
  };
}

export function stepAt(state: RunState, index: StepIndex): StepState {
  const step = state.steps[index];
  if (step === undefined) throw new Error(`step ${index} is not in the plan`);
  return step;
}

export function hasEnded(phase: StepPhase): boolean {
  return (
    phase === 'Succeeded' || phase === 'Skipped' || phase === 'Failed' || phase === 'TimedOut' || phase === 'Cancelled'
  );
}

/** Failed or TimedOut: what fails a run, and what `failure()` sees. */
export function isFailure(phase: StepPhase): boolean {
  return phase === 'Failed' || phase === 'TimedOut';
}

/** Whether an ended step lets those that need it go on. */
export function meetsNeed(row: StepRow): boolean {
  return row.phase === 'Succeeded' || (row.phase === 'Skipped' && row.reason !== needNotMet);
}

/** Moves a step's row into a phase: counters, the view that expressions read, and the timers that now run. */
export function enterPhase(plan: Plan, state: RunState, index: StepIndex, before: StepPhase, row: StepRow): void {
  const step = stepAt(state, index);
  step.row = row;
  state.phases[before]--;
  state.phases[row.phase]++;
  step.view.phase = row.phase;
  step.view.outputs = row.outputs;
  step.view.error = errorView(row.error);
  const isApproval = plan.steps[index]?.body.kind === 'approval';
  if (isApproval && row.phase === 'Waiting') state.awaitingApproval.add(index);
  else if (isApproval) state.awaitingApproval.delete(index);
  if (hasEnded(row.phase)) {
    if (index < plan.mainCount) state.mainLeft--;
    else state.finallyLeft--;
    if (isFailure(row.phase) || (row.phase === 'Cancelled' && index >= plan.mainCount))
      rememberFailure(plan, state, index);
  } else {
    armTimers(plan, state, index);
  }
}

/** Tells the steps that need an ended one. Those whose last need it was are handed to `onReady`. */
export function releaseSuccessors(
  plan: Plan,
  state: RunState,
  index: StepIndex,
  onReady: (successor: StepIndex) => void,
): void {
  const step = stepAt(state, index);
  if (step.row === null) return;
  const met = meetsNeed(step.row);
  const failed = step.upstreamFailed || isFailure(step.row.phase);
  for (const successor of plan.steps[index]?.successors ?? []) {
    const next = stepAt(state, successor);
    next.unmet--;
    if (!met) next.blocked = true;
    if (failed) next.upstreamFailed = true;
    if (next.unmet === 0) onReady(successor);
  }
}

/** Sets every timer that the rows of a step (or with `ofRun` of the run) imply. A timer twice in the heap does no harm. */
export function armTimers(plan: Plan, state: RunState, index: StepIndex): void {
  for (const kind of timerKinds) {
    const at = timerInstant(plan, state, kind, index);
    if (at !== null) pushTimer(state.timers, { at, kind, step: index });
  }
}

/** An error as expressions see it. */
export function errorView(error: StepError | null): ExpressionContext['run']['error'] {
  return error === null ? null : { ...error };
}

function rememberFailure(plan: Plan, state: RunState, index: StepIndex): void {
  const list = index < plan.mainCount ? state.failures.main : state.failures.finally;
  const finishedAt = (other: StepIndex) => stepAt(state, other).row?.finishedAt ?? 0;
  let place = list.length;
  while (place > 0) {
    const before = list[place - 1] as StepIndex;
    const later = finishedAt(before) - finishedAt(index) || before - index;
    if (later < 0) break;
    place--;
  }
  list.splice(place, 0, index);
  if (list.length > failuresKept) list.pop();
}
