import type { Plan, PlanStep } from '../../controller/core/plan/types.ts';
import { type RunOutcome, type StepRow, wholeStep } from '../../controller/core/run/types.ts';
import type { Instant } from '../../controller/core/time.ts';
import { unitId, type World } from '../fixtures/world.ts';

/** What a history must be told besides its end. */
export interface Watched {
  /** When the outcome of the run was fixed. */
  outcomeAt: Instant | null;
  outcome: RunOutcome | null;
  /** When it was cancelled by force. */
  forcedAt: Instant | null;
  /** From when to when it was paused. */
  pauses: { from: Instant; to: Instant }[];
  limitedSlots: boolean;
}

type Begun = World['begun'][number];

const ended = new Set(['Succeeded', 'Cached', 'Skipped', 'Failed', 'TimedOut', 'Cancelled', 'Compensated']);
const slotKinds = new Set(['run', 'container', 'http', 'template']);
const infrastructureRetries = 5;

/**
 * Judges a history by what really began and what is recorded, with nothing of the engine's own reasoning: an oracle.
 * @returns what is wrong with it, one line each
 */
export function judge(plan: Plan, world: World, watched: Watched): string[] {
  const problems: string[] = [];
  const say = (problem: string) => problems.push(problem);
  const rows = [...world.steps.values()];
  const began = world.begun.filter(({ action }) => !isCompensation(action.effect));
  const undoing = world.begun.filter(({ action }) => isCompensation(action.effect));
  judgeEnd(plan, world, rows, say);
  judgeAttempts(plan, world, say);
  judgeNeeds(plan, world, began, say);
  judgeTimes(world, began, watched, say);
  judgeLimits(plan, world, began, say);
  judgeLocks(plan, world, began, say);
  judgeHeld(plan, world, watched, say);
  judgeCompensation(plan, world, rows, undoing, watched, say);
  judgeOutcome(plan, world, rows, watched, say);
  return problems;
}

type Say = (problem: string) => void;

function isCompensation(effect: string): boolean {
  return effect.startsWith('compensate/');
}

/** Everything has ended; only a run that never left the queue has steps that are not recorded. */
function judgeEnd(plan: Plan, world: World, rows: StepRow[], say: Say): void {
  if (world.run.finishedAt === null) say('the run has not ended');
  // An item that an execution before this one had begun, and this one had not, is Pending for ever.
  const open = rows.filter(({ phase, item }) => !ended.has(phase) && (phase !== 'Pending' || item === wholeStep));
  if (open.length > 0) say(`not ended: ${open.map((row) => `${unitId(row)} ${row.phase}`).join(', ')}`);
  const steps = rows.filter(({ item }) => item === wholeStep).length;
  if (world.run.startedAt !== null && steps !== plan.steps.length)
    say(`${steps} of ${plan.steps.length} steps recorded`);
  for (const [id, attempt] of world.attempts) if (attempt.finishedAt === null) say(`attempt ${id} has not ended`);
}

/** At most one start a recorded attempt; numbers without gaps; never more of them than the retries allow. */
function judgeAttempts(plan: Plan, world: World, say: Say): void {
  const seen = new Set<string>();
  for (const { key } of world.begun) {
    const id = `${unitId(key)}/${key.attempt}`;
    if (seen.has(id)) say(`${id} began twice`);
    seen.add(id);
  }
  const groups = new Map<string, Begun[]>();
  for (const one of world.begun) {
    const id = `${unitId(one.key)} ${one.action.effect}`;
    groups.set(id, [...(groups.get(id) ?? []), one]);
  }
  for (const [id, group] of groups) {
    const { key, action } = group[0] as Begun;
    const step = stepOf(plan, key.step);
    const retry = retriesOf(step, action.effect);
    const lost = group.filter((one) => {
      const attempt = world.attempts.get(`${unitId(one.key)}/${one.key.attempt}`);
      return attempt?.error?.type.startsWith('infrastructure/');
    }).length;
    if (lost > infrastructureRetries + 1) say(`${id} was lost ${lost} times`);
    if (group.length - lost > retry + 1)
      say(`${id} has ${group.length} attempts, ${lost} of them lost, and ${retry} retries`);
  }
}

function retriesOf(step: PlanStep, effect: string): number {
  const via = effect.split('/')[0] ?? '';
  if (via === 'main') return step.main.retry.limit;
  if (via === 'compensate') return step.compensate?.retry.limit ?? 0;
  const fallback = step.fallback[Number(/\d+/.exec(via)?.[0])];
  return fallback && 'body' in fallback ? fallback.retry.limit : 0;
}

