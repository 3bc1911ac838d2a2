import { isDeepStrictEqual } from 'node:util';
import { decideRun } from '../../controller/core/run/decide.ts';
import { hydrate } from '../../controller/core/run/hydrate.ts';
import { reopenRun } from '../../controller/core/run/retry.ts';
import type { Plan } from '../../controller/core/plan/types.ts';
import type { RunRow, StepRow } from '../../controller/core/run/types.ts';
import { projectRunStatus } from '../../controller/core/run/project.ts';
import { queuedRun } from '../fixtures/plans.ts';
import { canonicalView } from '../fixtures/run-view.ts';
import { runWorld, type Seen, unitId, type World, type WorldOptions } from '../fixtures/world.ts';
import { judge, type Watched } from './judge.ts';
import { foretell } from './oracle.ts';
import { scenarioOf } from './scenarios.ts';
import type { Written } from './written.ts';

/** Every so many decisions the state is compared with what its rows give. */
const comparedEvery = 5;

/**
 * Lives through one history: a run in a world full of faults, compared with the same run in one without, and maybe gone on
 * with after its end.
 * @returns what is wrong with it, one line each
 */
export function liveThrough(seed: number): string[] {
  const { written, plan, options, faults, random } = scenarioOf(seed);
  const run = queuedRun(plan);
  const { world, problems } = watch(written, plan, run, { ...options, ...faults });
  const caches = plan.steps.some((step) => step.cache !== null && step.forEach !== null);
  if (!caches && random.chance(0.3)) problems.push(...difference(world, runWorld(plan, run, options)));
  if (random.chance(0.4)) problems.push(...goOn(seed, written, plan, world, options));
  return problems;
}

/** An engine that decides otherwise than it should: another plan than the written one, other news, another decision. */
export interface Altered {
  plan?: (plan: Plan) => Plan;
  options?: (options: WorldOptions) => WorldOptions;
}

/** What the judges alone say of a history, with an engine that may be altered. */
export function judged(seed: number, { plan: alter = (plan) => plan, options: more = (given) => given }: Altered = {}) {
  const { written, plan, options, faults } = scenarioOf(seed);
  const given = { ...options, ...faults };
  const watched = newlyWatched(options);
  const world = runWorld(alter(plan), queuedRun(plan), {
    ...more(given),
    onDecision: (seen) => note(watched, seen),
  });
  return [...judge(plan, world, watched), ...foretell(written, world, given, watched.outcomeAt)];
}

/** What is noted of a history while it goes on. */
export function newlyWatched({ limitedSlots = false }: WorldOptions): Watched {
  return { outcomeAt: null, outcome: null, forcedAt: null, pauses: [], limitedSlots };
}

/** Decisions are compared as they are made; the whole is judged at its end. */
function watch(written: Written, plan: Plan, run: RunRow, options: WorldOptions): { world: World; problems: string[] } {
  const problems: string[] = [];
  const watched = newlyWatched(options);
  const world = runWorld(plan, run, {
    ...options,
    onDecision: (seen) => {
      note(watched, seen);
      if (seen.world.decisions % comparedEvery === 0) problems.push(...compare(plan, seen, watched.limitedSlots));
    },
  });
  problems.push(...judge(plan, world, watched), ...foretell(written, world, options, watched.outcomeAt));
  return { world, problems };
}

export function note(watched: Watched, { now, state: { run } }: Seen): void {
  if (run.outcome !== null && watched.outcome === null)
    Object.assign(watched, { outcome: run.outcome, outcomeAt: now });
  if (run.forced) watched.forcedAt ??= now;
  const open = watched.pauses.at(-1);
  if (run.desired === 'Paused') {
    if (open?.to !== Number.POSITIVE_INFINITY) watched.pauses.push({ from: now, to: Number.POSITIVE_INFINITY });
  } else if (open?.to === Number.POSITIVE_INFINITY) {
    open.to = now;
  }
}

