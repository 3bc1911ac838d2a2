import { and, asc, desc, eq, getTableColumns, gte, inArray, isNotNull, isNull, sql } from 'drizzle-orm';
import type { RunEvent, RunRow } from '../core/run/types.ts';
import { createBatch } from './batch.ts';
import type { Changes } from './changes.ts';
import type { RunCommits } from './commit.ts';
import type { Database } from './database.ts';
import { eventLock } from './events.ts';
import { page, readCursor } from './page.ts';
import { attempts, runs, steps } from './schema/runs.ts';
import { storable } from './storable.ts';
import type { RunFilter, RunHistory } from './types.ts';

const { home: _home, owner: _owner, fence: _fence, counted: _counted, ...runColumns } = getTableColumns(runs);

/** Runs, steps and attempts. The replica of the present lease owns what it claims, within its `home` only. */
export function createRunHistory(
  database: Database,
  identity: { home: string; replica(): string },
  commits: RunCommits,
  changes: Changes,
): RunHistory {
  const { drizzle } = database;
  const { home, replica } = identity;

  const created = createBatch<{ run: RunRow; events: RunEvent[] }, boolean>({
    maxItems: 200,
    key: ({ run }) => run.id,
    async write(rows) {
      const json = JSON.stringify(rows.map(({ run, events }) => insertElement(run, home, events)));
      const notify = changes.hasPeers() && rows.some(({ events }) => events.length > 0);
      const ids = new Set((await database.run<{ id: string }>(createStatement, [json, notify])).map((row) => row.id));
      if (rows.some(({ run, events }) => events.length > 0 && ids.has(run.id))) changes.emit('events');
      return rows.map(({ run }) => ids.has(run.id));
    },
  });

  return {
    create: (run, events = []) => created.add({ run, events }),
    async claim(limit) {
      const rows = await database.run<{ id: string; fence: number | string }>(claimStatement, [home, replica(), limit]);
      return rows.map((row) => ({ id: row.id, fence: Number(row.fence) }));
    },
    async ended(ids) {
      if (ids.length === 0) return new Set();
      const rows = await drizzle
        .select({ id: runs.id })
        .from(runs)
        .where(and(inArray(runs.id, ids), isNotNull(runs.finishedAt)));
      return new Set(rows.map(({ id }) => id));
    },
    async load(ids) {
      if (ids.length === 0) return [];
      const [runRows, stepRows, attemptRows] = await Promise.all([
        drizzle
          .select(runColumns)
          .from(runs)
          .where(and(inArray(runs.id, ids), eq(runs.home, home))),
        drizzle.select().from(steps).where(inArray(steps.runId, ids)),
        drizzle
          .select()
          .from(attempts)
          .where(and(inArray(attempts.runId, ids), inArray(attempts.phase, ['Starting', 'Stopping']))),
      ]);
      const stepsOf = Map.groupBy(stepRows, (row) => row.runId);
      const attemptsOf = Map.groupBy(attemptRows, (row) => row.runId);
      return runRows.map((run) => ({
        run,
        steps: stepsOf.get(run.id) ?? [],
        attempts: attemptsOf.get(run.id) ?? [],
      }));
    },
    commit: (transition, fence) => commits.commit(transition, fence),
    async release(ids) {
      if (ids.length === 0) return;
      await drizzle
        .update(runs)
        .set({ owner: '' })
        .where(and(inArray(runs.id, ids), eq(runs.owner, replica()), isNull(runs.finishedAt)));
    },
    async get(id) {
      const [row] = await drizzle
        .select(runColumns)
        .from(runs)
        .where(and(eq(runs.id, id), eq(runs.home, home)));
      return row ?? null;
    },
    async getByName(namespace, name) {
      const [row] = await drizzle
        .select(runColumns)
        .from(runs)
        .where(and(eq(runs.home, home), eq(runs.namespace, namespace), eq(runs.name, name)))
        .orderBy(desc(runs.createdAt), desc(runs.id))
        .limit(1);
      return row ?? null;
    },
    async list(filter, { limit, after }) {
      const rows = await drizzle
        .select(runColumns)
        .from(runs)
        .where(and(eq(runs.home, home), ...conditions(filter), after === undefined ? undefined : before(after)))
        .orderBy(desc(runs.createdAt), desc(runs.id))
        .limit(limit + 1);
      return page(rows, limit, (row) => ({ at: row.createdAt, id: row.id }));
    },
    steps: (runId) =>
      drizzle
        .select()
        .from(steps)
        .where(eq(steps.runId, runId))
        .orderBy(sql`${steps.startedAt} asc nulls last`, asc(steps.step)),
    attempts: (runId, step) =>
      drizzle
        .select()
        .from(attempts)
        .where(and(eq(attempts.runId, runId), step === undefined ? undefined : eq(attempts.step, step)))
        .orderBy(asc(attempts.startedAt), asc(attempts.step), asc(attempts.number)),
    openAttempts: () =>
      drizzle
        .select({ runId: attempts.runId, step: attempts.step, attempt: attempts.number })
        .from(attempts)
        .innerJoin(runs, eq(runs.id, attempts.runId))
        .where(and(eq(runs.home, home), isNull(runs.finishedAt), inArray(attempts.phase, ['Starting', 'Stopping']))),
  };
}

