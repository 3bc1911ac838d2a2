import { isDeepStrictEqual } from 'node:util';
import type { StepSpec } from '../../../crds/workflow.ts';
import type { SeenAttempt, SeenRun, SeenStep } from './history.ts';
import type { Asked } from './people.ts';
import type { Scenario } from './scenarios.ts';

export interface Evidence {
  scenarios: Record<string, Scenario>;
  asked: Asked[];
  runs: SeenRun[];
  steps: SeenStep[];
  attempts: SeenAttempt[];
  /** The name of an attempt's side effect. */
  effectOf(attempt: SeenAttempt): string;
  /** Every side effect that was seen, in order. */
  effects: string[];
  /** What was done to the controllers and the database, and when. */
  troubles: Trouble[];
  /** What has begun outlives every controller, so that none of it is ever lost: true of processes of a machine that stays up. */
  outlives: boolean;
}

/** From when to when something was killed, stalled or away. */
export interface Trouble {
  from: Date;
  to: Date;
}

/**
 * So long after a trouble it may still be the reason why an attempt is given up: a lease of 4 s, a claim, and 10 s for a launcher
 * that has begun and does not say who it is.
 */
const aftermathMs = 20_000;

export interface Verdict {
  problems: string[];
  phases: Record<string, number>;
  /** Of kinds that have a side effect. */
  attempts: number;
  /** Of these, those recorded as ended by themselves. */
  finished: number;
  /** Lost by the infrastructure, and tried again, by type. */
  lost: Record<string, number>;
  /** Of these, those that nothing can have lost. */
  wronglyLost: number;
  effects: number;
  duplicates: number;
  missing: number;
  /** Side effects of attempts that nobody recorded. */
  strangers: number;
}

const ended = new Set(['Succeeded', 'Cached', 'Skipped', 'Failed', 'TimedOut', 'Cancelled', 'Compensated']);
/** Meets the need of another step; what was compensated had succeeded. */
const meets = new Set(['Succeeded', 'Cached', 'Skipped', 'Compensated']);

/** Looks at what is recorded and what has happened, with no help from the product. */
export function judge(evidence: Evidence): Verdict {
  const problems: string[] = [];
  judgeRuns(evidence, problems);
  judgeOrder(evidence, problems);
  judgeFills(evidence, problems);
  return { ...judgeEffects(evidence, problems), problems, phases: countBy(evidence.runs, ({ phase }) => phase) };
}

function judgeRuns({ scenarios, asked, runs, steps, attempts }: Evidence, problems: string[]): void {
  const byName = new Map(runs.map((run) => [run.name, run]));
  const byId = new Map(runs.map((run) => [run.id, run]));
  const stepsOf = Map.groupBy(steps, ({ runId }) => runId);
  const names = new Map(asked.map((one) => [one.name, one]));
  for (const { name } of asked) if (!byName.has(name)) problems.push(`${name}: nothing is recorded of it`);
  for (const run of runs) {
    const scenario = scenarios[run.workflow];
    const wrong = (text: string) => problems.push(`${run.name} (${run.id}): ${text}`);
    if (!scenario) {
      wrong(`of an unknown workflow ${run.workflow}`);
      continue;
    }
    if (run.finishedAt === null) {
      wrong(`never ended: ${run.phase}`);
      continue;
    }
    if (!scenario.phases.includes(run.phase)) wrong(`ended ${run.phase}: ${JSON.stringify(run.error)}`);
    const given = names.get(run.name);
    if (given && scenario.outputs && run.outputs !== null) {
      const due = scenario.outputs(given.n);
      if (!isDeepStrictEqual(run.outputs, due))
        wrong(`yields ${JSON.stringify(run.outputs)}, not ${JSON.stringify(due)}`);
    } else if (given && scenario.outputs) wrong('yields nothing');
    for (const { step, item, phase, reason, finishedAt } of stepsOf.get(run.id) ?? []) {
      const due = scenario.steps?.[step] ?? ['Succeeded'];
      const where = item < 0 ? step : `${step}[${item}]`;
      if (!due.includes(phase) && !(run.phase === 'Cancelled' && phase === 'Pending'))
        wrong(`step ${where} is ${phase} ${reason ?? ''}`);
      if (finishedAt !== null && finishedAt > run.finishedAt) wrong(`step ${where} ended after its run`);
    }
    if (run.parent) {
      const parent = byId.get(run.parent.runId);
      if (!parent?.finishedAt) wrong('its parent never ended');
      else if (run.finishedAt > parent.finishedAt) wrong('it outlived its parent');
    }
  }
  for (const { runId, step, item, number, phase, finishedAt } of attempts) {
    if (finishedAt === null) problems.push(`${runId}: attempt ${number} of ${step}[${item}] never ended: ${phase}`);
  }
}

