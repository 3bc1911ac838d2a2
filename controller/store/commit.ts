import type { Clock } from '../seams/clock.ts';
import { FenceLost } from '../seams/lease.ts';
import type { RunTransition } from '../core/run/types.ts';
import type { Batch } from './batch.ts';
import { createBatch } from './batch.ts';
import type { Database } from './database.ts';
import { Unstorable, sqlState } from './errors.ts';
import { eventLock } from './events.ts';
import { storable } from './storable.ts';
import type { Changes } from './changes.ts';

interface Decided {
  id: string;
  fence: number;
  /** The element of the statement's JSON parameter. */
  json: string;
  events: boolean;
}

export interface RunCommits {
  /** See RunHistory.commit. */
  commit(transition: RunTransition, fence: number): Promise<void>;
  /** Resolves when nothing is waiting to be written. */
  idle(): Promise<void>;
}

/** Writes the decisions of many runs in one statement, each only if its fence still holds. */
export function createRunCommits(database: Database, changes: Changes, clock: Clock): RunCommits {
  const batch: Batch<Decided, boolean> = createBatch({
    maxItems: 200,
    maxBytes: 4 * 1024 * 1024,
    key: (item) => item.id,
    async write(items) {
      const notify = changes.hasPeers() && items.some((item) => item.events);
      const rows = await retried(() =>
        database.run<{ id: string }>(commitStatement, [`[${items.map((item) => item.json).join(',')}]`, notify]),
      );
      const written = new Set(rows.map((row) => row.id));
      if (items.some((item) => item.events && written.has(item.id))) changes.emit('events');
      return items.map((item) => written.has(item.id));
    },
    async refused(item, cause) {
      const message = `the database refuses what this run wants recorded: ${textOf(cause)}`;
      const error = { type: 'infrastructure/unstorable', message: storable(message).slice(0, 1000), retryable: false };
      const rows = await database.run(endUnstorable, [item.id, item.fence, JSON.stringify(error), clock.now()]);
      if (rows.length === 0) return false;
      changes.emit('events');
      throw new Unstorable(`run ${item.id} was ended: ${message}`, { cause });
    },
  });

  return {
    async commit(transition, fence) {
      const json = JSON.stringify(element(transition, fence));
      const decided = { id: transition.run.id, fence, json, events: transition.events.length > 0 };
      // Characters, not bytes: near enough for a limit that only keeps one statement from growing without bound.
      if (!(await batch.add(decided, json.length))) {
        throw new FenceLost(`run ${transition.run.id}: its fence is no longer ${fence}, another replica owns it`);
      }
    },
    idle: () => batch.idle(),
  };
}

/** A deadlock or a failed serialization left nothing behind; the same statement may simply be sent again. */
async function retried<T>(write: () => Promise<T>): Promise<T> {
  for (let left = 5; ; left--) {
    try {
      return await write();
    } catch (error) {
      if (left === 0 || !['40001', '40P01'].includes(sqlState(error) ?? '')) throw error;
    }
  }
}

function textOf(cause: unknown): string {
  for (let e = cause; e instanceof Error; e = e.cause) if (e.cause === undefined) return e.message;
  return String(cause);
}

/** What may change in a run, with the names of its columns. The rest of the row was pinned when it was created. */
function element({ run, steps, attempts, events }: RunTransition, fence: number) {
  return {
    id: run.id,
    fence,
    phase: run.phase,
    desired: run.desired,
    reason: storable(run.reason),
    started_at: run.startedAt,
    finished_at: run.finishedAt,
    stood_ms: run.stoodMs,
    stands_since: run.standsSince,
    outcome: run.outcome,
    error: storable(run.error),
    finalizing_at: run.finalizingAt,
    outputs: storable(run.outputs),
    logs_unmasked: storable(run.logsUnmasked),
    revision: run.revision,
    steps: steps.map((s) => ({
      step: s.step,
      phase: s.phase,
      reason: storable(s.reason),
      started_at: s.startedAt,
      finished_at: s.finishedAt,
      attempts: s.attempts,
      infrastructure_failures: s.infrastructureFailures,
      until: s.until,
      outputs: storable(s.outputs),
      error: storable(s.error),
    })),
    attempts: attempts.map((a) => ({
      step: a.step,
      number: a.number,
      phase: a.phase,
      stop_reason: a.stopReason,
      started_at: a.startedAt,
      finished_at: a.finishedAt,
      error: storable(a.error),
      image_id: storable(a.imageId),
    })),
    events: events.map((e) => storable(e)),
  };
}

