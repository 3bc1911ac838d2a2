import type { JsonValue } from '../../../crds/json.ts';
import type { LockSpec, StepSpec } from '../../../crds/workflow.ts';
import { parseDuration } from '../duration.ts';
import { compileCondition, compileTemplate, compileText } from '../expression/compile.ts';
import { normalizePath } from '../paths.ts';
import type { CachePolicy, ForEach, PlanLock, PlanStep, Until } from './types.ts';

/** Defaults of this apiVersion. Changing one would change what stored versions mean: never. */
const standard = { as: 'item', cacheTtl: '7d', lockLimit: 1 } as const;

/** The variables that the items of a step see: the item and its place; none without `forEach`. */
export function loopVariables({ forEach }: Pick<StepSpec, 'forEach'>): string[] {
  return forEach === undefined ? [] : [forEach.as ?? standard.as, 'index'];
}

export function buildForEach(written: StepSpec['forEach']): ForEach | null {
  if (written === undefined) return null;
  return {
    items: itemsOf(written),
    as: written.as ?? standard.as,
    parallelism: written.parallelism ?? null,
    failFast: written.failFast ?? true,
  };
}

function itemsOf({ items, range, matrix }: NonNullable<StepSpec['forEach']>): ForEach['items'] {
  const compile = (value: unknown) => compileTemplate(value as JsonValue);
  if (range !== undefined) return { from: compile(range.from ?? 0), to: compile(range.to), step: range.step ?? 1 };
  if (matrix === undefined) return { list: compile(items) };
  return { matrix: Object.fromEntries(Object.entries(matrix).map(([name, list]) => [name, compile(list)])) };
}

export function buildUntil(written: StepSpec['until'], locals: readonly string[]): Until | null {
  if (written === undefined) return null;
  return {
    condition: compileCondition(written.condition, locals),
    limit: written.limit,
    intervalMs: written.interval === undefined ? 0 : parseDuration(written.interval),
  };
}

export function buildCache(written: StepSpec['cache'], locals: readonly string[]): CachePolicy | null {
  if (written === undefined) return null;
  return {
    key: (written.key ?? []).map((part) => compileText(part, locals)),
    version: written.version ?? '',
    ttlMs: parseDuration(written.ttl ?? standard.cacheTtl),
  };
}

export function buildLocks(written: LockSpec[] | undefined, locals: readonly string[] = []): PlanLock[] {
  return (written ?? []).map(({ name, limit }) => ({
    name: compileText(name, locals),
    limit: limit ?? standard.lockLimit,
  }));
}

/** Paths are normalized: `./a//b` is `a/b`. */
export function buildArtifacts(written: StepSpec['artifacts']): PlanStep['artifacts'] {
  const out = Object.entries(written?.out ?? {}).map(([name, path]) => [name, normalizePath(path)] as const);
  const into = Object.entries(written?.in ?? {}).map(
    ([path, source]) => [normalizePath(path), artifactSource(source)] as const,
  );
  return { out: Object.fromEntries(out), in: Object.fromEntries(into) };
}

/** `STEP.NAME` */
export function artifactSource(source: string): { step: string; name: string } {
  const [step = '', name = ''] = source.split('.');
  return { step, name };
}
