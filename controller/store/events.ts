import { and, asc, desc, eq, getTableColumns, gt, sql } from 'drizzle-orm';
import type { Changes } from './changes.ts';
import type { Database, Drizzle } from './database.ts';
import { inPieces } from './pieces.ts';
import { events } from './schema/journal.ts';
import { storable } from './storable.ts';
import type { EventHistory, EventRow } from './types.ts';

const { home: _home, ...eventColumns } = getTableColumns(events);

/**
 * Advisory lock of whoever inserts events, held to the end of the transaction: ids then ascend in the order of commits,
 * and a reader who goes on from the last id it saw misses none.
 */
export const eventLock = 727002;

/** Appends events as the last thing of a transaction. */
export async function insertEvents(tx: Drizzle, home: string, rows: Omit<EventRow, 'id'>[]): Promise<void> {
  if (rows.length === 0) return;
  await tx.execute(sql`select pg_advisory_xact_lock(${sql.raw(String(eventLock))})`);
  for (const piece of inPieces(rows)) await tx.insert(events).values(piece.map((row) => ({ ...storable(row), home })));
}

/** The journal of what happened in a home, for people. */
export function createEventHistory(database: Database, home: string, changes: Changes): EventHistory {
  const { drizzle } = database;
  return {
    async append(rows) {
      if (rows.length === 0) return;
      await drizzle.transaction(async (tx) => {
        await insertEvents(tx, home, rows);
        if (changes.hasPeers()) await tx.execute(sql`select pg_notify('windlass', '')`);
      });
      changes.emit('events');
    },
    list(filter, { limit, after }) {
      return drizzle
        .select(eventColumns)
        .from(events)
        .where(
          and(
            eq(events.home, home),
            filter.kind === undefined ? undefined : eq(events.kind, filter.kind),
            filter.namespace === undefined ? undefined : eq(events.namespace, filter.namespace),
            filter.name === undefined ? undefined : eq(events.name, filter.name),
            after === undefined ? undefined : gt(events.id, after),
          ),
        )
        .orderBy(asc(events.id))
        .limit(limit);
    },
    async last() {
      const [row] = await drizzle.select({ id: events.id }).from(events).orderBy(desc(events.id)).limit(1);
      return row?.id ?? 0;
    },
    onAppend: (fn) => changes.on('events', fn),
  };
}
