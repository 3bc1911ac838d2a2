import type { WorkflowRun } from '../../crds/workflow-run.ts';
import type { Plan } from '../core/plan/types.ts';
import { isFinished, type RunRow } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';
import { type DeletionGuard, runFinalizer } from '../seams/deletion.ts';

/** The limits of compensating and of `finally`, and what a little disorder may take. */
const longestEndMs = (30 + 30 + 5) * 60_000;

/** Keeps the objects of runs that have something to do at their end, and no longer than that may take. */
export interface RunDeletion {
  /** A run was loaded: before anything of it begins. A child run keeps the object of its topmost ancestor. */
  hold(run: RunRow, plan: Plan, object: WorkflowRun | null): Promise<void>;
  /** Lets an object go that is to go and need not wait any longer. Returns when it must be looked at again; null: never. */
  check(object: WorkflowRun): Promise<Instant | null>;
  /** The run has ended. */
  ended(object: WorkflowRun): Promise<void>;
}

export function createRunDeletion(guard: DeletionGuard | null, clock: Clock): RunDeletion {
  return {
    async hold(run, plan, object) {
      const acts = plan.mainCount < plan.steps.length || plan.steps.some(({ compensate }) => compensate !== null);
      if (!guard || !acts || isFinished(run.phase)) return;
      if (run.parent !== null) await guard.hold({ namespace: run.namespace, name: run.rootName, uid: run.root });
      else if (object && !isHeld(object)) await guard.hold(object.metadata);
    },
    async check(object) {
      const { deletionTimestamp, namespace } = object.metadata;
      if (!guard || deletionTimestamp === undefined || !isHeld(object)) return null;
      const latest = Date.parse(deletionTimestamp) + longestEndMs;
      const now = object.spec.force === true || clock.now() >= latest || (await guard.isTerminating(namespace));
      if (now) await guard.letGo(object.metadata);
      return now ? null : latest;
    },
    async ended(object) {
      if (guard && isHeld(object)) await guard.letGo(object.metadata);
    },
  };
}

/** Whether an object is kept for the end of its run. */
export function isHeld({ metadata }: WorkflowRun): boolean {
  return metadata.finalizers?.includes(runFinalizer) ?? false;
}
