import type { Condition } from '../../crds/metadata.ts';
import type { Instant } from './time.ts';

/** What a reconciler asserts; when it last changed is worked out here. */
export type Assertion = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/**
 * The next list of conditions: `assertions` in order, each keeping its lastTransitionTime while its status is unchanged.
 * Conditions that are no longer asserted are dropped.
 */
export function nextConditions(
  current: Condition[] | undefined,
  assertions: Assertion[],
  observedGeneration: number,
  now: Instant,
): Condition[] {
  return assertions.map((assertion) => {
    const before = current?.find((c) => c.type === assertion.type);
    return {
      ...assertion,
      observedGeneration,
      lastTransitionTime: before?.status === assertion.status ? before.lastTransitionTime : new Date(now).toISOString(),
    };
  });
}