/** No step before its needs have ended and are met; no `finally` before all of the main steps have ended. */
function judgeNeeds(plan: Plan, world: World, began: Begun[], say: Say): void {
  for (const { at, key } of began) {
    const step = stepOf(plan, key.step);
    const before = step.section === 'finally' ? plan.steps.slice(0, plan.mainCount) : [];
    for (const need of [...step.needs.map((index) => plan.steps[index] as PlanStep), ...before]) {
      const finishedAt = world.steps.get(need.name)?.finishedAt ?? null;
      if (finishedAt === null || finishedAt > at) say(`${unitId(key)} began before ${need.name} had ended`);
    }
    const judgesItself =
      step.condition !== null &&
      (step.condition.calls.always || step.condition.calls.failure || step.condition.calls.status.length > 0);
    if (judgesItself) continue;
    for (const index of step.needs) {
      const need = plan.steps[index] as PlanStep;
      if (!isMet(need, world.steps.get(need.name))) say(`${unitId(key)} began though ${need.name} was not met`);
    }
  }
}

function isMet(step: PlanStep, row: StepRow | undefined): boolean {
  switch (row?.phase) {
    case 'Succeeded':
    case 'Cached':
    case 'Compensated':
      return true;
    case 'Skipped':
      return row.reason !== 'NeedNotMet';
    case 'Failed':
    case 'TimedOut':
      return step.criticality === 'low';
    default:
      return false;
  }
}

/** Nothing begins while paused, after the outcome is fixed, or after it was cancelled by force. */
function judgeTimes(world: World, began: Begun[], watched: Watched, say: Say): void {
  const mainEnd = watched.outcomeAt ?? Number.POSITIVE_INFINITY;
  for (const { at, key } of world.begun) {
    if (watched.pauses.some(({ from, to }) => at > from && at < to)) say(`${unitId(key)} began while paused`);
    if (watched.forcedAt !== null && at > watched.forcedAt) say(`${unitId(key)} began after the force`);
  }
  for (const { at, key } of began) {
    if (key.step.startsWith('s') && at > mainEnd) say(`${unitId(key)} began after the outcome`);
  }
}

/** The run's parallelism counts live attempts, a forEach's its items. */
function judgeLimits(plan: Plan, world: World, began: Begun[], say: Say): void {
  if (plan.parallelism !== null) {
    const live = began
      .filter(({ action }) => slotKinds.has(action.body.kind))
      .map(({ at, endsAt }) => ({ from: at, to: endsAt }));
    const most = mostAtOnce(live);
    if (most > plan.parallelism) say(`${most} attempts at once, and parallelism ${plan.parallelism}`);
  }
  for (const step of plan.steps) {
    const limit = step.forEach?.parallelism ?? null;
    if (limit === null) continue;
    const items = [...world.steps.values()].filter((row) => row.step === step.name && row.item !== wholeStep);
    const most = mostAtOnce(
      items.flatMap(({ startedAt, finishedAt }) =>
        startedAt === null || finishedAt === null ? [] : [{ from: startedAt, to: finishedAt }],
      ),
    );
    if (most > limit) say(`${most} items of ${step.name} at once, and parallelism ${limit}`);
  }
}

/** A unit holds its locks from its first attempt to its end. */
function judgeLocks(plan: Plan, world: World, began: Begun[], say: Say): void {
  const held = new Map<string, { from: Instant; to: Instant }[]>();
  const limits = new Map<string, number>();
  const first = new Map<string, Begun>();
  for (const one of began) if (!first.has(unitId(one.key))) first.set(unitId(one.key), one);
  for (const [id, { at, key }] of first) {
    const step = stepOf(plan, key.step);
    const names = new Map(step.locks.map(({ name, limit }) => [name.source, limit]));
    for (const [name, limit] of names) {
      const text = lockName(name, key.item);
      // What the run holds is held by all of its steps.
      if (plan.locks.some((own) => own.name.source === text)) continue;
      held.set(text, [...(held.get(text) ?? []), { from: at, to: world.steps.get(id)?.finishedAt ?? at }]);
      limits.set(text, Math.max(limits.get(text) ?? 0, limit));
    }
  }
  for (const [name, spans] of held) {
    const most = mostAtOnce(spans);
    if (most > (limits.get(name) ?? 1)) say(`${most} hold ${name}, whose limit is ${limits.get(name)}`);
  }
}

