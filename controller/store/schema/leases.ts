import { bigint, index, pgTable, text, timestamp } from 'drizzle-orm/pg-core';

/** Who is alive, by the database's clock only. A dead replica's row stays until nothing names it as its owner. */
export const replicas = pgTable(
  'replicas',
  {
    id: text('id').primaryKey(),
    home: text('home').notNull(),
    expiresAt: timestamp('expires_at', { withTimezone: true, mode: 'string' }).notNull(),
  },
  (t) => [index('replicas_home').on(t.home)],
);

/** One row a home: who decides about its config kinds. */
export const leaders = pgTable('leaders', {
  home: text('home').primaryKey(),
  owner: text('owner').notNull(),
  fence: bigint('fence', { mode: 'number' }).notNull(),
});