/**
 * One round trip a batch. The UPDATE takes each row's lock and compares the fence (again, should it have waited); the
 * rest is written for the rows it returned, from the JSON that travelled with them, so nothing has to be joined.
 * Events come last: their lock makes ids ascend in the order of commits, and nobody waits for a run while holding it.
 */
const commitStatement = `
with live as (
  update runs r set
    phase = i.phase, desired = i.desired, reason = i.reason, started_at = i.started_at, finished_at = i.finished_at,
    stood_ms = i.stood_ms, stands_since = i.stands_since, outcome = i.outcome, error = i.error,
    finalizing_at = i.finalizing_at, outputs = i.outputs, logs_unmasked = i.logs_unmasked, revision = i.revision
  from json_to_recordset($1::text::json) as i(
    id text, fence bigint, phase text, desired text, reason text, started_at bigint, finished_at bigint,
    stood_ms bigint, stands_since bigint, outcome text, error jsonb, finalizing_at bigint, outputs jsonb, logs_unmasked text,
    revision int, steps json, attempts json, events json)
  where r.id = i.id and r.fence = i.fence
  returning r.id, r.home, r.namespace, r.name, i.steps, i.attempts, i.events
), step as (
  insert into steps (run_id, step, phase, reason, started_at, finished_at, attempts, infrastructure_failures, until, outputs, error)
  select live.id, s.* from live cross join lateral json_to_recordset(live.steps) as s(
    step text, phase text, reason text, started_at bigint, finished_at bigint, attempts int,
    infrastructure_failures int, until bigint, outputs jsonb, error jsonb)
  on conflict (run_id, step) do update set
    phase = excluded.phase, reason = excluded.reason, started_at = excluded.started_at,
    finished_at = excluded.finished_at, attempts = excluded.attempts,
    infrastructure_failures = excluded.infrastructure_failures, until = excluded.until, outputs = excluded.outputs,
    error = excluded.error
), attempt as (
  insert into attempts (run_id, step, number, phase, stop_reason, started_at, finished_at, error, image_id)
  select live.id, a.* from live cross join lateral json_to_recordset(live.attempts) as a(
    step text, number int, phase text, stop_reason text, started_at bigint, finished_at bigint, error jsonb, image_id text)
  on conflict (run_id, step, number) do update set
    phase = excluded.phase, stop_reason = excluded.stop_reason, started_at = excluded.started_at,
    finished_at = excluded.finished_at, error = excluded.error, image_id = excluded.image_id
), event as (
  insert into events (home, kind, namespace, name, type, reason, message, at)
  select live.home, 'WorkflowRun', live.namespace, live.name, e.*
  from live
  cross join lateral json_to_recordset(live.events) as e(type text, reason text, message text, at bigint)
  cross join lateral (select pg_advisory_xact_lock(${eventLock} + 0 * e.at)) as turn
)
select id, case when $2::boolean then pg_notify('windlass', '') end as notified from live`;

/** Nothing of the refused decision is kept. Open attempts are told to stop, so that a hydrated state stops what runs. */
const endUnstorable = `
with live as (
  update runs set phase = 'Failed', outcome = 'Failed', error = $3::text::jsonb, finished_at = $4::bigint,
    started_at = coalesce(started_at, $4::bigint), stands_since = null, revision = revision + 1
  where id = $1::text and fence = $2::bigint and finished_at is null
  returning id, home, namespace, name
), step as (
  update steps set phase = 'Cancelled', reason = 'RunStopping', finished_at = $4::bigint, until = null
  from live where steps.run_id = live.id and steps.phase in ('Pending', 'Waiting', 'Running', 'Retrying')
), attempt as (
  update attempts set phase = 'Stopping', stop_reason = 'cancelled'
  from live where attempts.run_id = live.id and attempts.phase = 'Starting'
), event as (
  insert into events (home, kind, namespace, name, type, reason, message, at)
  select home, 'WorkflowRun', namespace, name, 'Warning', 'RunFailed', $3::text::json ->> 'message', $4::bigint
  from live cross join lateral (select pg_advisory_xact_lock(${eventLock} + 0 * length(live.id))) as turn
)
select id from live`;
