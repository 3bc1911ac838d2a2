import type { Plan, PlanStep, StepIndex } from '../plan/types.ts';
import type { Instant } from '../time.ts';
import { newRun } from './create.ts';
import { isFinished, type RunRows, type RunTransition, type StepRow, wholeStep } from './types.ts';
import { isUndone, newStepRow, reasons } from './units.ts';

/** What a retry of a run is to do again. */
export interface RetryOptions {
  /** This step and all that come after it; null: what did not succeed, and all that come after that. */
  from: string | null;
  /** Of these only what failed, was cancelled or never ran, not what comes after it and succeeded. */
  onlyFailed: boolean;
}

/** What becomes of a step, or of an item of a forEach, when a run goes on or is replayed, and why. */
export interface PlannedUnit {
  step: string;
  item: number;
  label: string | null;
  /** `reuse`: it keeps its outputs; `skip`: it stays as it ended, without any. */
  action: 'run' | 'reuse' | 'skip';
  why: string;
}

export type RetryPlan = { ok: true; units: PlannedUnit[] } | { ok: false; problem: string };

/** What a retry of an ended run would do again, in the order of the plan. */
export function planRetry(plan: Plan, rows: RunRows, options: RetryOptions): RetryPlan {
  const { run } = rows;
  const { from, onlyFailed } = options;
  if (!isFinished(run.phase)) return { ok: false, problem: `run ${run.name} has not ended` };
  const start = from === null ? null : plan.byName.get(from);
  if (start === undefined) return { ok: false, problem: `${plan.name} has no step ${from}` };
  if (start !== null && start >= plan.mainCount) {
    return { ok: false, problem: `step ${from} is of finally, which always runs again` };
  }
  const recorded = byStep(rows.steps);
  if (start === null && run.phase === 'Succeeded') return { ok: false, problem: `nothing of run ${run.name} failed` };
  const choices = choose(plan, recorded, start, onlyFailed);
  const units = plan.steps.flatMap((step) => {
    const choice = choices[step.index] as Choice;
    const units = recorded.get(step.name) ?? [];
    const whole: PlannedUnit = { step: step.name, item: wholeStep, label: null, ...choice };
    return choice.items === 'some' ? [stripped(whole), ...planItems(step, units)] : [stripped(whole)];
  });
  return { ok: true, units };
}

/**
 * The rows that make an ended run go on: what runs again is Pending, with the number of its attempts kept. Commit it only
 * if the run has ended and its execution is the one in `rows`. The problem is `planRetry`'s.
 */
export function reopenRun(
  plan: Plan,
  rows: RunRows,
  options: RetryOptions,
  now: Instant,
): { ok: true; transition: RunTransition } | { ok: false; problem: string } {
  const planned = planRetry(plan, rows, options);
  if (!planned.ok) return planned;
  const again = new Map(planned.units.map((unit) => [`${unit.step}/${unit.item}`, unit.action]));
  const items = new Set(planned.units.filter(({ item }) => item !== wholeStep).map(({ step }) => step));
  const steps = rows.steps.filter(({ step, item }) => {
    // The items of a step that runs again as a whole are not named one by one.
    const own = items.has(step) ? item : wholeStep;
    return again.get(`${step}/${own}`) === 'run';
  });
  const { run } = rows;
  const message = `run ${run.name} goes on, execution ${run.execution + 1}`;
  const transition: RunTransition = {
    run: {
      ...newRun(run),
      execution: run.execution + 1,
      queuedAt: now,
      logsUnmasked: run.logsUnmasked,
      revision: run.revision + 1,
    },
    steps: steps.map((row) => ({ ...newStepRow(row), attempts: row.attempts })),
    // Of a run that the store ended: they were told to stop, and nobody waits for them any more.
    attempts: rows.attempts
      .filter(({ finishedAt }) => finishedAt === null)
      .map((attempt) => ({ ...attempt, phase: 'Cancelled', finishedAt: now })),
    events: [{ type: 'Normal', reason: 'RunRetried', message, at: now }],
  };
  return { ok: true, transition };
}

type Choice = Pick<PlannedUnit, 'action' | 'why'> & { items?: 'some' };

function choose(plan: Plan, recorded: Map<string, StepRow[]>, start: StepIndex | null, onlyFailed: boolean): Choice[] {
  const again = new Set<StepIndex>();
  const after = start === null ? null : reachable(plan, start);
  const choices: Choice[] = [];
  for (const step of inOrder(plan)) {
    const rows = recorded.get(step.name) ?? [];
    const upstream = step.needs.find((need) => again.has(need));
    const choice = chooseStep(step, rows, {
      upstream: upstream === undefined ? null : (plan.steps[upstream]?.name ?? ''),
      after: after === null ? null : after.has(step.index),
      start: start === null ? null : (plan.steps[start]?.name ?? ''),
      onlyFailed,
    });
    if (choice.action === 'run') again.add(step.index);
    choices[step.index] = choice;
  }
  return choices;
}

