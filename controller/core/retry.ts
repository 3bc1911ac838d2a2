import type { RetryPolicy } from './plan/types.ts';

/** Retries of attempts lost to the infrastructure; they do not count against `retry.limit`. */
export const infrastructureBudget = 5;

/** The longest pause another side may ask for (Retry-After): a hostile answer must not park a run for ever. */
const longestAskedPauseMs = 24 * 3_600_000;

/** True for failures that are the platform's, not the step's. */
export function isInfrastructure(errorType: string): boolean {
  return errorType.startsWith('infrastructure/');
}

/**
 * Whether the budgets allow one more attempt after a failed one.
 * @param attempts begun so far, the failed one included
 * @param infrastructureFailures of them, the failed one included when it is one
 */
export function hasRetryLeft(
  policy: Pick<RetryPolicy, 'limit'>,
  errorType: string,
  attempts: number,
  infrastructureFailures: number,
): boolean {
  if (isInfrastructure(errorType)) return infrastructureFailures <= infrastructureBudget;
  return attempts - infrastructureFailures <= policy.limit;
}

/**
 * How long to pause after a failed attempt, in ms: exponential, at most `maxMs`, and less than that by a share of up to
 * `jitter` that is fixed for the key, so that replaying a run decides the same instants. A longer pause that the other
 * side asked for is honoured.
 * @param attempts begun of the body, the failed one included: the pauses of another body begin anew
 */
export function retryPauseMs(
  policy: Pick<RetryPolicy, 'initialMs' | 'factor' | 'maxMs' | 'jitter'>,
  key: { runId: string; step: string; item: number; attempt: number },
  attempts: number,
  retryAfterMs = 0,
): number {
  // 0 × ∞ is no number: a pause of nothing stays nothing, however many attempts there were.
  const grown = policy.initialMs === 0 ? 0 : policy.initialMs * policy.factor ** (attempts - 1);
  const full = Math.min(grown, policy.maxMs);
  const pause = full * (1 - policy.jitter * hashShare(`${key.runId}/${key.step}/${key.item}/${key.attempt}`));
  const asked = Number.isNaN(retryAfterMs) ? 0 : Math.min(retryAfterMs, longestAskedPauseMs);
  return Math.max(0, Math.round(Math.max(pause, asked)));
}

/** A number in [0, 1) that depends on nothing but the text: FNV-1a, then murmur3's finalizer to spread similar keys. */
export function hashShare(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
