import { type RunOutcome, type StepRow, wholeStep } from '../../controller/core/run/types.ts';
import type { Instant } from '../../controller/core/time.ts';
import { unitId } from '../fixtures/world.ts';
import { type Course, followEither } from './course.ts';
import { hasFailed, phaseOf, type Say, type Stops, stepOf, stepsOf, type Told } from './told.ts';
import { kindOf, msOf } from './written.ts';

const never = Number.POSITIVE_INFINITY;
const finallyLimitMs = 30 * 60_000;

/**
 * Judges how a run left the queue, what stopped it or how it ended by itself, what was undone, and what it came to.
 * @returns when its sections were stopped; null when it never left the queue
 */
export function judgeEnding(told: Told, outcomeAt: Instant | null, say: Say): Stops | null {
  const { run } = told.world;
  if (!judgeQueue(told, say)) return null;
  const main = wholeRows(told, 'main');
  const mainEnd = Math.max(run.startedAt ?? 0, ...main.map(({ finishedAt }) => finishedAt ?? never));
  const stopped = judgeOutcome(told, main, mainEnd, outcomeAt, say);
  const undone = judgeUndone(told, Math.max(mainEnd, outcomeAt ?? 0), say);
  const cuts = { main: stopped ? (outcomeAt ?? never) : never, finally: finallyStop(told) };
  if (undone !== null) judgeFinally(told, undone, say);
  judgePhase(told, say);
  return cuts;
}

function wholeRows(told: Told, section: 'main' | 'finally'): StepRow[] {
  return stepsOf(told.workflow, section).flatMap(({ name }) => told.rowOf(name) ?? []);
}

/** A run begins at once, or when it is granted what it asks for; unless it is refused, waits too long or is cancelled before. */
function judgeQueue(told: Told, say: Say): boolean {
  const { run } = told.world;
  const { concurrency, locks = [], queueTimeout } = told.workflow;
  const { queuedAt } = run;
  if (concurrency === undefined && locks.length === 0) {
    if (run.startedAt !== queuedAt) say(`the run began at ${run.startedAt}, and should at ${queuedAt}`);
    return run.startedAt !== null;
  }
  const answer = told.answerTo('', 'Locks', queuedAt);
  // One that its group turns away did not fail.
  const turnedAway = answer?.said.type === 'LocksRefused' && answer.said.error.type === 'groupTaken';
  const refused = turnedAway ? 'Cancelled' : 'Failed';
  const ways = [
    { how: 'Cancelled', at: told.firstSpec(queuedAt, ({ desired }) => desired === 'Cancelled') },
    { how: 'TimedOut', at: queueTimeout === undefined ? never : queuedAt + msOf(queueTimeout) },
    { how: answer?.said.type === 'LocksGranted' ? 'began' : refused, at: answer?.at ?? never },
  ];
  const first = Math.min(...ways.map(({ at }) => at));
  const due = ways.filter(({ at }) => at === first).map(({ how }) => how);
  const is = run.startedAt === null ? run.phase : 'began';
  const at = run.startedAt ?? run.finishedAt;
  if (!due.includes(is) || at !== first)
    say(`the queued run ${is} at ${at}, and should ${due.join(' or ')} at ${first}`);
  return run.startedAt !== null;
}

interface Cause {
  outcome: RunOutcome;
  at: Instant;
}

