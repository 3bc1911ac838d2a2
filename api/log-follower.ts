import type { Context } from 'hono';
import { type AttemptRow, isFinished, wholeStep } from '../controller/core/run/types.ts';
import type { AppDependencies } from './dependencies.ts';
import { RequestProblem } from './errors.ts';
import type { KnownRun } from './runs.ts';
import { type EventStream, eventStream } from './sse.ts';

/** Output announces itself; the end of an attempt does not, so it is looked for this often. */
const pollMs = 500;
/** Most output in one event. */
const eventBytes = 64 * 1024;

/** Of a step with more items than this, the output of an item is shown only when that item is asked for. */
const mostItems = 100;

/**
 * How far each step (or item of one: `step-3`) was sent: everything before this attempt, and of it what lies before
 * `position`.
 */
export type LogCursor = Map<string, { attempt: number; position: number }>;

/** What is followed: one attempt, one item, one step, or (nothing is said) all of the run. */
export interface LogSelection {
  step?: string;
  item?: number;
  attempt?: number;
}

/** `step.attempt.position,…`, numbers in base 36: it travels as an event's id and must stay short. */
export function formatCursor(cursor: LogCursor): string {
  return [...cursor].map(([step, at]) => `${step}.${at.attempt.toString(36)}.${at.position.toString(36)}`).join(',');
}

/** @throws RequestProblem 400 when it is none of ours. */
export function parseCursor(text: string | undefined): LogCursor {
  const cursor: LogCursor = new Map();
  if (text === undefined || text === '') return cursor;
  for (const part of text.split(',')) {
    const [, step, attempt, position] =
      /^([a-z][a-z0-9_]{0,39}(?:-\d{1,5})?)\.([0-9a-z]{1,8})\.([0-9a-z]{1,10})$/.exec(part) ?? [];
    if (step === undefined || attempt === undefined || position === undefined) {
      throw new RequestProblem('invalid-parameter', 'Last-Event-ID is no cursor of a log.');
    }
    cursor.set(step, { attempt: Number.parseInt(attempt, 36), position: Number.parseInt(position, 36) });
  }
  return cursor;
}

/** Sends output of a run (of one step, of one attempt) as it grows, until there can be no more. */
export function followLogs(
  c: Context,
  deps: AppDependencies,
  run: KnownRun,
  only: LogSelection,
  cursor: LogCursor,
): Response {
  const id = run.row?.id ?? run.object?.metadata.uid ?? '';
  return eventStream(
    c,
    deps,
    (ring) => [deps.store.logs.onAppend(id, ring), deps.store.events.onAppend(ring)],
    async (stream) => {
      for (;;) {
        // looked at before the output is read: what is over now can have no output after that read
        const over = await phaseWhenOver(deps, run, id, only);
        const sent = await sendNews(deps, stream, id, only, cursor);
        if (sent) continue;
        if (over !== null) return stream.send('end', undefined, { phase: over });
        if (!(await stream.wait(pollMs))) return;
      }
    },
  );
}

/** The phase of what is followed once it has ended, else null. A run that was cancelled or deleted before it began is Cancelled. */
async function phaseWhenOver(
  deps: AppDependencies,
  known: KnownRun,
  id: string,
  only: LogSelection,
): Promise<string | null> {
  const run = await deps.store.runs.get(id);
  if (!run) return (await willNeverBegin(deps, known, id)) ? 'Cancelled' : null;
  if (isFinished(run.phase) && only.step === undefined) return run.phase;
  if (only.step === undefined) return null;
  if (only.attempt !== undefined) {
    const attempt = (await attemptsOf(deps, id, only)).find((a) => a.number === only.attempt);
    if (attempt && attempt.finishedAt !== null) return attempt.phase;
    // Of a run that the store had to end, an attempt may stay open for ever.
    if (attempt) return isFinished(run.phase) ? run.phase : null;
  }
  const step = await deps.store.runs.step(id, only.step, only.item ?? wholeStep);
  if (step && step.finishedAt !== null) return step.phase;
  return isFinished(run.phase) ? run.phase : null;
}

async function willNeverBegin(deps: AppDependencies, { object }: KnownRun, id: string): Promise<boolean> {
  if (!object) return false;
  const now = await deps.store.objects.get('WorkflowRun', object.metadata.namespace, object.metadata.name);
  return now?.metadata.uid !== id || now.status?.finishedAt !== undefined;
}

/** Sends what is there beyond the cursor; false when there is nothing. */
async function sendNews(
  deps: AppDependencies,
  stream: EventStream,
  id: string,
  only: LogSelection,
  cursor: LogCursor,
): Promise<boolean> {
  const attempts = (await attemptsOf(deps, id, only)).toSorted(
    (a, b) => a.startedAt - b.startedAt || a.number - b.number,
  );
  let sent = false;
  for (const { step, item, number } of attempts) {
    const unit = item === wholeStep ? step : `${step}-${item}`;
    const at = cursor.get(unit);
    if (at && at.attempt > number) continue;
    const position = at?.attempt === number ? at.position : 0;
    const key = { runId: id, step, item, attempt: number };
    const lines = await deps.store.logs.read(key, position, eventBytes, deps.artifacts);
    const last = lines.at(-1);
    if (!last) continue;
    cursor.set(unit, { attempt: number, position: last.position });
    await stream.send('log', formatCursor(cursor), { step, item, attempt: number, lines });
    sent = true;
  }
  return sent;
}

async function attemptsOf(deps: AppDependencies, id: string, only: LogSelection): Promise<AttemptRow[]> {
  const { runs } = deps.store;
  const { step, item, attempt } = only;
  if (step !== undefined && item !== undefined) {
    return matching(await runs.attempts(id, { step, items: [item] }), attempt);
  }
  const whole = await runs.attempts(id, step === undefined ? {} : { step });
  // An attempt that is asked for without an item is one of the step itself.
  if (attempt !== undefined) return matching(whole, attempt);
  const counts = Map.groupBy(await runs.itemCounts(id), (count) => count.step);
  const ofItems: AttemptRow[] = [];
  for (const [name, phases] of counts) {
    const total = phases.reduce((sum, { count }) => sum + count, 0);
    if (total > mostItems || (step !== undefined && name !== step)) continue;
    const items = (await runs.items(id, name, { limit: mostItems })).items.map((row) => row.item);
    ofItems.push(...(await runs.attempts(id, { step: name, items })));
  }
  return [...whole, ...ofItems];
}

function matching(attempts: AttemptRow[], number: number | undefined): AttemptRow[] {
  return number === undefined ? attempts : attempts.filter((attempt) => attempt.number === number);
}
