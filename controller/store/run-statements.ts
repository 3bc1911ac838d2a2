import type { AttemptRow, RunEvent, RunRow, StepRow } from '../core/run/types.ts';
import { eventLock } from './events.ts';
import { storable } from './storable.ts';

/** What may change in a run, with the names of its columns. The rest of the row was pinned when it was created. */
export function changingElement(run: RunRow) {
  return {
    execution: run.execution,
    queued_at: run.queuedAt,
    phase: run.phase,
    desired: run.desired,
    reason: storable(run.reason),
    started_at: run.startedAt,
    finished_at: run.finishedAt,
    stood_ms: run.stoodMs,
    stands_since: run.standsSince,
    outcome: run.outcome,
    error: storable(run.error),
    forced: run.forced,
    compensating_at: run.compensatingAt,
    finalizing_at: run.finalizingAt,
    outputs: storable(run.outputs),
    logs_unmasked: storable(run.logsUnmasked),
    revision: run.revision,
  };
}

/** What travels beside a run's row, with the names of the columns. */
export function rowElements(rows: { steps: StepRow[]; attempts: AttemptRow[]; events: RunEvent[] }) {
  return {
    steps: rows.steps.map((s) => ({
      step: s.step,
      item: s.item,
      label: storable(s.label),
      items: s.items,
      phase: s.phase,
      reason: storable(s.reason),
      started_at: s.startedAt,
      finished_at: s.finishedAt,
      via: s.via,
      attempts: s.attempts,
      body_attempts: s.bodyAttempts,
      infrastructure_failures: s.infrastructureFailures,
      iteration: s.iteration,
      until: s.until,
      outputs: storable(s.outputs),
      error: storable(s.error),
      artifacts: storable(s.artifacts),
      cache: storable(s.cache),
    })),
    attempts: rows.attempts.map((a) => ({
      step: a.step,
      item: a.item,
      number: a.number,
      via: a.via,
      phase: a.phase,
      stop_reason: a.stopReason,
      started_at: a.startedAt,
      finished_at: a.finishedAt,
      error: storable(a.error),
      image_id: storable(a.imageId),
    })),
    events: rows.events.map((e) => storable(e)),
  };
}

/**
 * A run whose row was written becomes a dead letter when it has failed for good, once an execution, and settles its own when
 * it has ended otherwise: `resolves` is null unless it has. `run` and `row` name the new values and the row that holds what never changes.
 */
export function deadLetterColumns(run: string, row: string): string {
  return `
    case when ${row}.depth = 0 and ${run}.finished_at is not null and ${run}.phase in ('Failed', 'TimedOut')
      then jsonb_build_object('workflow', ${row}.workflow, 'namespace', ${row}.namespace, 'inputs', ${row}.inputs,
        'digest', ${row}.digest, 'execution', ${row}.execution, 'priority', ${row}.priority) end as payload,
    case when ${row}.depth = 0 and ${run}.finished_at is not null and ${run}.phase not in ('Failed', 'TimedOut')
      then ${run}.phase in ('Succeeded', 'Degraded') end as resolves`;
}

/**
 * The letter that was redriven as this run. It names the run before that is created, and its id only later, so that the end of
 * a short run finds it, too. An id guards it from another run of the same name.
 */
const redriven = `
  select id from dead_letters o
  where o.home = live.home and o.namespace = live.namespace and o.redriven_name = live.name
    and (o.redriven_as is null or o.redriven_as = live.id)`;

/**
 * Dead letters land, come back and are settled, from the rows of `live`. The failure of what one was redriven as is its new
 * failure, and no letter of its own: nothing is told twice.
 */
const landings = `
again as (
  update dead_letters d set
    subject = live.id, name = live.name, workflow = live.payload ->> 'workflow', payload = live.payload, error = live.error,
    execution = live.execution, landed_at = live.finished_at, redriven_as = live.id, state = 'Waiting', closed_at = null,
    closed_by = null, closed_reason = null
  from live cross join lateral (${redriven}) as letter
  where live.payload is not null and d.id = letter.id and d.subject <> live.id
    and not exists (select from dead_letters o where o.kind = 'run' and o.subject = live.id)
  returning d.subject
), dead as (
  insert into dead_letters as d (home, kind, subject, namespace, name, workflow, payload, error, execution, landed_at)
  select home, 'run', id, namespace, name, payload ->> 'workflow', payload, error, execution, finished_at
  from live where payload is not null and id not in (select subject from again)
  on conflict (kind, subject) do update set
    payload = excluded.payload, error = excluded.error, execution = excluded.execution,
    redriven_as = ${redrivenAs('excluded.name', 'excluded.subject')},
    landed_at = excluded.landed_at, state = 'Waiting', closed_at = null, closed_by = null, closed_reason = null
  where d.execution < excluded.execution
), settled as (
  update dead_letters d set
    redriven_as = ${redrivenAs('live.name', 'live.id')},
    state = case when live.resolves then 'Resolved' else 'Waiting' end,
    closed_at = case when live.resolves then live.finished_at end
  from live cross join lateral (
    select id from dead_letters o where o.kind = 'run' and o.subject = live.id union all ${redriven}
  ) as letter
  where live.resolves is not null and d.id = letter.id and d.state in ('Waiting', 'Redriven')
)`;