/** Folding what was observed equals hydrating the rows it left; and deciding again decides nothing. */
function compare(plan: Plan, { state, rows, standing, now }: Seen, limitedSlots: boolean): string[] {
  const problems: string[] = [];
  const again = decideRun(plan, hydrate(plan, rows(), { limitedSlots }), standing, now);
  if (again.transition !== null)
    problems.push(`a hydrated state decides what was not decided: ${JSON.stringify(again.transition.steps)}`);
  const [rebuilt, folded] = [canonicalView(plan, again.state, now), canonicalView(plan, state, now)];
  if (!isDeepStrictEqual(rebuilt, folded)) {
    problems.push(`hydrating the rows gives another state: ${firstDifference(rebuilt, folded)}`);
  }
  const repeated = decideRun(plan, state, standing, now);
  if (repeated.transition !== null || repeated.actions.length > 0) problems.push('deciding again decides something');
  if (repeated.wakeAt !== again.wakeAt) problems.push('a hydrated state wakes at another instant');
  if (JSON.stringify(projectRunStatus(state, 1, undefined, now)).length > 10_000)
    problems.push('the status is over 10 KB');
  return problems;
}

/** Faults change nothing of what a run comes to. */
function difference(faulty: World, straight: World): string[] {
  const phases = ({ steps, run }: World) =>
    [`run ${run.phase}`, ...Array.from(steps.values(), (row) => `${unitId(row)} ${row.phase} ${row.reason}`)].sort();
  const [one, other] = [phases(faulty), phases(straight)];
  const changed = [...one.filter((line) => !other.includes(line)), ...other.filter((line) => !one.includes(line))];
  return isDeepStrictEqual(one, other) ? [] : [`faults changed what became of: ${changed.join(', ')}`];
}

/** Goes on with an ended run: what it keeps stays as it is, and numbers of attempts go on. */
function goOn(seed: number, written: Written, plan: Plan, before: World, options: WorldOptions): string[] {
  const onlyFailed = seed % 2 === 0;
  const from = seed % 3 === 0 ? (plan.steps[seed % plan.mainCount]?.name ?? null) : null;
  const now = before.endedAt + 1000;
  const reopened = reopenRun(plan, before.rows(), { from, onlyFailed }, now);
  if (!reopened.ok) return before.run.phase === 'Succeeded' ? [] : [`cannot go on: ${reopened.problem}`];
  const { run, steps } = reopened.transition;
  const rows = new Map(before.steps);
  for (const row of steps) rows.set(unitId(row), row);
  const kept = [...rows.values()].filter((row) => row.phase === 'Succeeded' || row.phase === 'Cached');
  const { world, problems } = watch(
    written,
    plan,
    { ...run, createdAt: now },
    { ...options, spec: [], circuits: [], rows: [...rows.values()] },
  );
  for (const row of kept) problems.push(...changesOf(row, world.steps.get(unitId(row))));
  for (const { key } of world.begun) {
    if (before.attempts.has(`${unitId(key)}/${key.attempt}`))
      problems.push(`${unitId(key)}/${key.attempt} is an attempt of both executions`);
  }
  return problems.map((problem) => `execution 2 (from ${from}, onlyFailed ${onlyFailed}): ${problem}`);
}

function changesOf(before: StepRow, after: StepRow | undefined): string[] {
  const same = isDeepStrictEqual(before.outputs, after?.outputs) && before.finishedAt === after?.finishedAt;
  return same ? [] : [`${unitId(before)} was kept, and has changed`];
}

/** Where two values differ first, and how. */
function firstDifference(one: unknown, other: unknown, path = ''): string | null {
  if (isDeepStrictEqual(one, other)) return null;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) {
    return `${path} is ${JSON.stringify(one)}, not ${JSON.stringify(other)}`;
  }
  const keys = new Set([...Object.keys(one), ...Object.keys(other)]);
  for (const key of keys) {
    const found = firstDifference(Reflect.get(one, key), Reflect.get(other, key), `${path}.${key}`);
    if (found !== null) return found;
  }
  return path;
}
