import { bigint, index, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import { instant } from './columns.ts';

/**
 * All content that a home keeps, noted before it is kept, so that none is ever forgotten. Who refers to it is in the steps of
 * runs and in the cache.
 */
export const artifacts = pgTable(
  'artifacts',
  {
    home: text('home').notNull(),
    digest: text('digest').notNull(),
    bytes: bigint('bytes', { mode: 'number' }).notNull(),
    /** When to look whether anybody refers to it still. */
    dueAt: instant('due_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.home, t.digest] }), index('artifacts_due').on(t.home, t.dueAt)],
);
