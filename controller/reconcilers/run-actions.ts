import type { ResolvedBody, RunAction, RunRow } from '../core/run/types.ts';
import { LeaseEnding } from '../runtime/errors.ts';
import { AttemptHeld, type Executor } from '../seams/executor.ts';
import type { Lease } from '../seams/lease.ts';
import type { LiveAttempts } from './live-attempts.ts';
import type { RunCache } from './run-cache.ts';
import type { RunLocks } from './run-locks.ts';

/**
 * Does what was decided and recorded; settles when nothing of it is under way any more.
 * @throws AttemptHeld, LeaseEnding; anything else when the world failed
 */
export type PerformActions = (actions: RunAction[], lease: Lease, run: RunRow) => Promise<void>;

/** Side effects begin only with this much of the lease left. */
const leaseMarginMs = 2000;

export function createRunActions(deps: {
  executor: Executor;
  locks: RunLocks;
  cache: RunCache;
  live: LiveAttempts;
  /** Whether attempts of this kind are waited for before the controller ends: they would end with it. */
  drains(kind: ResolvedBody['kind']): boolean;
}): PerformActions {
  const { executor, locks, cache, live } = deps;

  async function act(action: RunAction, { workflow }: RunRow): Promise<void> {
    switch (action.type) {
      case 'Stop':
        return await executor.stop(action);
      case 'Release':
        return await locks.release(action);
      case 'Fill':
        return await cache.fill(action);
      case 'Acquire':
        return live.draining ? undefined : await locks.acquire(action);
      case 'LookUp':
        return live.draining ? undefined : await cache.lookUp(action, workflow);
      case 'Start':
        if (live.draining) return;
        if (deps.drains(action.body.kind)) live.begun(action.key);
        return await executor.start(action);
    }
  }

  return async (actions, lease, run) => {
    if (actions.length === 0) return;
    if (lease.remainingMs() < leaseMarginMs) throw new LeaseEnding('too little of the lease is left to begin anything');
    // Of one that fails the others are waited for: else the next decision could stop what is only being started.
    const results = await Promise.allSettled(actions.map((action) => act(action, run)));
    const failures = results.flatMap((result) =>
      result.status === 'rejected' ? [{ reason: result.reason as unknown }] : [],
    );
    // What holds an attempt is told to people, and goes on until it is lifted; anything else comes again if it is still so.
    const worst = failures.find(({ reason }) => reason instanceof AttemptHeld) ?? failures[0];
    if (worst) throw worst.reason;
  };
}
