import { and, asc, count, eq, gt, inArray, isNull, ne, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { page, readCursor } from './page.ts';
import { wholeStep } from './schema/columns.ts';
import { attempts, runs, steps } from './schema/runs.ts';
import type { RunHistory } from './types.ts';

/** What is read of steps, their items and attempts. A forEach of ten thousand is never read whole but by hydrate. */
export function createUnitQueries(
  { drizzle }: Database,
  home: string,
): Pick<RunHistory, 'steps' | 'step' | 'items' | 'itemCounts' | 'attempts' | 'openAttempts'> {
  return {
    steps: (runId) =>
      drizzle
        .select()
        .from(steps)
        .where(and(eq(steps.runId, runId), eq(steps.item, wholeStep)))
        .orderBy(sql`${steps.startedAt} asc nulls last`, asc(steps.step)),
    async step(runId, step, item) {
      const [row] = await drizzle
        .select()
        .from(steps)
        .where(and(eq(steps.runId, runId), eq(steps.step, step), eq(steps.item, item)));
      return row ?? null;
    },
    async items(runId, step, { limit, after, phases }) {
      const from = after === undefined ? wholeStep : readCursor(after).at;
      const rows = await drizzle
        .select()
        .from(steps)
        .where(
          and(
            eq(steps.runId, runId),
            eq(steps.step, step),
            gt(steps.item, from),
            phases === undefined ? undefined : inArray(steps.phase, phases),
          ),
        )
        .orderBy(asc(steps.item))
        .limit(limit + 1);
      return page(rows, limit, (row) => ({ at: row.item, id: row.step }));
    },
    itemCounts: (runId) =>
      drizzle
        .select({ step: steps.step, phase: steps.phase, count: count() })
        .from(steps)
        .where(and(eq(steps.runId, runId), ne(steps.item, wholeStep)))
        .groupBy(steps.step, steps.phase)
        .orderBy(asc(steps.step), asc(steps.phase)),
    attempts: (runId, { step, items = [wholeStep] } = {}) =>
      drizzle
        .select()
        .from(attempts)
        .where(
          and(
            eq(attempts.runId, runId),
            step === undefined ? undefined : eq(attempts.step, step),
            inArray(attempts.item, items),
          ),
        )
        .orderBy(asc(attempts.startedAt), asc(attempts.step), asc(attempts.item), asc(attempts.number)),
    openAttempts: () =>
      drizzle
        .select({ runId: attempts.runId, step: attempts.step, item: attempts.item, attempt: attempts.number })
        .from(attempts)
        .innerJoin(runs, eq(runs.id, attempts.runId))
        .where(and(eq(runs.home, home), isNull(runs.finishedAt), inArray(attempts.phase, ['Starting', 'Stopping']))),
  };
}
