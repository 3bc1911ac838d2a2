import { and, asc, eq, ne, sql } from 'drizzle-orm';
import type { Database, Drizzle } from './database.ts';
import type { LeaderFence } from './leader-fence.ts';
import { inPieces } from './pieces.ts';
import { refContents, refs } from './schema/versions.ts';
import { storable } from './storable.ts';
import type { RefHistory } from './types.ts';

/** Refs of a source as fetched. A tag keeps the commit it was first seen at, whatever happens to it later. */
export function createRefHistory({ drizzle }: Database, fence: LeaderFence): RefHistory {
  return {
    list: (sourceId) => ofSource(drizzle, sourceId),
    record(sourceId, fetched, now) {
      return drizzle.transaction(async (tx) => {
        await fence(tx);
        const present = JSON.stringify(fetched.map((f) => storable(f.ref)));
        for (const piece of inPieces(fetched)) {
          const added = { sourceId, firstSeenAt: now, movedTo: null, deleted: false };
          const rows = piece.map((f) => ({ ...storable(f), ...added }));
          await tx
            .insert(refs)
            .values(rows)
            .onConflictDoUpdate({ target: [refs.sourceId, refs.ref], ...seenAgain });
        }
        await tx
          .update(refs)
          .set({ deleted: true })
          .where(
            and(
              eq(refs.sourceId, sourceId),
              sql`not ${refs.deleted}`,
              sql`${refs.ref} not in (select jsonb_array_elements_text(${present}::text::jsonb))`,
            ),
          );
        return ofSource(tx, sourceId);
      });
    },
    drop(source, keep) {
      return drizzle.transaction(async (tx) => {
        await fence(tx);
        for (const table of [refs, refContents]) {
          const own = sql`starts_with(${table.sourceId}, ${`${source}-`})`;
          await tx.delete(table).where(and(own, keep === null ? undefined : ne(table.sourceId, keep)));
        }
      });
    },
  };
}

function ofSource(db: Drizzle, sourceId: string) {
  return db.select().from(refs).where(eq(refs.sourceId, sourceId)).orderBy(asc(refs.ref));
}

const isTag = sql`refs.ref like 'refs/tags/%'`;

/** A branch follows what was fetched. Of a tag only the fact that it was moved is noted; moved back, it is as it was. */
const seenAgain = {
  set: {
    deleted: false,
    movedTo: sql`case when ${isTag} then nullif(excluded.commit, refs.commit) end`,
    commit: sql`case when ${isTag} then refs.commit else excluded.commit end`,
    tagger: sql`case when ${isTag} then refs.tagger else excluded.tagger end`,
    author: sql`case when ${isTag} then refs.author else excluded.author end`,
    message: sql`case when ${isTag} then refs.message else excluded.message end`,
  },
};
