import { integer, jsonb, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import { instant } from './columns.ts';

/** What is known of the entries of an object that waits for approval: which of them are believed. Gone when it has ended. */
export const approvalLooks = pgTable(
  'approval_looks',
  {
    home: text('home').notNull(),
    /** UID of a Promotion or a WorkflowRun. */
    uid: text('uid').notNull(),
    policy: text('policy'),
    entries: jsonb('entries').$type<Record<string, boolean>>().notNull(),
    /** Raised by every look that was kept, so that of two at once one is made again. */
    revision: integer('revision').notNull(),
  },
  (t) => [primaryKey({ columns: [t.home, t.uid] })],
);

/** Policies over approvals that were ever in force: one row whenever it was changed or made anew. */
export const approvalPolicies = pgTable(
  'approval_policies',
  {
    home: text('home').notNull(),
    identity: text('identity').notNull(),
    firstSeenAt: instant('first_seen_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.home, t.identity] })],
);
