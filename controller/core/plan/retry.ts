import type { RetrySpec } from '../../../crds/workflow.ts';
import { parseDuration } from '../duration.ts';
import { compileCondition } from '../expression/compile.ts';
import type { RetryPolicy } from './types.ts';

/** Defaults of this apiVersion. Changing one would change what stored versions mean: never. */
const standard = { limit: 0, initialMs: 1000, factor: 2, maxMs: 60_000, jitter: 0.2 } as const;

/** Never retried: for kinds without attempts, and for requests that must not be repeated unasked. */
export const noRetry: RetryPolicy = { ...standard, condition: null };

/** A body's own `retry`, field by field before the workflow's `defaults.retry`, before the standard. */
export function buildRetry(
  own: RetrySpec | undefined,
  defaults: RetrySpec | undefined,
  locals: readonly string[],
): RetryPolicy {
  const initial = own?.backoff?.initial ?? defaults?.backoff?.initial;
  const max = own?.backoff?.max ?? defaults?.backoff?.max;
  const condition = own?.if ?? defaults?.if;
  return {
    limit: own?.limit ?? defaults?.limit ?? standard.limit,
    initialMs: initial === undefined ? standard.initialMs : parseDuration(initial),
    factor: own?.backoff?.factor ?? defaults?.backoff?.factor ?? standard.factor,
    maxMs: max === undefined ? standard.maxMs : parseDuration(max),
    jitter: own?.backoff?.jitter ?? defaults?.backoff?.jitter ?? standard.jitter,
    condition: condition === undefined ? null : compileCondition(condition, locals),
  };
}
