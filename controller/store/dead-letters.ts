import { and, count, desc, eq, getTableColumns, inArray, sql } from 'drizzle-orm';
import type { Changes } from './changes.ts';
import type { Database } from './database.ts';
import { insertEvents } from './events.ts';
import { numericId, page, readCursor } from './page.ts';
import { deadLetters } from './schema/dead-letters.ts';
import { storable } from './storable.ts';
import type { DeadLetterHistory } from './types.ts';

const { home: _home, ...columns } = getTableColumns(deadLetters);

const open = inArray(deadLetters.state, ['Waiting', 'Redriven']);

/** What failed for good, until somebody has seen to it. Rows land by run-statements.ts, in the commit that ends a run. */
export function createDeadLetters({ drizzle }: Database, home: string, changes: Changes): DeadLetterHistory {
  return {
    async get(id) {
      const [row] = await drizzle
        .select(columns)
        .from(deadLetters)
        .where(and(eq(deadLetters.id, id), eq(deadLetters.home, home)));
      return row ?? null;
    },
    async ofRun(runId) {
      const [row] = await drizzle
        .select(columns)
        .from(deadLetters)
        .where(and(eq(deadLetters.kind, 'run'), eq(deadLetters.subject, runId), eq(deadLetters.home, home)));
      return row ?? null;
    },
    async list({ namespace, workflow, states }, { limit, after }) {
      const cursor = after === undefined ? null : readCursor(after);
      const rows = await drizzle
        .select(columns)
        .from(deadLetters)
        .where(
          and(
            eq(deadLetters.home, home),
            namespace === undefined ? undefined : eq(deadLetters.namespace, namespace),
            workflow === undefined ? undefined : eq(deadLetters.workflow, workflow),
            states === undefined ? undefined : inArray(deadLetters.state, states),
            cursor
              ? sql`(${deadLetters.landedAt}, ${deadLetters.id}) < (${cursor.at}, ${numericId(cursor)})`
              : undefined,
          ),
        )
        .orderBy(desc(deadLetters.landedAt), desc(deadLetters.id))
        .limit(limit + 1);
      return page(rows, limit, (row) => ({ at: row.landedAt, id: String(row.id) }));
    },
    waiting: () =>
      drizzle
        .select({ namespace: deadLetters.namespace, workflow: deadLetters.workflow, count: count() })
        .from(deadLetters)
        .where(and(eq(deadLetters.home, home), eq(deadLetters.state, 'Waiting')))
        .groupBy(deadLetters.namespace, deadLetters.workflow)
        .orderBy(deadLetters.namespace, deadLetters.workflow),
    async markRedriven(id, { by, as, at }) {
      const rows = await drizzle
        .update(deadLetters)
        .set({
          state: 'Redriven',
          redrives: sql`${deadLetters.redrives} + 1`,
          redrivenAt: at,
          redrivenBy: storable(by),
          redrivenAs: as,
        })
        .where(and(eq(deadLetters.id, id), eq(deadLetters.home, home), open))
        .returning({ id: deadLetters.id });
      return rows.length > 0;
    },
    async discard(id, { by, reason, at }) {
      const done = await drizzle.transaction(async (tx) => {
        const [row] = await tx
          .update(deadLetters)
          .set({ state: 'Discarded', closedAt: at, closedBy: storable(by), closedReason: storable(reason) })
          .where(and(eq(deadLetters.id, id), eq(deadLetters.home, home), open))
          .returning({ namespace: deadLetters.namespace, name: deadLetters.name });
        if (!row) return false;
        const message = `${by} discarded the dead letter of this run: ${reason}`;
        const event = {
          ...row,
          kind: 'WorkflowRun',
          type: 'Normal' as const,
          reason: 'DeadLetterDiscarded',
          message,
          at,
        };
        await insertEvents(tx, home, [event]);
        if (changes.hasPeers()) await tx.execute(sql`select pg_notify('windlass', '')`);
        return true;
      });
      if (done) changes.emit('events');
      return done;
    },
  };
}