/** What fixed the outcome of the run: the first cause wins. True: it stopped the run; false: all main steps ended by themselves. */
function judgeOutcome(told: Told, main: StepRow[], mainEnd: Instant, outcomeAt: Instant | null, say: Say): boolean {
  const { run } = told.world;
  const startedAt = run.startedAt ?? 0;
  const closes = closesAt(told, mainEnd);
  const critical = main.filter((row) => hasFailed(row) && stepOf(told.workflow, row.step).criticality === 'critical');
  const fresh = critical.filter((row) => !told.kept.has(row.step));
  const limit = told.workflow.timeout === undefined ? never : startedAt + msOf(told.workflow.timeout);
  const causes: Cause[] = [
    { outcome: 'Cancelled', at: told.firstSpec(startedAt, ({ desired }) => desired === 'Cancelled') },
    { outcome: 'Failed', at: Math.min(never, ...fresh.map(({ finishedAt }) => finishedAt ?? never)) },
    { outcome: byThemselves(told, main), at: closes },
  ];
  if (run.outcome === 'TimedOut') {
    const stood = (outcomeAt ?? 0) - limit;
    if (stood < 0 || stood > mayStand(told, startedAt, outcomeAt ?? 0))
      say(`the run timed out at ${outcomeAt}, ${stood} ms after its limit, and its clock cannot have stood so long`);
    const earlier = causes.some(({ at }) => at < (outcomeAt ?? 0));
    if (earlier) say('the run timed out, and had ended or was cancelled before');
    return true;
  }
  const first = Math.min(...causes.map(({ at }) => at));
  const possible = causes.filter(({ at }) => at === first);
  if (first > limit + mayStand(told, startedAt, first)) say(`the run was never timed out, and should at ${limit}`);
  if (outcomeAt !== first || !possible.some(({ outcome }) => outcome === run.outcome)) {
    const due = possible.map(({ outcome }) => outcome).join(' or ');
    say(`the run is to end ${run.outcome} since ${outcomeAt}, and should ${due} since ${first}`);
  }
  return first < closes || possible.length > 1;
}

/** A paused run that has something to begin after its main steps waits with that. */
function closesAt(told: Told, mainEnd: Instant): Instant {
  const more = (told.workflow.finally ?? []).length > 0 || undoable(told).length > 0;
  return more ? told.freeFrom(mainEnd, { slot: false, circuit: false }) : mainEnd;
}

/** What a run comes to whose main steps have all ended by themselves. */
function byThemselves(told: Told, main: StepRow[]): RunOutcome {
  const criticality = (row: StepRow) => stepOf(told.workflow, row.step).criticality ?? 'high';
  const fatal = main.some((row) => hasFailed(row) && ['critical', 'high'].includes(criticality(row)));
  if (fatal) return 'Failed';
  if (Object.values(told.workflow.outputs ?? {}).some((value) => value === '${{ 1 / 0 }}')) return 'Failed';
  return isWeak(told, 'main') ? 'Degraded' : 'Succeeded';
}

/** Whether steps of a section ended well enough, but not as they should. */
function isWeak(told: Told, section: 'main' | 'finally'): boolean {
  const names = new Set(stepsOf(told.workflow, section).map(({ name }) => name));
  const helped = [...told.world.steps.values()].some(
    (row) => names.has(row.step) && (byFallback(row) || (row.phase === 'Skipped' && row.reason === 'Fallback')),
  );
  const tolerated = wholeRows(told, section).some(
    (row) => hasFailed(row) || (section === 'finally' && row.phase === 'Cancelled'),
  );
  return helped || tolerated;
}

function byFallback(row: StepRow): boolean {
  return phaseOf(row) === 'Succeeded' && row.via.startsWith('fallback');
}

/** At most so long may the clock of a run have stood: while it was paused, or a step waited for approval. */
function mayStand(told: Told, from: Instant, to: Instant): number {
  let paused = 0;
  const changes = [from, ...(told.options.spec ?? []).map(({ at }) => at).filter((at) => at > from && at < to), to];
  for (const [i, at] of changes.entries()) if (told.pausedAt(at)) paused += Math.max(0, (changes[i + 1] ?? at) - at);
  const waits = [...told.world.steps.values()].filter((row) => kindOf(stepOf(told.workflow, row.step)) === 'approval');
  const waited = waits.reduce(
    (sum, row) => sum + Math.max(0, Math.min(to, row.finishedAt ?? to) - (row.startedAt ?? to)),
    0,
  );
  return paused + waited;
}

function finallyStop(told: Told): Instant {
  const { finalizingAt } = told.world.run;
  if (finalizingAt === null) return never;
  const critical = wholeRows(told, 'finally').filter(
    (row) => hasFailed(row) && stepOf(told.workflow, row.step).criticality === 'critical',
  );
  const failed = Math.min(never, ...critical.map(({ finishedAt }) => finishedAt ?? never));
  return Math.max(finalizingAt, Math.min(forcedAt(told), finalizingAt + finallyLimitMs, failed));
}

function forcedAt(told: Told): Instant {
  return told.firstSpec(0, ({ desired, force }) => desired === 'Cancelled' && force === true);
}

