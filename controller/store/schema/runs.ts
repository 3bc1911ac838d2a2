import { sql } from 'drizzle-orm';
import { bigint, boolean, index, integer, jsonb, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import type { JsonObject } from '../../../crds/json.ts';
import type { AttemptRow, RunRow, StepError, StepRow } from '../../core/run/types.ts';
import { instant } from './columns.ts';

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
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
    stoodMs: bigint('stood_ms', { mode: 'number' }).notNull(),
    standsSince: instant('stands_since'),
    outcome: text('outcome').$type<RunRow['outcome']>(),
    error: jsonb('error').$type<StepError>(),
    finalizingAt: instant('finalizing_at'),
    outputs: jsonb('outputs').$type<JsonObject>(),
    logsUnmasked: text('logs_unmasked'),
    revision: integer('revision').notNull(),
    /** Finished, and evidence about the version: neither cancelled nor failed by the infrastructure. */
    counted: boolean('counted').generatedAlwaysAs(
      sql`(finished_at is not null and phase <> 'Cancelled' and coalesce(error ->> 'type', '') not like 'infrastructure/%')`,
    ),
  },
  (t) => [
    index('runs_unfinished').on(t.owner, t.home).where(sql`finished_at is null`),
    index('runs_name').on(t.home, t.namespace, t.name),
    index('runs_created').on(t.home, t.createdAt, t.id),
    index('runs_counted').on(t.home, t.environmentUid, t.workflow, t.digest, t.phase).where(sql`counted`),
  ],
);

export const steps = pgTable(
  'steps',
  {
    runId: text('run_id').notNull(),
    step: text('step').notNull(),
    phase: text('phase').$type<StepRow['phase']>().notNull(),
    reason: text('reason'),
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
    attempts: integer('attempts').notNull(),
    infrastructureFailures: integer('infrastructure_failures').notNull(),
    until: instant('until'),
    outputs: jsonb('outputs').$type<JsonObject>(),
    error: jsonb('error').$type<StepError>(),
  },
  (t) => [primaryKey({ columns: [t.runId, t.step] })],
);

export const attempts = pgTable(
  'attempts',
  {
    runId: text('run_id').notNull(),
    step: text('step').notNull(),
    number: integer('number').notNull(),
    phase: text('phase').$type<AttemptRow['phase']>().notNull(),
    stopReason: text('stop_reason').$type<AttemptRow['stopReason']>(),
    startedAt: instant('started_at').notNull(),
    finishedAt: instant('finished_at'),
    error: jsonb('error').$type<StepError>(),
    imageId: text('image_id'),
  },
  (t) => [primaryKey({ columns: [t.runId, t.step, t.number] })],
);
