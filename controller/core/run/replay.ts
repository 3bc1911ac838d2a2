import type { Plan, PlanStep } from '../plan/types.ts';
import type { Instant } from '../time.ts';
import { type PlannedUnit, reachable, type RetryPlan, whyUndone } from './retry.ts';
import { type RunRows, type StepRow, wholeStep } from './types.ts';
import { reasons } from './units.ts';

/** What a replay of a recorded run takes from it: the outputs of steps that are not `from` and do not come after it. */
export interface ReplayOptions {
  /** Null: every step runs. */
  from: string | null;
}

/**
 * What a replay would run, in the order of the plan.
 * @param plan of the version that is to run, which need not be the recorded one
 */
export function planReplay(plan: Plan, recorded: RunRows, { from }: ReplayOptions): RetryPlan {
  const start = from === null ? null : plan.byName.get(from);
  if (start === undefined) return { ok: false, problem: `${plan.name} has no step ${from}` };
  if (start !== null && start >= plan.mainCount)
    return { ok: false, problem: `step ${from} is of finally, which always runs` };
  const after = start === null ? null : reachable(plan, start);
  const units = plan.steps.map((step): PlannedUnit => {
    const unit = { step: step.name, item: wholeStep, label: null };
    if (step.section === 'finally') return { ...unit, action: 'run', why: 'finally runs at every end' };
    if (after === null) return { ...unit, action: 'run', why: 'every step runs' };
    if (step.index === start) return { ...unit, action: 'run', why: 'the replay is from here' };
    if (after.has(step.index)) return { ...unit, action: 'run', why: `comes after ${from}` };
    return { ...unit, ...judge(step, recorded.steps) };
  });
  return { ok: true, units };
}

/**
 * The rows that the replay `runId` begins with: what it takes from the recorded run. None of it is undone when the replay ends badly. The problem is `planReplay`'s.
 */
export function replayRows(
  plan: Plan,
  recorded: RunRows,
  options: ReplayOptions & { runId: string },
  now: Instant,
): { ok: true; steps: StepRow[] } | { ok: false; problem: string } {
  const planned = planReplay(plan, recorded, options);
  if (!planned.ok) return planned;
  const reused = new Set(planned.units.filter(({ action }) => action === 'reuse').map(({ step }) => step));
  const steps = recorded.steps
    .filter(({ step, phase }) => reused.has(step) && phase !== 'Pending')
    .map((row): StepRow => {
      const good = row.phase === 'Succeeded' || row.phase === 'Cached';
      return {
        ...row,
        runId: options.runId,
        phase: good ? 'Succeeded' : row.phase,
        reason: good ? reasons.reused : row.reason,
        startedAt: now,
        finishedAt: now,
        via: 'main',
        attempts: 0,
        bodyAttempts: 0,
        infrastructureFailures: 0,
        iteration: 0,
        until: null,
        cache: null,
      };
    });
  return { ok: true, steps };
}

function judge(step: PlanStep, rows: StepRow[]): Pick<PlannedUnit, 'action' | 'why'> {
  const own = rows.filter((row) => row.step === step.name);
  const whole = own.find(({ item }) => item === wholeStep);
  if (whole === undefined) return { action: 'run', why: 'is not in the recorded run' };
  if (whole.phase !== 'Succeeded' && whole.phase !== 'Cached')
    return { action: 'run', why: `ended ${whole.phase} there` };
  if ((whole.items !== null) !== (step.forEach !== null)) return { action: 'run', why: 'was of another kind there' };
  const undone = own.map(whyUndone).find((why) => why !== null);
  return undone ? { action: 'run', why: `${undone} there` } : { action: 'reuse', why: 'succeeded there' };
}