/** A redrive that was begun as the run which has ended now was done. */
function redrivenAs(name: string, id: string): string {
  return `coalesce(d.redriven_as, case when d.redriven_name = ${name} then ${id} end)`;
}

/**
 * The rest of a statement that has written rows of runs and names them `live`: id, home, namespace, name, finished_at,
 * error, execution, `deadLetterColumns`, and the JSON of what goes with them, so that nothing has to be joined.
 * Parameter 2 says whether other replicas are told. `ends`: some of these runs may have ended, so that there may be dead letters.
 * Events come last: their lock makes ids ascend in the order of commits, and nobody waits for a run while holding it.
 */
export function writeRest(ends: boolean): string {
  return `
step as (
  insert into steps (run_id, step, item, label, items, phase, reason, started_at, finished_at, via, attempts, body_attempts,
    infrastructure_failures, iteration, until, outputs, error, artifacts, cache)
  select live.id, s.* from live cross join lateral json_to_recordset(live.steps) as s(
    step text, item int, label text, items int, phase text, reason text, started_at bigint, finished_at bigint, via text,
    attempts int, body_attempts int, infrastructure_failures int, iteration int, until bigint, outputs jsonb,
    error jsonb, artifacts jsonb, cache jsonb)
  on conflict (run_id, step, item) do update set
    label = excluded.label, items = excluded.items, phase = excluded.phase, reason = excluded.reason, started_at = excluded.started_at,
    finished_at = excluded.finished_at, via = excluded.via, attempts = excluded.attempts,
    body_attempts = excluded.body_attempts, infrastructure_failures = excluded.infrastructure_failures,
    iteration = excluded.iteration, until = excluded.until, outputs = excluded.outputs, error = excluded.error,
    artifacts = excluded.artifacts, cache = excluded.cache
), attempt as (
  insert into attempts (run_id, step, item, number, via, phase, stop_reason, started_at, finished_at, error, image_id)
  select live.id, a.* from live cross join lateral json_to_recordset(live.attempts) as a(
    step text, item int, number int, via text, phase text, stop_reason text, started_at bigint, finished_at bigint,
    error jsonb, image_id text)
  on conflict (run_id, step, item, number) do update set
    via = excluded.via, phase = excluded.phase, stop_reason = excluded.stop_reason, started_at = excluded.started_at,
    finished_at = excluded.finished_at, error = excluded.error, image_id = excluded.image_id
)${ends ? `, ${landings}` : ''}, event as (
  insert into events (home, kind, namespace, name, type, reason, message, at)
  select live.home, 'WorkflowRun', live.namespace, live.name, e.*
  from live
  cross join lateral json_to_recordset(live.events) as e(type text, reason text, message text, at bigint)
  cross join lateral (select pg_advisory_xact_lock(${eventLock} + 0 * e.at)) as turn
)
select id, case when $2::boolean then pg_notify('windlass', '') end as notified from live`;
}

/** Nothing of a refused decision is kept. Open attempts are told to stop, so that a hydrated state stops what runs. */
export const endUnstorable = `
with live as (
  update runs r set phase = 'Failed', outcome = 'Failed', error = $3::text::jsonb, finished_at = $4::bigint,
    started_at = coalesce(started_at, $4::bigint), stands_since = null, revision = revision + 1
  where id = $1::text and fence = $2::bigint and finished_at is null
  returning id, home, namespace, name, finished_at, error, execution, ${deadLetterColumns('r', 'r')}
), step as (
  update steps set phase = 'Cancelled', reason = 'RunStopping', finished_at = $4::bigint, until = null
  from live where steps.run_id = live.id and steps.phase in ('Pending', 'Waiting', 'Running', 'Retrying')
), attempt as (
  update attempts set phase = 'Stopping', stop_reason = 'cancelled'
  from live where attempts.run_id = live.id and attempts.phase = 'Starting'
), ${landings}, event as (
  insert into events (home, kind, namespace, name, type, reason, message, at)
  select home, 'WorkflowRun', namespace, name, 'Warning', 'RunFailed', $3::text::json ->> 'message', $4::bigint
  from live cross join lateral (select pg_advisory_xact_lock(${eventLock} + 0 * length(live.id))) as turn
)
select id from live`;
