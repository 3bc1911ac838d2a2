import { buildPlan } from '../core/plan/build.ts';
import type { Plan } from '../core/plan/types.ts';
import { TerminalError } from '../runtime/errors.ts';
import type { VersionHistory } from '../store/types.ts';

/** Plans by digest, built once while in use. A version never changes, so neither does its plan. */
export interface PlanCache {
  /** @throws TerminalError when the version is not stored. */
  get(digest: string): Promise<Plan>;
}

/** `limit`: plans kept; the longest unused goes first. */
export function createPlanCache(versions: Pick<VersionHistory, 'get'>, limit = 500): PlanCache {
  const plans = new Map<string, Plan>();
  return {
    async get(digest) {
      const cached = plans.get(digest);
      if (cached) {
        plans.delete(digest);
        plans.set(digest, cached);
        return cached;
      }
      const snapshot = await versions.get(digest);
      if (!snapshot) throw new TerminalError(`version ${digest} is not stored`);
      const plan = buildPlan(snapshot);
      plans.set(digest, plan);
      for (const oldest of plans.keys()) {
        if (plans.size <= limit) break;
        plans.delete(oldest);
      }
      return plan;
    },
  };
}
