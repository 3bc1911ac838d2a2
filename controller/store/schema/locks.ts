import { sql } from 'drizzle-orm';
import { boolean, index, integer, jsonb, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import type { LockRequest, StepError } from '../../core/run/types.ts';
import { instant, wholeStep } from './columns.ts';

/** One row a namespace, locked while it is decided who of it may start: decisions take turns, whoever makes them. */
export const lockNamespaces = pgTable(
  'lock_namespaces',
  { home: text('home').notNull(), namespace: text('namespace').notNull() },
  (t) => [primaryKey({ columns: [t.home, t.namespace] })],
);

/** What runs and their steps hold or ask for. Gone with the next decision after its run, or its step, has ended. */
export const lockClaims = pgTable(
  'lock_claims',
  {
    runId: text('run_id').notNull(),
    /** Empty: the run itself. */
    step: text('step').notNull(),
    item: integer('item').notNull().default(wholeStep),
    home: text('home').notNull(),
    namespace: text('namespace').notNull(),
    state: text('state').$type<'Waiting' | 'Held' | 'Refused'>().notNull(),
    label: text('label').notNull(),
    /** Nodes above it in its tree of runs. */
    ancestors: jsonb('ancestors').$type<string[]>().notNull(),
    priority: integer('priority').notNull(),
    since: instant('since').notNull(),
    request: jsonb('request').$type<LockRequest>().notNull(),
    /** Asks for nothing but a running step of the namespace: of these, no more are read than can be granted. */
    onlySlot: boolean('only_slot').notNull(),
    /** Why the run is to be cancelled: another one takes its place. */
    superseded: text('superseded'),
    /** It undoes what was done: of those that wait for each other, the last to give way. */
    compensates: boolean('compensates').notNull().default(false),
    error: jsonb('error').$type<StepError>(),
  },
  (t) => [
    primaryKey({ columns: [t.runId, t.step, t.item] }),
    index('lock_claims_order').on(t.home, t.namespace, t.onlySlot, t.state, sql`${t.priority} desc`, t.since, t.runId),
  ],
);
