import { and, desc, eq, getTableColumns, gt, gte, inArray, isNotNull, isNull, sql } from 'drizzle-orm';
import type { RunEvent, RunRow, StepRow } from '../core/run/types.ts';
import { createBatch } from './batch.ts';
import type { Changes } from './changes.ts';
import { createChildSpecs, initialSpec } from './child-specs.ts';
import type { RunCommits } from './commit.ts';
import type { Database } from './database.ts';
import { page, readCursor } from './page.ts';
import { changingElement, deadLetterColumns, rowElements, writeRest } from './run-statements.ts';
import { attempts, runs, steps } from './schema/runs.ts';
import { storable } from './storable.ts';
import type { RunFilter, RunHistory } from './types.ts';
import { createUnitQueries } from './units.ts';

const {
  home: _home,
  owner: _owner,
  fence: _fence,
  counted: _counted,
  spec: _spec,
  specGeneration: _generation,
  ...runColumns
} = getTableColumns(runs);

/** Runs, steps and attempts. The replica of the present lease owns what it claims, within its `home` only. */
export function createRunHistory(
  database: Database,
  identity: { home: string; replica(): string },
  commits: RunCommits,
  changes: Changes,
  report: (error: unknown) => void,
): RunHistory {
  const { drizzle } = database;
  const { home, replica } = identity;
  const specs = createChildSpecs(database, identity, changes, report);

  const created = createBatch<CreatedRun, boolean>({
    key: ({ id }) => id,
    async write(items) {
      const json = `[${items.map((item) => item.json).join(',')}]`;
      const notify = changes.hasPeers() && items.some((item) => item.events);
      const ids = new Set((await database.run<{ id: string }>(createStatement, [json, notify])).map((row) => row.id));
      if (items.some((item) => item.events && ids.has(item.id))) changes.emit('events');
      return items.map((item) => ids.has(item.id));
    },
  });

  return {
    create(run, { events = [], steps: taken = [] } = {}) {
      const json = JSON.stringify(insertElement(run, home, events, taken));
      return created.add({ id: run.id, json, events: events.length > 0 }, json.length);
    },
    async claim(limit) {
      const rows = await database.run<{ id: string; fence: number | string }>(claimStatement, [home, replica(), limit]);
      return rows.map((row) => ({ id: row.id, fence: Number(row.fence) }));
    },
    owned: () =>
      drizzle
        .select({ id: runs.id, fence: runs.fence })
        .from(runs)
        .where(and(eq(runs.owner, replica()), eq(runs.home, home), isNull(runs.finishedAt))),
    async ended(ids) {
      if (ids.length === 0) return new Set();
      const rows = await drizzle
        .select({ id: runs.id })
        .from(runs)
        .where(and(inArray(runs.id, ids), isNotNull(runs.finishedAt)));
      return new Set(rows.map(({ id }) => id));
    },
    results: (ids) =>
      ids.length === 0
        ? Promise.resolve([])
        : drizzle
            .select({
              id: runs.id,
              parent: runs.parent,
              phase: runs.phase,
              finishedAt: runs.finishedAt,
              outputs: runs.outputs,
              error: runs.error,
            })
            .from(runs)
            .where(and(inArray(runs.id, ids), eq(runs.home, home), isNotNull(runs.finishedAt))),
    async load(ids) {
      if (ids.length === 0) return [];
      const [runRows, stepRows, attemptRows] = await Promise.all([
        drizzle
          .select({ ...runColumns, spec: runs.spec })
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
      return runRows.map(({ spec, ...run }) => ({
        run,
        spec,
        steps: stepsOf.get(run.id) ?? [],
        attempts: attemptsOf.get(run.id) ?? [],
      }));
    },
    commit: (transition, fence) => commits.commit(transition, fence),
    reopen: (transition) => commits.reopen(transition, home),
    ...createUnitQueries(database, home),
    ...specs,
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
    relation(filter),
    filter.since === undefined ? undefined : gte(runs.createdAt, filter.since),
  ];
}

/** People list what somebody has started; who names a run, or its parent, means a child run as well. */
function relation({ parent, name }: RunFilter) {
  if (parent !== undefined) return and(gt(runs.depth, 0), sql`${runs.parent} ->> 'runId' = ${parent}`);
  return name === undefined ? eq(runs.depth, 0) : undefined;
}

interface CreatedRun {
  id: string;
  /** The element of the statement's JSON parameter. */
  json: string;
  events: boolean;
}

function insertElement(run: RunRow, home: string, events: RunEvent[], taken: StepRow[]) {
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
    date: run.date,
    created_at: run.createdAt,
    priority: run.priority,
    parent: run.parent,
    root: run.root,
    root_name: run.rootName,
    depth: run.depth,
    replay_of: run.replayOf,
    ...changingElement(run),
    spec: run.parent === null ? null : initialSpec(run),
    ...rowElements({ steps: taken, attempts: [], events }),
  };
}

/** Columns that are given once, and those that commits change later. */
const columns = `id, home, namespace, name, workflow, digest, version, environment, environment_uid, values, inputs, phase, desired, reason,
  date, created_at, priority, execution, queued_at, parent, root, root_name, depth, replay_of, started_at, finished_at, stood_ms,
  stands_since, outcome, error, forced, compensating_at, finalizing_at, outputs, logs_unmasked, revision, spec`;

const createStatement = `
with given as (
  select * from json_to_recordset($1::text::json) as i(
    id text, home text, namespace text, name text, workflow text, digest text, version text, environment text,
    environment_uid text, values jsonb, inputs jsonb, phase text, desired text, reason text, date text, created_at bigint, priority int,
    execution int, queued_at bigint, parent jsonb, root text, root_name text, depth int, replay_of text, started_at bigint,
    finished_at bigint, stood_ms bigint, stands_since bigint, outcome text, error jsonb, forced boolean,
    compensating_at bigint, finalizing_at bigint, outputs jsonb, logs_unmasked text, revision int, spec jsonb, steps json, attempts json,
    events json)
), made as (
  insert into runs (${columns}) select ${columns} from given
  on conflict (id) do nothing
  returning id
), live as (
  select given.id, given.home, given.namespace, given.name, given.finished_at, given.error, given.execution,
    ${deadLetterColumns('given', 'given')}, given.steps, given.attempts, given.events
  from given join made on made.id = given.id
), ${writeRest(true)}`;

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
