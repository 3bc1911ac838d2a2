import { and, eq, inArray, sql } from 'drizzle-orm';
import type { ApprovalLooks } from './approval-types.ts';
import type { Database } from './database.ts';
import { inPieces } from './pieces.ts';
import { approvalLooks, approvalPolicies } from './schema/approvals.ts';
import { promotions } from './schema/promotions.ts';
import { runs } from './schema/runs.ts';

/** What was decided about entries of `spec.approvals`. Not fenced: of two looks at once, the second is made again. */
export function createApprovalLooks({ drizzle }: Database, home: string): ApprovalLooks {
  const ofThis = (uid: string) => and(eq(approvalLooks.home, home), eq(approvalLooks.uid, uid));
  return {
    async policySeen(identity, now) {
      const one = and(eq(approvalPolicies.home, home), eq(approvalPolicies.identity, identity));
      const read = () => drizzle.select({ at: approvalPolicies.firstSeenAt }).from(approvalPolicies).where(one);
      const [known] = await read();
      if (known) return known.at;
      await drizzle.insert(approvalPolicies).values({ home, identity, firstSeenAt: now }).onConflictDoNothing();
      const [seen] = await read();
      return seen?.at ?? now;
    },
    async get(uid) {
      const { policy, entries, revision } = approvalLooks;
      const [row] = await drizzle.select({ policy, entries, revision }).from(approvalLooks).where(ofThis(uid));
      return row ? { look: { policy: row.policy, entries: row.entries }, revision: row.revision } : null;
    },
    async put(uid, { policy, entries }, after) {
      const row = { home, uid, policy, entries, revision: after + 1 };
      const rows =
        after === 0
          ? await drizzle.insert(approvalLooks).values(row).onConflictDoNothing().returning({ uid: approvalLooks.uid })
          : await drizzle
              .update(approvalLooks)
              .set(row)
              .where(and(ofThis(uid), eq(approvalLooks.revision, after)))
              .returning({ uid: approvalLooks.uid });
      return rows.length > 0;
    },
    async forget(uids) {
      for (const piece of inPieces(uids)) {
        await drizzle.delete(approvalLooks).where(and(eq(approvalLooks.home, home), inArray(approvalLooks.uid, piece)));
      }
    },
  };
}

/** Removes what a process that ended too early has left: looks at what has ended. */
export async function forgetEndedLooks({ drizzle }: Database, home: string): Promise<void> {
  const open = (table: typeof promotions | typeof runs) =>
    sql`exists (select from ${table} where ${table.id} = ${approvalLooks.uid} and ${table.finishedAt} is null)`;
  await drizzle
    .delete(approvalLooks)
    .where(and(eq(approvalLooks.home, home), sql`not ${open(promotions)}`, sql`not ${open(runs)}`));
}
