import { sql } from 'drizzle-orm';
import { bigint, boolean, index, integer, jsonb, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import type { JsonObject } from '../../../crds/json.ts';
import type {
  ArtifactRef,
  AttemptKey,
  AttemptRow,
  CacheKey,
  RunRow,
  StepError,
  StepRow,
} from '../../core/run/types.ts';
import type { ChildSpec } from '../types.ts';
import { instant, wholeStep } from './columns.ts';

/**
 * Hot tables: no foreign keys (each would lock the run once a step), no index on a column that a commit changes before
 * the run's end (HOT updates), fillfactor set in the migration.
 */
export const runs = pgTable(
  'runs',
  {
    id: text('id').primaryKey(),
    home: text('home').notNull(),
    /** The replica that works on it; empty: nobody. Kept after the end. */
    owner: text('owner').notNull().default(''),
    fence: bigint('fence', { mode: 'number' }).notNull().default(0),
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    workflow: text('workflow').notNull(),
    digest: text('digest').notNull(),
    version: text('version'),
    environment: text('environment'),
    /** Of the Environment object: another one may have its name, in another project or later. */
    environmentUid: text('environment_uid'),
    values: jsonb('values').$type<JsonObject>().notNull(),
    inputs: jsonb('inputs').$type<JsonObject>().notNull(),
    phase: text('phase').$type<RunRow['phase']>().notNull(),
    desired: text('desired').$type<RunRow['desired']>().notNull(),
    reason: text('reason'),
    date: text('date').notNull(),
    createdAt: instant('created_at').notNull(),
    priority: integer('priority').notNull().default(0),
    execution: integer('execution').notNull().default(1),
    queuedAt: instant('queued_at').notNull(),
    parent: jsonb('parent').$type<AttemptKey>(),
    root: text('root').notNull(),
    rootName: text('root_name').notNull(),
    depth: integer('depth').notNull().default(0),
    replayOf: text('replay_of'),
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
    stoodMs: bigint('stood_ms', { mode: 'number' }).notNull(),
    standsSince: instant('stands_since'),
    outcome: text('outcome').$type<RunRow['outcome']>(),
    error: jsonb('error').$type<StepError>(),
    forced: boolean('forced').notNull().default(false),
    compensatingAt: instant('compensating_at'),
    finalizingAt: instant('finalizing_at'),
    outputs: jsonb('outputs').$type<JsonObject>(),
    logsUnmasked: text('logs_unmasked'),
    revision: integer('revision').notNull(),
    /** What is wanted of a child run, which has no object; null for others. Written without the fence, by whoever wants something. */
    spec: jsonb('spec').$type<ChildSpec>(),
    /** How often that was changed. */
    specGeneration: integer('spec_generation').notNull().default(0),
    /** Finished, and evidence about the version: neither cancelled nor failed by the infrastructure. */
    counted: boolean('counted').generatedAlwaysAs(
      sql`(finished_at is not null and phase <> 'Cancelled' and coalesce(error ->> 'type', '') not like 'infrastructure/%')`,
    ),
  },
  (t) => [
    index('runs_unfinished').on(t.owner, t.home).where(sql`finished_at is null`),
    index('runs_name').on(t.home, t.namespace, t.name),
    // What people list: a fan-out of ten thousand children is not looked through for it.
    index('runs_created').on(t.home, t.createdAt, t.id).where(sql`depth = 0`),
    index('runs_parent').on(sql`(${t.parent} ->> 'runId')`, t.createdAt, t.id).where(sql`depth > 0`),
    index('runs_spec_changed').on(t.owner, t.home).where(sql`finished_at is null and spec_generation > 0`),
    index('runs_counted').on(t.home, t.environmentUid, t.workflow, t.digest, t.phase).where(sql`counted`),
  ],
);

/** Steps, and the items of those that run once an item. */
export const steps = pgTable(
  'steps',
  {
    runId: text('run_id').notNull(),
    step: text('step').notNull(),
    item: integer('item').notNull().default(wholeStep),
    label: text('label'),
    items: integer('items'),
    phase: text('phase').$type<StepRow['phase']>().notNull(),
    reason: text('reason'),
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
    via: text('via').$type<StepRow['via']>().notNull().default('main'),
    attempts: integer('attempts').notNull(),
    bodyAttempts: integer('body_attempts').notNull(),
    infrastructureFailures: integer('infrastructure_failures').notNull(),
    iteration: integer('iteration').notNull().default(0),
    until: instant('until'),
    outputs: jsonb('outputs').$type<JsonObject>(),
    error: jsonb('error').$type<StepError>(),
    artifacts: jsonb('artifacts').$type<Record<string, ArtifactRef>>().notNull().default({}),
    cache: jsonb('cache').$type<CacheKey>(),
  },
  (t) => [
    primaryKey({ columns: [t.runId, t.step, t.item] }),
    // Who refers to an artifact. Steps without any are not in it, and no commit changes it before a step's end.
    index('steps_artifacts')
      .using('gin', sql`jsonb_path_query_array(${t.artifacts}, '$.*.digest')`)
      .where(sql`artifacts <> '{}'::jsonb`),
  ],
);

export const attempts = pgTable(
  'attempts',
  {
    runId: text('run_id').notNull(),
    step: text('step').notNull(),
    item: integer('item').notNull().default(wholeStep),
    number: integer('number').notNull(),
    via: text('via').$type<AttemptRow['via']>().notNull().default('main'),
    phase: text('phase').$type<AttemptRow['phase']>().notNull(),
    stopReason: text('stop_reason').$type<AttemptRow['stopReason']>(),
    startedAt: instant('started_at').notNull(),
    finishedAt: instant('finished_at'),
    error: jsonb('error').$type<StepError>(),
    imageId: text('image_id'),
  },
  (t) => [primaryKey({ columns: [t.runId, t.step, t.item, t.number] })],
);
