import { sql } from 'drizzle-orm';
import { bigint, index, integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import type { EventRow } from '../types.ts';
import { bytea, instant, wholeStep } from './columns.ts';

/** Ids are in the order of commit, because whoever inserts holds an advisory lock until its commit (see events.ts). */
export const events = pgTable(
  'events',
  {
    id: bigint('id', { mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
    home: text('home').notNull(),
    kind: text('kind').notNull(),
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    type: text('type').$type<EventRow['type']>().notNull(),
    reason: text('reason').notNull(),
    message: text('message').notNull(),
    at: instant('at').notNull(),
  },
  (t) => [index('events_home').on(t.home, t.id), index('events_object').on(t.home, t.namespace, t.name, t.id)],
);

/** Pieces of an attempt's output by byte offset. Pieces may overlap; readers drop the overlap. */
export const logChunks = pgTable(
  'log_chunks',
  {
    runId: text('run_id').notNull(),
    step: text('step').notNull(),
    item: integer('item').notNull().default(wholeStep),
    attempt: integer('attempt').notNull(),
    position: bigint('position', { mode: 'number' }).notNull(),
    bytes: bytea('bytes').notNull(),
  },
  (t) => [primaryKey({ columns: [t.runId, t.step, t.item, t.attempt, t.position] })],
);

/** Where the output of an attempt goes on that is longer than what `log_chunks` has of it. */
export const longLogs = pgTable(
  'long_logs',
  {
    runId: text('run_id').notNull(),
    step: text('step').notNull(),
    item: integer('item').notNull().default(wholeStep),
    attempt: integer('attempt').notNull(),
    /** Of the first byte of the rest, which overlaps with what is in `log_chunks`. */
    position: bigint('position', { mode: 'number' }).notNull(),
    /** Of the artifact that has the rest; null until the attempt has ended, and when it could not be kept. */
    digest: text('digest'),
    bytes: bigint('bytes', { mode: 'number' }).notNull().default(0),
  },
  (t) => [
    primaryKey({ columns: [t.runId, t.step, t.item, t.attempt] }),
    index('long_logs_digest').on(t.digest).where(sql`digest is not null`),
  ],
);