function before(after: string) {
  const { at, id } = readCursor(after);
  return sql`(${runs.createdAt}, ${runs.id}) < (${at}, ${id})`;
}

function conditions(filter: RunFilter) {
  return [
    filter.namespace === undefined ? undefined : eq(runs.namespace, filter.namespace),
    filter.namespaces === undefined ? undefined : inArray(runs.namespace, [...filter.namespaces]),
    filter.workflow === undefined ? undefined : eq(runs.workflow, filter.workflow),
    filter.digest === undefined ? undefined : eq(runs.digest, filter.digest),
    filter.environment === undefined ? undefined : eq(runs.environment, filter.environment),
    filter.name === undefined ? undefined : eq(runs.name, filter.name),
    filter.phases === undefined ? undefined : inArray(runs.phase, filter.phases),
    filter.since === undefined ? undefined : gte(runs.createdAt, filter.since),
  ];
}

function insertElement(run: RunRow, home: string, events: RunEvent[]) {
  return {
    id: run.id,
    home,
    namespace: run.namespace,
    name: run.name,
    workflow: run.workflow,
    digest: run.digest,
    version: storable(run.version),
    environment: run.environment,
    environment_uid: run.environmentUid,
    values: storable(run.values),
    inputs: storable(run.inputs),
    phase: run.phase,
    desired: run.desired,
    reason: storable(run.reason),
    date: run.date,
    created_at: run.createdAt,
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
    events: events.map((e) => storable(e)),
  };
}

/** Events last, as in a commit. */
const createStatement = `
with given as (
  select * from json_to_recordset($1::text::json) as i(
    id text, home text, namespace text, name text, workflow text, digest text, version text, environment text,
    environment_uid text, values jsonb, inputs jsonb, phase text, desired text, reason text, date text, created_at bigint, started_at bigint,
    finished_at bigint, stood_ms bigint, stands_since bigint, outcome text, error jsonb, finalizing_at bigint,
    outputs jsonb, logs_unmasked text, revision int, events json)
), made as (
insert into runs (id, home, namespace, name, workflow, digest, version, environment, environment_uid, values, inputs, phase, desired,
  reason, date, created_at, started_at, finished_at, stood_ms, stands_since, outcome, error, finalizing_at, outputs, logs_unmasked, revision)
select id, home, namespace, name, workflow, digest, version, environment, environment_uid, values, inputs, phase, desired,
  reason, date, created_at, started_at, finished_at, stood_ms, stands_since, outcome, error, finalizing_at, outputs, logs_unmasked, revision
from given
on conflict (id) do nothing
returning id
), event as (
  insert into events (home, kind, namespace, name, type, reason, message, at)
  select given.home, 'WorkflowRun', given.namespace, given.name, e.*
  from given
  join made on made.id = given.id
  cross join lateral json_to_recordset(given.events) as e(type text, reason text, message text, at bigint)
  cross join lateral (select pg_advisory_xact_lock(${eventLock} + 0 * e.at)) as turn
  where json_array_length(given.events) > 0
)
select id, case when $2::boolean then pg_notify('windlass', '') end as notified from made`;

/**
 * Runs nobody owns, or whose owner's lease is over by the database's clock; only while the asker's own lease holds.
 * The owners are an array made once, so that the partial index finds the runs without looking at those of the living.
 */
const claimStatement = `
with free as (
  select id from runs
  where home = $1::text and finished_at is null
    and owner = any(array(select id from replicas where home = $1::text and expires_at <= clock_timestamp()) || ''::text)
    and exists (select from replicas where id = $2::text and expires_at > clock_timestamp())
  limit $3::int
  for no key update skip locked
)
update runs set owner = $2::text, fence = fence + 1 from free where runs.id = free.id
returning runs.id, runs.fence`;
