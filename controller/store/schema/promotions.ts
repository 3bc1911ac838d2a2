import { sql } from 'drizzle-orm';
import { bigint, boolean, index, integer, jsonb, pgTable, primaryKey, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { PromotionRow } from '../../core/promotion/types.ts';
import { instant } from './columns.ts';

export const promotions = pgTable(
  'promotions',
  {
    id: text('id').primaryKey(),
    home: text('home').notNull(),
    project: text('project').notNull(),
    name: text('name').notNull(),
    environment: text('environment').notNull(),
    ref: text('ref').notNull(),
    commit: text('commit'),
    phase: text('phase').$type<PromotionRow['phase']>().notNull(),
    reason: text('reason'),
    message: text('message'),
    changes: jsonb('changes').$type<PromotionRow['changes']>().notNull(),
    gates: jsonb('gates').$type<PromotionRow['gates']>().notNull(),
    gatesAtStart: jsonb('gates_at_start').$type<PromotionRow['gatesAtStart']>(),
    diagnostics: jsonb('diagnostics').$type<PromotionRow['diagnostics']>().notNull(),
    automatic: boolean('automatic').notNull(),
    createdAt: instant('created_at').notNull(),
    finishedAt: instant('finished_at'),
  },
  (t) => [
    index('promotions_created').on(t.home, t.createdAt, t.id),
    index('promotions_environment').on(t.home, t.project, t.environment, t.finishedAt),
  ],
);

/** What an environment owns, and how many decisions about it were recorded. */
export const environments = pgTable(
  'environments',
  {
    home: text('home').notNull(),
    project: text('project').notNull(),
    name: text('name').notNull(),
    /** UID of the object; another one means that what the row says was an earlier environment's. */
    uid: text('uid').notNull(),
    namespace: text('namespace'),
    revision: integer('revision').notNull().default(0),
  },
  (t) => [
    primaryKey({ columns: [t.home, t.project, t.name] }),
    uniqueIndex('environments_namespace').on(t.home, t.namespace).where(sql`namespace is not null`),
  ],
);

/** What is at 100 % now. */
export const activeVersions = pgTable(
  'active_versions',
  {
    home: text('home').notNull(),
    project: text('project').notNull(),
    environment: text('environment').notNull(),
    workflow: text('workflow').notNull(),
    digest: text('digest').notNull(),
    ref: text('ref').notNull(),
    commit: text('commit').notNull(),
    since: instant('since').notNull(),
  },
  (t) => [primaryKey({ columns: [t.home, t.project, t.environment, t.workflow] })],
);

/** Everything that ever became active, in order, and in which Environment of the name; a null digest retired the workflow. */
export const activeHistory = pgTable(
  'active_history',
  {
    id: bigint('id', { mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
    home: text('home').notNull(),
    project: text('project').notNull(),
    environment: text('environment').notNull(),
    uid: text('uid').notNull(),
    workflow: text('workflow').notNull(),
    digest: text('digest'),
    ref: text('ref').notNull(),
    commit: text('commit').notNull(),
    at: instant('at').notNull(),
  },
  (t) => [index('active_history_environment').on(t.home, t.project, t.environment, t.workflow, t.id)],
);
