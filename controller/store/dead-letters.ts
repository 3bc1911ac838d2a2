import { and, count, desc, eq, getTableColumns, gt, inArray, isNull, lt, type SQL, sql } from 'drizzle-orm';
import type { Changes } from './changes.ts';
import type { Database } from './database.ts';
import { insertEvents } from './events.ts';
import { numericId, page, readCursor } from './page.ts';
import { deadLetters } from './schema/dead-letters.ts';
import { runs } from './schema/runs.ts';
import { storable } from './storable.ts';
import type { DeadLetterHistory, EventRow } from './types.ts';

const { home: _home, ...columns } = getTableColumns(deadLetters);

/** What it was redriven as is not recorded as going on. */
const goesOnUnrecorded = sql`not exists (
  select from ${runs} where ${runs.id} = ${deadLetters.redrivenAs} and ${runs.finishedAt} is null)`;

/** Written out, as an index of those in one state serves a statement only if it names that state itself. */
const isWaiting = sql`${deadLetters.state} = 'Waiting'`;
const isRedriven = sql`${deadLetters.state} = 'Redriven'`;

const open = inArray(deadLetters.state, ['Waiting', 'Redriven']);

/** What failed for good, until somebody has seen to it. Rows land by run-statements.ts, in the commit that ends a run. */
export function createDeadLetters({ drizzle }: Database, home: string, changes: Changes): DeadLetterHistory {
  /** Changes one that is open, and tells it. False, and nothing is written, unless it is and `conditions` hold. */
  async function changed(
    id: number,
    set: Partial<typeof deadLetters.$inferInsert>,
    conditions: SQL[],
    event: Pick<EventRow, 'reason' | 'message' | 'at'>,
  ): Promise<boolean> {
    const done = await drizzle.transaction(async (tx) => {
      const [row] = await tx
        .update(deadLetters)
        .set(set)
        .where(and(eq(deadLetters.id, id), eq(deadLetters.home, home), open, ...conditions))
        .returning({ namespace: deadLetters.namespace, name: deadLetters.name });
      if (!row) return false;
      await insertEvents(tx, home, [{ ...row, kind: 'WorkflowRun', type: 'Normal', ...event }]);
      if (changes.hasPeers()) await tx.execute(sql`select pg_notify('windlass', '')`);
      return true;
    });
    if (done) changes.emit('events');
    return done;
  }

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
        .where(and(eq(deadLetters.home, home), isWaiting))
        .groupBy(deadLetters.namespace, deadLetters.workflow)
        .orderBy(deadLetters.namespace, deadLetters.workflow),
    beginRedrive({ id, subject, execution, redrives }, { by, name, at }) {
      const asSeen = [
        eq(deadLetters.subject, subject),
        eq(deadLetters.execution, execution),
        eq(deadLetters.redrives, redrives),
      ];
      const set = {
        state: 'Waiting' as const,
        redrives: redrives + 1,
        redrivenAt: at,
        redrivenBy: storable(by),
        redrivenName: name,
        redrivenAs: null,
      };
      const message = `${by} starts the dead letter of this run again, as run ${name}`;
      return changed(id, set, asSeen, { reason: 'DeadLetterRedriven', message, at });
    },
    async markRedriven(id, { redrives, as }) {
      const begun = [eq(deadLetters.redrives, redrives), isNull(deadLetters.redrivenAs)];
      await drizzle
        .update(deadLetters)
        .set({ state: 'Redriven', redrivenAs: as })
        .where(and(eq(deadLetters.id, id), eq(deadLetters.home, home), open, ...begun));
    },
    unrecorded: (before, after, limit) =>
      drizzle
        .select(columns)
        .from(deadLetters)
        .where(
          and(
            eq(deadLetters.home, home),
            isRedriven,
            lt(deadLetters.redrivenAt, before),
            gt(deadLetters.id, after),
            goesOnUnrecorded,
          ),
        )
        .orderBy(deadLetters.id)
        .limit(limit),
    waitAgain({ id, redrives, redrivenAs }, { message, at }) {
      const asSeen = [
        isRedriven,
        eq(deadLetters.redrives, redrives),
        sql`${deadLetters.redrivenAs} is not distinct from ${redrivenAs}`,
        goesOnUnrecorded,
      ];
      return changed(id, { state: 'Waiting' }, asSeen, { reason: 'DeadLetterWaits', message, at });
    },
    discard(id, { by, reason, at }) {
      const set = { state: 'Discarded' as const, closedAt: at, closedBy: storable(by), closedReason: storable(reason) };
      const message = `${by} discarded the dead letter of this run: ${reason}`;
      return changed(id, set, [], { reason: 'DeadLetterDiscarded', message, at });
    },
  };
}
