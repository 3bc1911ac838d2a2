import type { Hono } from 'hono';
import { type Static, Type } from 'typebox';
import { wholeStep } from '../../controller/core/run/types.ts';
import { demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { notFound } from '../errors.ts';
import { iso, Nullable, TimeString } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';
import { findRun } from '../runs.ts';
import { stepParams } from './runs.ts';

/** The newest entries that a key is compared with. */
const mostEntries = 10;

const ChangedPart = Type.Object(
  {
    part: Type.String({ description: 'Such as `env REGION`, files or key[0].' }),
    here: Nullable(Type.String(), 'In the key of this step; null: it has no such part.'),
    there: Nullable(Type.String(), 'In the key of the entry.'),
  },
  { ref: 'ChangedPart' },
);

const CacheExplanation = Type.Object(
  {
    step: Type.String(),
    item: Type.Integer({ description: 'The item of its forEach; -1: the step itself.' }),
    phase: Type.String({ description: 'Cached: an entry was taken.' }),
    key: Nullable(Type.String(), 'What the cache was asked for; null: it was not asked.'),
    parts: Type.Record(Type.String(), Type.String(), {
      description: 'What the key was made of; long values as sha256.',
    }),
    entries: Type.Array(
      Type.Object({
        key: Type.String(),
        filledAt: TimeString('When it was filled.'),
        expiresAt: TimeString('Until when it is good.'),
        bytes: Type.Integer(),
        changed: Type.Array(ChangedPart, { description: 'In what its key differs from that of the step.' }),
      }),
      { description: `The newest entries of this step, at most ${mostEntries}, the most alike first.` },
    ),
  },
  { ref: 'CacheExplanation' },
);
export type CacheExplanation = Static<typeof CacheExplanation>;

/** Why a step was, or was not, taken from the cache. */
export function cacheRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/namespaces/:namespace/runs/:name/steps/:step/cache',
      id: 'explainCache',
      tag: 'steps',
      summary: 'Compares the cache key of a step with the entries that there are',
      params: stepParams,
      query: only({
        item: Type.Optional(Type.Integer({ minimum: 0, maximum: 9999, description: 'Of a forEach: which item.' })),
      }),
      response: { status: 200, description: 'The comparison.', schema: CacheExplanation },
      problems: ['not-found'],
    },
    async ({ params: { namespace, name, step }, query: { item = wholeStep } }, c) => {
      await demand(c, 'get', 'WorkflowRun', namespace, name);
      const { row: run } = await findRun(deps, namespace, name);
      const row = run === null ? null : await deps.store.runs.step(run.id, step, item);
      if (run === null || row === null) throw notFound(`step ${step} in what run ${name} has begun`);
      const entries = await deps.store.cache.entries(namespace, run.workflow, step, mostEntries);
      const parts = row.cache?.parts ?? {};
      const compared = entries
        .map((entry) => ({
          key: entry.key,
          filledAt: iso(entry.filledAt),
          expiresAt: iso(entry.expiresAt),
          bytes: entry.bytes,
          changed: changedParts(parts, entry.parts),
        }))
        .toSorted((a, b) => a.changed.length - b.changed.length);
      return c.json({ step, item, phase: row.phase, key: row.cache?.key ?? null, parts, entries: compared });
    },
  );
}

function changedParts(here: Record<string, string>, there: Record<string, string>) {
  const names = [...new Set([...Object.keys(here), ...Object.keys(there)])].sort();
  return names
    .filter((part) => here[part] !== there[part])
    .map((part) => ({ part, here: here[part] ?? null, there: there[part] ?? null }));
}
