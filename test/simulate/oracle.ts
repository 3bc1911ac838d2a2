import { type StepRow, wholeStep } from '../../controller/core/run/types.ts';
import type { Instant } from '../../controller/core/time.ts';
import { unitId, type World, type WorldOptions } from '../fixtures/world.ts';
import { type Course, followEither } from './course.ts';
import { judgeEnding } from './ending.ts';
import { hasFailed, phaseOf, type Say, stepOf, stepsOf, type Stops, Told } from './told.ts';
import { itemsOf, judgesNeeds, msOf, wants, type Written, type WrittenStep } from './written.ts';

const never = Number.POSITIVE_INFINITY;

/**
 * Says what had to become of a run, from what its attempts answer and what the workflow says, and compares: how often each
 * unit was tried and why it ended, in which phase, when; which steps were skipped; what stopped the run; what was undone; what
 * the run came to. It knows nothing of how the engine decides. Where two causes fall on one instant either may win.
 * @returns what is wrong, one line each
 */
export function foretell(workflow: Written, world: World, options: WorldOptions, outcomeAt: Instant | null): string[] {
  const problems: string[] = [];
  const say = (problem: string) => problems.push(problem);
  const told = new Told(workflow, world, options);
  const stops = judgeEnding(told, outcomeAt, say);
  if (stops === null) return problems;
  for (const section of ['main', 'finally'] as const) {
    for (const step of stepsOf(workflow, section)) new StepJudge(told, step, section, stops, say).judge();
  }
  return problems;
}

/** The steps that a step names: what it needs, and those that its `if` and its artifacts read. */
export function needsOf(step: WrittenStep): string[] {
  const read = (step.if ?? '').matchAll(/steps\.(\w+)|status\('(\w+)'\)/g);
  const taken = Object.values(step.artifacts?.in ?? {}).map((source) => source.split('.')[0] ?? '');
  return [...new Set([...(step.needs ?? []), ...Array.from(read, ([, a, b]) => a ?? b ?? ''), ...taken])];
}

class StepJudge {
  readonly #told: Told;
  readonly #step: WrittenStep;
  readonly #section: 'main' | 'finally';
  readonly #stopAt: Instant;
  readonly #say: Say;

  constructor(told: Told, step: WrittenStep, section: 'main' | 'finally', stops: Stops, say: Say) {
    this.#told = told;
    this.#step = step;
    this.#section = section;
    this.#stopAt = stops[section];
    this.#say = say;
  }