interface Around {
  /** A need that runs again. */
  upstream: string | null;
  /** Whether it is, or comes after, the step that the retry starts from; null: it starts from what failed. */
  after: boolean | null;
  start: string | null;
  onlyFailed: boolean;
}

function chooseStep(step: PlanStep, rows: StepRow[], around: Around): Choice {
  const { upstream, after, start, onlyFailed } = around;
  const whole = rows.find(({ item }) => item === wholeStep);
  if (step.section === 'finally') return { action: 'run', why: 'finally runs at every end' };
  if (whole === undefined || whole.phase === 'Pending') return { action: 'run', why: 'never ran' };
  const failed = whyAgain(rows);
  if (after === false)
    return failed === null ? kept(whole) : { action: 'skip', why: `${failed}, and is not after ${start}` };
  // Its items are those there were, as nothing runs again that it was made of.
  if (failed !== null && whole.items !== null && upstream === null && (onlyFailed || after === null)) {
    return { action: 'run', why: failed, items: 'some' };
  }
  if (failed !== null) return { action: 'run', why: failed };
  if (onlyFailed) return kept(whole);
  if (after === true)
    return { action: 'run', why: step.name === start ? 'the retry is from here' : `comes after ${start}` };
  return upstream === null ? kept(whole) : { action: 'run', why: `comes after ${upstream}` };
}

function planItems(step: PlanStep, rows: StepRow[]): PlannedUnit[] {
  const total = rows.find(({ item }) => item === wholeStep)?.items ?? 0;
  const byItem = new Map(rows.map((row) => [row.item, row]));
  return Array.from({ length: total }, (_, item): PlannedUnit => {
    const row = byItem.get(item);
    const failed = row === undefined || row.phase === 'Pending' ? 'never ran' : whyAgain([row]);
    const choice = row === undefined || failed !== null ? { action: 'run' as const, why: failed ?? '' } : kept(row);
    return { step: step.name, item, label: row?.label ?? null, ...choice };
  });
}

/** What became of what it had done, be it that the run was ended while it was being undone; null: nothing, it stands. */
export function whyUndone(row: StepRow): string | null {
  if (row.phase === 'Compensated') return 'was undone';
  return row.reason === reasons.compensationFailed || isUndone(row) ? 'was undone in part' : null;
}

/** Why what is recorded of a step, or an item, is not to be kept; null: it is good. */
function whyAgain(rows: StepRow[]): string | null {
  for (const row of rows) {
    const { phase, reason } = row;
    if (phase === 'Failed') return 'failed';
    if (phase === 'TimedOut') return 'timed out';
    if (phase === 'Cancelled') return 'was cancelled';
    if (phase === 'Skipped' && reason === reasons.needNotMet) return 'was skipped because of a need';
    const undone = whyUndone(row);
    if (undone !== null) return undone;
    if (phase !== 'Succeeded' && phase !== 'Cached' && phase !== 'Skipped') return 'never ended';
  }
  return null;
}

function kept({ phase, reason }: StepRow): Choice {
  if (phase !== 'Skipped')
    return { action: 'reuse', why: phase === 'Cached' ? 'was taken from the cache' : 'succeeded' };
  return { action: 'skip', why: reason === reasons.fallback ? 'was skipped by its fallback' : 'its `if` was false' };
}

function byStep(rows: StepRow[]): Map<string, StepRow[]> {
  const steps = new Map<string, StepRow[]>();
  for (const row of rows) {
    const list = steps.get(row.step);
    if (list) list.push(row);
    else steps.set(row.step, [row]);
  }
  return steps;
}

function stripped({ step, item, label, action, why }: PlannedUnit): PlannedUnit {
  return { step, item, label, action, why };
}

/** A step and all that come after it. */
export function reachable(plan: Plan, start: StepIndex): Set<StepIndex> {
  const found = new Set([start]);
  for (const index of found) for (const successor of plan.steps[index]?.successors ?? []) found.add(successor);
  return found;
}

/** The steps, each after all that it needs. */
function inOrder(plan: Plan): PlanStep[] {
  const left = plan.steps.map((step) => step.needs.length);
  const order = plan.steps.filter((step) => step.needs.length === 0);
  for (let i = 0; i < order.length; i++) {
    for (const successor of order[i]?.successors ?? []) {
      left[successor] = (left[successor] ?? 0) - 1;
      if (left[successor] === 0) order.push(plan.steps[successor] as PlanStep);
    }
  }
  return order;
}