/** No step has begun before what it needs had ended well, and what was compensated went backwards. */
function judgeOrder({ scenarios, runs, steps, attempts }: Evidence, problems: string[]): void {
  const stepsOf = Map.groupBy(steps, ({ runId }) => runId);
  const undone = Map.groupBy(
    attempts.filter(({ via, phase }) => via === 'compensate' && phase === 'Succeeded'),
    ({ runId }) => runId,
  );
  for (const run of runs) {
    const own = new Map(
      (stepsOf.get(run.id) ?? []).filter(({ item }) => item < 0).map((step) => [step.step, step] as const),
    );
    for (const { name, needs = [] } of scenarios[run.workflow]?.spec.steps ?? []) {
      const step = own.get(name);
      if (!step?.startedAt || !ended.has(step.phase)) continue;
      for (const need of needs) {
        const before = own.get(need);
        if (!before?.finishedAt || !meets.has(before.phase) || before.finishedAt > step.startedAt)
          problems.push(`${run.name}: ${name} began though ${need} was ${before?.phase ?? 'not there'}`);
      }
    }
    const order = (undone.get(run.id) ?? [])
      .toSorted((a, b) => Number(a.startedAt) - Number(b.startedAt))
      .map(({ step }) => own.get(step));
    for (const [i, step] of order.entries()) {
      const next = order[i + 1];
      if (step?.finishedAt && next?.finishedAt && next.finishedAt > step.finishedAt)
        problems.push(`${run.name}: ${step.step} was undone before ${next.step}, which came later`);
    }
  }
}

/** Of what is cached, one fills at a time; what it was about to leave is lost with a controller that is killed just then. */
function judgeFills({ scenarios, runs, attempts }: Evidence, problems: string[]): void {
  const filled = new Map<string, SeenAttempt>();
  const byId = new Map(runs.map((run) => [run.id, run]));
  for (const attempt of attempts.toSorted((a, b) => Number(a.startedAt) - Number(b.startedAt))) {
    const run = byId.get(attempt.runId);
    if (!run || scenarios[run.workflow]?.fills !== attempt.step) continue;
    const entry = `${run.workflow} ${JSON.stringify(run.outputs)}`;
    const before = filled.get(entry);
    if (before && (before.finishedAt === null || before.finishedAt > attempt.startedAt))
      problems.push(`${run.name} and ${byId.get(before.runId)?.name} fill the cache of ${entry} at once`);
    filled.set(entry, attempt);
  }
}

function judgeEffects(evidence: Evidence, problems: string[]): Omit<Verdict, 'problems' | 'phases'> {
  const { scenarios, runs, attempts, effects, effectOf } = evidence;
  const workflows = new Map(runs.map(({ id, workflow }) => [id, workflow]));
  const seen = new Map(Object.entries(countBy(effects, (effect) => effect)));
  const counts = {
    attempts: 0,
    finished: 0,
    lost: {} as Record<string, number>,
    wronglyLost: 0,
    effects: effects.length,
    duplicates: 0,
    missing: 0,
    strangers: 0,
  };
  const known = new Set<string>();
  for (const attempt of attempts) {
    const spec = scenarios[workflows.get(attempt.runId) ?? '']?.spec;
    const step = [...(spec?.steps ?? []), ...(spec?.finally ?? [])].find(({ name }) => name === attempt.step);
    if (!step || !hasEffect(step, attempt.via)) continue;
    counts.attempts++;
    const effect = effectOf(attempt);
    known.add(effect);
    const times = seen.get(effect) ?? 0;
    const type = attempt.error?.type;
    const byItself = attempt.phase === 'Succeeded' || (attempt.phase === 'Failed' && type === 'exit');
    const where = `${attempt.runId} ${attempt.step}[${attempt.item}] attempt ${attempt.number} (${attempt.via}, ${attempt.phase} ${type ?? ''}; ${effect})`;
    if (type?.startsWith('infrastructure/')) {
      counts.lost[type] = (counts.lost[type] ?? 0) + 1;
      const wrong = whyNotLost(evidence, attempt, times > 0);
      if (wrong !== null) {
        counts.wronglyLost++;
        problems.push(`${where} is recorded as lost, and ${wrong}`);
      }
    }
    if (times > 1) {
      counts.duplicates++;
      problems.push(`${where} happened ${times} times`);
    }
    if (!byItself) continue;
    counts.finished++;
    if (times === 0) {
      counts.missing++;
      problems.push(`${where} is recorded and never happened`);
    }
  }
  for (const effect of seen.keys()) {
    if (known.has(effect)) continue;
    counts.strangers++;
    problems.push(`${effect} happened and is not recorded`);
  }
  return counts;
}

/** Why an attempt cannot have been lost: it was begun and goes on without any controller, or nothing was done that could lose it. */
function whyNotLost({ outlives, troubles }: Evidence, attempt: SeenAttempt, begun: boolean): string | null {
  if (outlives && begun && attempt.error?.type === 'infrastructure/lost')
    return 'had begun, and outlives its controller';
  const from = Number(attempt.startedAt) - aftermathMs;
  const to = Number(attempt.finishedAt ?? attempt.startedAt);
  const near = troubles.some((trouble) => Number(trouble.from) <= to && Number(trouble.to) >= from);
  return near ? null : 'nothing was killed, stalled or away meanwhile';
}

function hasEffect(step: StepSpec, via: string): boolean {
  if (via === 'main') return step.run !== undefined;
  if (via === 'compensate') return step.compensate?.run !== undefined;
  return step.fallback?.[Number(/\d+/.exec(via)?.[0])]?.run !== undefined;
}

function countBy<T>(all: readonly T[], by: (one: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const one of all) counts[by(one)] = (counts[by(one)] ?? 0) + 1;
  return counts;
}