  judge(): void {
    const { name } = this.#step;
    const row = this.#told.rowOf(name);
    if (row === undefined) return this.#say(`${name} was never decided`);
    if (this.#told.kept.has(name)) return;
    const needs = needsOf(this.#step).map((need) => this.#told.rowOf(need));
    const { startedAt, finalizingAt } = this.#told.world.run;
    const begins = (this.#section === 'main' ? startedAt : finalizingAt) ?? never;
    // What an execution before has left ended before this one began.
    const ready = Math.max(begins, ...needs.map((need) => need?.finishedAt ?? never));
    if (ready >= this.#stopAt && row.phase === 'Cancelled' && row.startedAt === null) {
      if (row.finishedAt !== this.#stopAt && row.finishedAt !== begins) this.#say(`${name} was cancelled at no cause`);
      return;
    }
    if (ready > this.#stopAt) return this.#say(`${name} is ${row.phase}, and the run stopped before it could begin`);
    const decided = this.#told.freeFrom(ready, { slot: false, circuit: false });
    if (decided > this.#stopAt) return this.#expect(row, 'Cancelled', this.#stopAt);
    if (decided === this.#stopAt && row.phase === 'Cancelled') return;
    // Behind a need that was kept, something may fail again in this very instant.
    if (
      this.#step.if === 'failure()' &&
      this.#above().some((above) => hasFailed(above) && above.finishedAt === decided && !needs.includes(above))
    )
      return;
    const wanted = this.#wanted(needs, decided);
    if (wanted === 'error') return this.#expect(row, 'Failed', decided);
    if (wanted !== 'yes') {
      this.#expect(row, 'Skipped', decided);
      if (row.reason !== wanted) this.#say(`${name} was skipped by ${row.reason}, and should by ${wanted}`);
    } else if (this.#step.forEach !== undefined) this.#judgeItems(row, decided);
    else this.#compare(row, this.#follow(wholeStep, ready));
  }

  #expect(row: StepRow, phase: string, at: Instant): void {
    if (phaseOf(row) !== phase || row.finishedAt !== at)
      this.#say(`${unitId(row)} is ${row.phase} at ${row.finishedAt}, and should be ${phase} at ${at}`);
    const more = this.#told.begunBy(row).length;
    if (more > 0 && row.startedAt === null) this.#say(`${unitId(row)} began though it should not`);
  }

  #wanted(needs: (StepRow | undefined)[], at: Instant): 'yes' | 'error' | 'NeedNotMet' | 'ConditionFalse' {
    const { if: condition } = this.#step;
    const met = needs.every((need) => need !== undefined && this.#isMet(need));
    if (!met && !judgesNeeds(condition)) return 'NeedNotMet';
    if (condition === undefined) return 'yes';
    const wanted = wants(condition, {
      failure: this.#hasFailedBefore(at),
      // What an execution before has undone stays so.
      phaseOf: (step) => this.#told.kept.get(step)?.phase ?? phaseOf(this.#told.rowOf(step)),
    });
    if (wanted === 'error') return 'error';
    return wanted ? 'yes' : 'ConditionFalse';
  }

  #isMet(row: StepRow): boolean {
    if (row.phase === 'Skipped') return row.reason !== 'NeedNotMet';
    if (hasFailed(row)) return stepOf(this.#told.workflow, row.step).criticality === 'low';
    return row.phase !== 'Cancelled' && row.phase !== 'Pending';
  }

  /** A need, or a need of one, has failed by then; for `finally` the run itself is a need. */
  #hasFailedBefore(at: Instant): boolean {
    const { outcome } = this.#told.world.run;
    const run = this.#section === 'finally' && (outcome === 'Failed' || outcome === 'TimedOut');
    return run || this.#above().some((row) => hasFailed(row) && (row.finishedAt ?? never) <= at);
  }

  /** All that it comes after. */
  #above(): StepRow[] {
    const above = new Set(needsOf(this.#step));
    for (const name of above) for (const need of needsOf(stepOf(this.#told.workflow, name))) above.add(need);
    return [...above].flatMap((name) => this.#told.rowOf(name) ?? []);
  }

  #follow(item: number, ready: Instant, stop = { at: this.#stopAt, phase: 'Cancelled' as const }, deadlineAt = never) {
    const { deadline } = this.#step;
    return followEither(this.#told, {
      step: this.#step,
      item,
      ready,
      first: 'main',
      stop,
      deadlineMs: deadline === undefined || item !== wholeStep ? never : msOf(deadline),
      deadlineAt,
      limitedSlots: this.#told.options.limitedSlots ?? false,
    });
  }

  /** What is wrong with a unit that may have gone in one way or, of what falls on one instant, in the other. */
  #compare(row: StepRow, courses: Course[]): void {
    const wrongs = courses.map((course) => differences(row, course));
    if (wrongs.some((wrong) => wrong.length === 0)) return;
    for (const problem of wrongs[0] ?? []) this.#say(problem);
  }

  #judgeItems(row: StepRow, begins: Instant): void {
    const { name, forEach = {}, deadline } = this.#step;
    const total = itemsOf(forEach);
    if (total === null) return this.#expect(row, 'Failed', begins);
    if (row.items !== total) this.#say(`${name} has ${row.items} items, and should have ${total}`);
    const deadlineAt = deadline === undefined ? never : begins + msOf(deadline);
    const rows = Array.from({ length: total }, (_, item) => this.#told.rowOf(name, item));
    const fresh = rows.filter(
      (one) => one !== undefined && !this.#told.kept.has(unitId(one)) && one.phase !== 'Pending',
    );
    const ends = fresh.flatMap((one) => one?.finishedAt ?? []).sort((a, b) => a - b);
    const failFast = forEach.failFast ?? true;
    const failures = rows.flatMap((one) => (hasFailed(one) ? [one as StepRow] : []));
    const firstFailure = failFast ? Math.min(never, ...failures.map(({ finishedAt }) => finishedAt ?? never)) : never;
    const stop = Math.min(this.#stopAt, deadlineAt, firstFailure);
    let handedOut = 0;
    for (const [item, one] of rows.entries()) {
      if (one !== undefined && this.#told.kept.has(unitId(one))) continue;
      const before = handedOut++ - (forEach.parallelism ?? never);
      const ready = before < 0 ? begins : (ends[before] ?? never);
      // Its own failure stops the others, not itself.
      const others = failures.filter((failed) => failed !== one).map(({ finishedAt }) => finishedAt ?? never);
      const at = failFast ? Math.min(this.#stopAt, deadlineAt, ...others) : Math.min(this.#stopAt, deadlineAt);
      if (one === undefined || one.phase === 'Pending') {
        const free = ready === never ? never : this.#freeForItem(ready);
        if (free < at && free < stop) this.#say(`item ${item} of ${name} never began, and should at ${free}`);
        continue;
      }
      if (ready > at) this.#say(`item ${item} of ${name} began after its step was stopped`);
      else this.#compare(one, this.#follow(item, ready, { at, phase: 'Cancelled' }, deadlineAt));
    }
    this.#judgeWhole(row, rows, begins, { firstFailure, deadlineAt });
  }

  #freeForItem(ready: Instant): Instant {
    return this.#told.freeFrom(ready, { slot: true, circuit: false });
  }

  /** What a forEach comes to, given its items. */
  #judgeWhole(
    row: StepRow,
    rows: (StepRow | undefined)[],
    begins: Instant,
    { firstFailure, deadlineAt }: { firstFailure: Instant; deadlineAt: Instant },
  ): void {
    const stop = Math.min(this.#stopAt, deadlineAt, firstFailure);
    const ended = rows.filter((one) => one !== undefined && one.phase !== 'Pending') as StepRow[];
    const last = Math.max(begins, ...ended.map(({ finishedAt }) => finishedAt ?? never));
    const complete = ended.length === rows.length && ended.every(({ phase }) => phase !== 'Cancelled');
    const failed = ended.some(hasFailed);
    const natural = failed ? 'Failed' : 'Succeeded';
    // Stopped in the very instant of its end.
    if (last === stop && stop !== firstFailure) return;
    if (stop === never || (stop > last && ended.length === rows.length)) {
      if (!complete) this.#say(`${row.step} lacks items, and nothing has stopped it`);
      return this.#expect(row, natural, last);
    }
    const ties = [this.#stopAt, deadlineAt, firstFailure].filter((at) => at === stop).length;
    if (ties > 1) return;
    const at = Math.max(stop, last);
    if (stop === firstFailure) return this.#expect(row, 'Failed', at);
    if (stop === deadlineAt) return this.#expect(row, 'TimedOut', at);
    return this.#expect(row, complete ? natural : 'Cancelled', at);
  }
}

function differences(row: StepRow, course: Course): string[] {
  const problems = [...course.problems];
  if (course.unknown) return problems;
  const id = unitId(row);
  if (phaseOf(row) !== course.phase) return [...problems, `${id} is ${row.phase}, and should be ${course.phase}`];
  if (row.finishedAt !== course.at) problems.push(`${id} ended at ${row.finishedAt}, and should at ${course.at}`);
  if (row.startedAt !== course.startedAt && row.finishedAt !== row.startedAt)
    problems.push(`${id} left Pending at ${row.startedAt}, and should at ${course.startedAt}`);
  const undone = row.via === 'compensate';
  if (!undone && row.via !== course.via) problems.push(`${id} ended by ${row.via}, and should by ${course.via}`);
  const counted = course.phase === 'Succeeded' && !undone;
  if (counted && row.iteration !== course.iteration)
    problems.push(`${id} was repeated ${row.iteration} times, and should ${course.iteration} times`);
  if (course.phase === 'Failed' && row.error?.type !== course.error)
    problems.push(`${id} failed with ${row.error?.type}, and should with ${course.error}`);
  return problems;
}
