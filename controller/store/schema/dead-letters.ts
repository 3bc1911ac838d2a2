import { sql } from 'drizzle-orm';
import { bigint, index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { StepError } from '../../core/run/types.ts';
import type { DeadLetter } from '../types.ts';
import { instant } from './columns.ts';

/** What failed for good and waits for somebody: one row each, however often it fails. No row is ever removed. */
export const deadLetters = pgTable(
  'dead_letters',
  {
    id: bigint('id', { mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
    home: text('home').notNull(),
    kind: text('kind').$type<DeadLetter['kind']>().notNull(),
    /** Of a run: the id of the one that failed last. */
    subject: text('subject').notNull(),
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    workflow: text('workflow').notNull(),
    payload: jsonb('payload').$type<DeadLetter['payload']>().notNull(),
    error: jsonb('error').$type<StepError>(),
    execution: integer('execution').notNull(),
    landedAt: instant('landed_at').notNull(),
    state: text('state').$type<DeadLetter['state']>().notNull().default('Waiting'),
    redrives: integer('redrives').notNull().default(0),
    redrivenAt: instant('redriven_at'),
    redrivenBy: text('redriven_by'),
    redrivenName: text('redriven_name'),
    redrivenAs: text('redriven_as'),
    closedAt: instant('closed_at'),
    closedBy: text('closed_by'),
    closedReason: text('closed_reason'),
  },
  (t) => [
    uniqueIndex('dead_letters_subject').on(t.kind, t.subject),
    index('dead_letters_landed').on(t.home, t.landedAt, t.id),
    // Looked at whenever a run ends.
    index('dead_letters_redriven').on(t.home, t.namespace, t.redrivenName).where(sql`redriven_name is not null`),
    // Those that are open are few, and asked for again and again; those that are over only grow in number.
    index('dead_letters_waiting').on(t.home, t.namespace, t.workflow).where(sql`state = 'Waiting'`),
    index('dead_letters_going_on').on(t.home, t.id).where(sql`state = 'Redriven'`),
  ],
);