/** No attempt, and no compensation, begins without what its unit must hold. */
function judgeHeld(plan: Plan, world: World, { limitedSlots }: Watched, say: Say): void {
  for (const { key, action, held } of world.begun) {
    const step = stepOf(plan, key.step);
    const undoes = isCompensation(action.effect);
    const what = undoes ? `the compensation of ${unitId(key)}` : unitId(key);
    const names = held?.locks.map(({ name }) => name) ?? [];
    for (const { name } of step.locks) {
      const text = lockName(name.source, key.item);
      if (!names.includes(text)) say(`${what} began without ${text}`);
    }
    const kind = (undoes ? step.compensate : step.main)?.body.kind ?? '';
    if (limitedSlots && slotKinds.has(kind) && held?.slot !== true) say(`${what} began without a slot`);
  }
}

/** What the name of a lock comes to: the one expression that workflows have here is of the item's place. */
function lockName(source: string, item: number): string {
  return source.includes('index') ? `lock-${item % 2}` : source;
}

function mostAtOnce(spans: { from: Instant; to: Instant }[]): number {
  const edges = spans.flatMap(({ from, to }) =>
    to > from
      ? [
          { at: from, by: 1 },
          { at: to, by: -1 },
        ]
      : [],
  );
  edges.sort((a, b) => a.at - b.at || a.by - b.by);
  let now = 0;
  let most = 0;
  for (const { by } of edges) most = Math.max(most, (now += by));
  return most;
}

/** Only what succeeded is undone, only after a bad end, one by one, the last that ended first, all of it, before `finally`. */
function judgeCompensation(
  plan: Plan,
  world: World,
  rows: StepRow[],
  undoing: Begun[],
  watched: Watched,
  say: Say,
): void {
  const bad = watched.outcome === 'Failed' || watched.outcome === 'TimedOut' || watched.outcome === 'Cancelled';
  if (undoing.length > 0 && !bad) say(`a compensation began, and the outcome is ${watched.outcome}`);
  const finishedAt = (one: Begun) => world.steps.get(unitId(one.key))?.finishedAt ?? 0;
  for (const [i, one] of undoing.entries()) {
    const before = undoing[i - 1];
    if (!before) continue;
    if (before.endsAt > one.at) say(`the compensations of ${unitId(before.key)} and ${unitId(one.key)} overlap`);
    if (finishedAt(before) < finishedAt(one))
      say(`${unitId(one.key)} ended later and is undone after ${unitId(before.key)}`);
  }
  const last = undoing.at(-1);
  const early = world.begun.find(
    ({ key, at, action }) => key.step.startsWith('f') && !isCompensation(action.effect) && last && at < last.endsAt,
  );
  if (early) say(`${unitId(early.key)} began before all was undone`);
  if (!bad || watched.forcedAt !== null || world.run.startedAt === null) return;
  for (const row of rows) {
    const step = stepOf(plan, row.step);
    if (step.compensate === null || step.section === 'finally' || (step.forEach !== null && row.item === wholeStep))
      continue;
    const left = row.phase === 'Succeeded' && row.reason !== 'CompensationFailed' && row.reason !== 'Reused';
    if (left) say(`${unitId(row)} was not undone`);
  }
}

/** The phase of the run follows from what became of its steps. */
function judgeOutcome(plan: Plan, world: World, rows: StepRow[], watched: Watched, say: Say): void {
  const { phase, outcome } = world.run;
  if (world.run.startedAt === null) return;
  if (outcome !== watched.outcome) say(`the outcome changed from ${watched.outcome} to ${outcome}`);
  const failed = (section: string, fatal: boolean) =>
    rows.some((row) => {
      const step = stepOf(plan, row.step);
      const tolerated = step.criticality === 'medium' || step.criticality === 'low';
      const bad =
        row.phase === 'Failed' || row.phase === 'TimedOut' || (section === 'finally' && row.phase === 'Cancelled');
      return row.item === wholeStep && step.section === section && bad && tolerated !== fatal;
    });
  const helped = rows.some(
    (row) =>
      (row.phase === 'Succeeded' && row.via.startsWith('fallback')) ||
      (row.phase === 'Skipped' && row.reason === 'Fallback'),
  );
  if (outcome === 'Succeeded' || outcome === 'Degraded') {
    if (failed('main', true)) say(`the outcome is ${outcome}, and a step failed`);
    const weak = failed('main', false) || failed('finally', false) || helped;
    const expected = failed('finally', true)
      ? world.run.forced
        ? 'Cancelled'
        : 'Failed'
      : weak
        ? 'Degraded'
        : 'Succeeded';
    if (phase !== expected) say(`the run is ${phase}, and should be ${expected}`);
  } else if (phase !== outcome) {
    say(`the run is ${phase}, and its outcome was ${outcome}`);
  }
}

function stepOf(plan: Plan, name: string): PlanStep {
  const step = plan.steps[plan.byName.get(name) ?? -1];
  if (step === undefined) throw new Error(`no step ${name}`);
  return step;
}
