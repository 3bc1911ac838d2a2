import { and, eq, gt, inArray, isNotNull, isNull, sql } from 'drizzle-orm';
import type { RunRow } from '../core/run/types.ts';
import type { Changes } from './changes.ts';
import type { Database } from './database.ts';
import { runs } from './schema/runs.ts';
import { storable } from './storable.ts';
import type { ChildSpec, RunHistory } from './types.ts';

const topic = 'specs';

/** What is wanted of a child run as it is made. */
export function initialSpec({ desired, reason, forced }: RunRow): ChildSpec {
  return { desired, reason: storable(reason), force: forced, approvals: [] };
}

/**
 * What is wanted of child runs. Whoever wants something writes it without the fence; the replica that owns the run hears of
 * it: those of its runs whose spec was ever changed stand in a small index, and it remembers what it has told.
 */
export function createChildSpecs(
  { drizzle }: Database,
  identity: { home: string; replica(): string },
  changes: Changes,
  report: (error: unknown) => void,
): Pick<RunHistory, 'changeSpec' | 'specs' | 'onSpecs'> {
  const { home } = identity;

  async function changed(): Promise<Map<string, number>> {
    const rows = await drizzle
      .select({ id: runs.id, generation: runs.specGeneration })
      .from(runs)
      .where(
        and(
          eq(runs.owner, identity.replica()),
          eq(runs.home, home),
          isNull(runs.finishedAt),
          gt(runs.specGeneration, 0),
        ),
      );
    return new Map(rows.map((row) => [row.id, row.generation]));
  }

  return {
    async changeSpec(id, change) {
      for (;;) {
        const [row] = await drizzle
          .select({ spec: runs.spec, generation: runs.specGeneration })
          .from(runs)
          .where(and(eq(runs.id, id), eq(runs.home, home)));
        if (!row?.spec) return null;
        const next = change(row.spec);
        if (next === null) return row.spec;
        const written = await drizzle
          .update(runs)
          .set({ spec: storable(next), specGeneration: row.generation + 1 })
          .where(and(eq(runs.id, id), eq(runs.specGeneration, row.generation)))
          .returning({ id: runs.id });
        if (written.length === 0) continue;
        if (changes.hasPeers()) await drizzle.execute(sql`select pg_notify('windlass', '')`);
        changes.emit(topic);
        return next;
      }
    },
    async specs(ids) {
      if (ids.length === 0) return new Map();
      const rows = await drizzle
        .select({ id: runs.id, spec: runs.spec })
        .from(runs)
        .where(and(inArray(runs.id, ids), eq(runs.home, home), isNotNull(runs.spec)));
      return new Map(rows.flatMap(({ id, spec }) => (spec ? [[id, spec]] : [])));
    },
    onSpecs(fn) {
      let told = new Map<string, number>();
      let looking: Promise<void> | null = null;
      let again = false;
      let stopped = false;

      /** Once, and once more when something came in meanwhile. */
      async function look(): Promise<void> {
        try {
          again = false;
          const now = await changed();
          const news = [...now].filter(([id, generation]) => told.get(id) !== generation).map(([id]) => id);
          told = now;
          if (news.length > 0 && !stopped) fn(news);
        } catch (error) {
          // The next poll makes up for it.
          if (!stopped) report(error);
        } finally {
          looking = null;
          if (again) wake();
        }
      }

      function wake(): void {
        again = !stopped;
        if (again) looking ??= look();
      }

      const stop = changes.on(topic, wake);
      return () => {
        stopped = true;
        stop();
      };
    },
  };
}