/** What succeeded in this run and can be undone. */
function undoable(told: Told): StepRow[] {
  return [...told.world.steps.values()].filter((row) => {
    const step = stepOf(told.workflow, row.step);
    if (step.compensate === undefined || (step.forEach !== undefined && row.item === wholeStep)) return false;
    const { steps } = told.workflow;
    if (!steps.includes(step) || phaseOf(row) !== 'Succeeded') return false;
    const before = told.kept.get(unitId(row));
    return (
      before === undefined ||
      (before.phase === 'Succeeded' && before.reason !== 'CompensationFailed' && before.reason !== 'Reused')
    );
  });
}

/**
 * After a bad end all that succeeded is undone, the last that ended first, one by one.
 * @returns when that was over; null: it cannot be told
 */
function judgeUndone(told: Told, from: Instant, say: Say): Instant | null {
  const { outcome } = told.world.run;
  const bad = outcome === 'Failed' || outcome === 'TimedOut' || outcome === 'Cancelled';
  const forced = forcedAt(told);
  const begins = (row: StepRow) =>
    told.begunBy(row).find(({ action }) => action.effect.startsWith('compensate'))?.at ?? never;
  if (!bad || forced < from) {
    const undone = told.world.begun.find(({ action }) => action.effect.startsWith('compensate'));
    if (undone) say(`${unitId(undone.key)} was undone, and should not`);
    return from;
  }
  if (forced === from) return null;
  // Of those that ended in one instant, the order is what it was.
  const todo = undoable(told).sort((a, b) => (b.finishedAt ?? 0) - (a.finishedAt ?? 0) || begins(a) - begins(b));
  let at = from;
  for (const row of todo) {
    const ready = told.freeFrom(at, { slot: false, circuit: false });
    if (ready >= forced) return Math.max(at, forced);
    const courses = followEither(told, {
      step: stepOf(told.workflow, row.step),
      item: row.item,
      ready,
      first: 'compensate',
      stop: { at: forced, phase: 'Cancelled' },
      deadlineMs: never,
      deadlineAt: never,
      limitedSlots: told.options.limitedSlots ?? false,
    });
    const is = row.phase === 'Compensated' ? row.phase : row.reason;
    const fits = (one: Course) => one.problems.length === 0 && is === leaves(one);
    const course = courses.find(fits) ?? courses[0];
    if (course === undefined) return null;
    for (const problem of course.problems) say(problem);
    if (course.unknown) return null;
    const due = leaves(course);
    if (is !== due) say(`${unitId(row)} is ${row.phase} ${row.reason}, and its compensation should leave it ${due}`);
    at = course.at;
  }
  return at;
}

function leaves({ phase }: Course): string {
  return phase === 'Succeeded' ? 'Compensated' : 'CompensationFailed';
}

/** `finally` begins when all is undone, ends the run, and is left out only by force. */
function judgeFinally(told: Told, from: Instant, say: Say): void {
  const { run } = told.world;
  const rows = wholeRows(told, 'finally');
  const ends = Math.max(from, ...rows.map(({ finishedAt }) => finishedAt ?? never));
  if (rows.length > 0 && run.finalizingAt !== from) say(`finally began at ${run.finalizingAt}, and should at ${from}`);
  if (run.finishedAt !== ends) say(`the run ended at ${run.finishedAt}, and should at ${ends}`);
  if (forcedAt(told) >= from) return;
  for (const row of rows)
    if (row.phase !== 'Cancelled') say(`${row.step} of finally is ${row.phase} in spite of the force`);
}

/** The phase of the run, given its outcome and `finally`. */
function judgePhase(told: Told, say: Say): void {
  const { run } = told.world;
  const { outcome } = run;
  if (outcome !== 'Succeeded' && outcome !== 'Degraded') {
    if (run.phase !== outcome) say(`the run is ${run.phase}, and should be ${outcome}`);
    return;
  }
  const cut = wholeRows(told, 'finally').some(
    (row) =>
      (hasFailed(row) || row.phase === 'Cancelled') &&
      ['critical', 'high'].includes(stepOf(told.workflow, row.step).criticality ?? 'high'),
  );
  const good = outcome === 'Degraded' || isWeak(told, 'finally') ? 'Degraded' : 'Succeeded';
  const forced = forcedAt(told) <= (run.finishedAt ?? never);
  const due = cut ? (forced ? 'Cancelled' : 'Failed') : good;
  if (run.phase !== due) say(`the run is ${run.phase}, and should be ${due}`);
}
