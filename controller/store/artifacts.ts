import { sql } from 'drizzle-orm';
import type { ArtifactRef } from '../core/run/types.ts';
import type { StoredArtifact } from '../seams/artifacts.ts';
import type { Clock } from '../seams/clock.ts';
import type { Database, Drizzle } from './database.ts';
import { page, readCursor } from './page.ts';
import type { ArtifactHistory, RunArtifact } from './types.ts';

/** How long content is kept that nobody refers to: from being put to the commit that refers to it. */
const unreferencedMs = 24 * 3_600_000;
/** How often it is asked whether a run that goes on has ended. */
const runningMs = 3_600_000;
/** What one transaction removes: a database gives up on one that is idle for 10 s. */
const removedAtOnce = 50;

type Found = Pick<RunArtifact, 'step' | 'item' | 'label' | 'name'> & { ref: ArtifactRef };

/** Which artifacts are kept, and for how long. */
export function createArtifactHistory({ drizzle }: Database, home: string, clock: Clock): ArtifactHistory {
  return {
    async note(noted) {
      if (noted.length === 0) return;
      const rows = JSON.stringify(unique(noted));
      await drizzle.execute(sql`
        insert into artifacts (home, digest, bytes, due_at)
        select ${home}, digest, bytes, ${clock.now() + unreferencedMs}::bigint
        from json_to_recordset(${rows}::text::json) as noted(digest text, bytes bigint)
        order by digest
        on conflict (home, digest) do update set due_at = greatest(artifacts.due_at, excluded.due_at)`);
    },
    async ofRun(runId, { limit, after }) {
      const cursor = after === undefined ? null : readCursor(after);
      const [step = '', name = ''] = cursor?.id.split('/') ?? [];
      const beyond = cursor ? sql`and (item, step, kept.name) > (${cursor.at}::int, ${step}, ${name})` : sql``;
      const rows = await read<Found>(
        drizzle,
        sql`select step, item, label, kept.name, kept.ref from steps, jsonb_each(artifacts) as kept(name, ref)
          where run_id = ${runId} and artifacts <> '{}'::jsonb ${beyond}
          order by item, step, kept.name limit ${limit + 1}`,
      );
      const found = rows.map(({ ref, ...place }) => ({ ...place, ...ref }));
      return page(found, limit, (row) => ({ at: row.item, id: `${row.step}/${row.name}` }));
    },
    async isOf(runId, digest) {
      const rows = await read<{ there: boolean }>(
        drizzle,
        sql`select exists (
          select from steps where run_id = ${runId} and ${digestsOf('artifacts')} ? ${digest}
        ) as there`,
      );
      return rows[0]?.there === true;
    },
    async sweep({ keptMs, remove }) {
      let removed = 0;
      for (;;) {
        const looked = await drizzle.transaction((tx) => sweepSome(tx as unknown as Drizzle, keptMs, remove));
        removed += looked.removed;
        if (looked.due < removedAtOnce) return removed;
      }
    },
  };

  /** The rows stay locked until what they name is gone: whoever notes the same content meanwhile waits, and puts it again. */
  async function sweepSome(
    tx: Drizzle,
    keptMs: number,
    remove: (digests: string[]) => Promise<void>,
  ): Promise<{ due: number; removed: number }> {
    const now = clock.now();
    const due = await read<{ digest: string }>(
      tx,
      sql`select digest from artifacts where home = ${home} and due_at <= ${now}::bigint
        order by due_at limit ${removedAtOnce} for update skip locked`,
    );
    if (due.length === 0) return { due: 0, removed: 0 };
    const digests = JSON.stringify(due.map(({ digest }) => digest));
    const given = sql`json_array_elements_text(${digests}::text::json) as given(digest)`;
    const needed = await read<{ digest: string; until: number | string }>(
      tx,
      sql`
        select digest, max(until)::float8 as until from (
          select given.digest, case when runs.finished_at is null then ${now + runningMs}::bigint
            else runs.finished_at + ${keptMs}::bigint end as until
          from ${given}
          join steps on steps.artifacts <> '{}'::jsonb and ${digestsOf('steps.artifacts')} ? given.digest
          join runs on runs.id = steps.run_id and runs.home = ${home}
          union all
          select given.digest, case when runs.finished_at is null then ${now + runningMs}::bigint
            else runs.finished_at + ${keptMs}::bigint end as until
          from ${given}
          join long_logs on long_logs.digest = given.digest
          join runs on runs.id = long_logs.run_id and runs.home = ${home}
          union all
          select given.digest, step_cache.expires_at as until
          from ${given}
          join step_cache on step_cache.home = ${home} and ${digestsOf('step_cache.artifacts')} ? given.digest
        ) as referring group by digest having max(until) > ${now}::bigint`,
    );
    if (needed.length > 0) {
      await tx.execute(sql`
        update artifacts set due_at = needed.until
        from json_to_recordset(${JSON.stringify(needed)}::text::json) as needed(digest text, until bigint)
        where artifacts.home = ${home} and artifacts.digest = needed.digest`);
    }
    const kept = new Set(needed.map(({ digest }) => digest));
    const over = due.map(({ digest }) => digest).filter((digest) => !kept.has(digest));
    if (over.length > 0) {
      await remove(over);
      await tx.execute(sql`
        delete from artifacts where home = ${home}
          and digest in (select json_array_elements_text(${JSON.stringify(over)}::text::json))`);
    }
    return { due: due.length, removed: over.length };
  }
}

/** As the index on steps has it. */
function digestsOf(column: string) {
  return sql.raw(`jsonb_path_query_array(${column}, '$.*.digest')`);
}

function unique(noted: readonly StoredArtifact[]): StoredArtifact[] {
  return [...new Map(noted.map(({ digest, bytes }) => [digest, { digest, bytes }])).values()];
}

/** The drivers disagree about what a statement answers with. */
async function read<Row>(db: Drizzle, statement: ReturnType<typeof sql>): Promise<Row[]> {
  const answer: unknown = await db.execute(statement);
  return Array.isArray(answer) ? [...(answer as Row[])] : (answer as { rows: Row[] }).rows;
}
