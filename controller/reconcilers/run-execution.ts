import type { WorkflowRun, WorkflowRunStatus } from '../../crds/workflow-run.ts';
import { nextConditions } from '../core/conditions.ts';
import { executionRefused } from '../core/run/execution.ts';
import { reopenRun } from '../core/run/retry.ts';
import type { RunRow } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';
import type { Store } from '../store/types.ts';
import type { PlanCache } from './plans.ts';

/** Makes an ended run go on, keeping what succeeded. Null: it does, to be claimed by somebody; else why it cannot. */
export async function goOn(
  { store, plans, clock }: { store: Pick<Store, 'runs'>; plans: PlanCache; clock: Clock },
  { spec }: WorkflowRun,
  run: RunRow,
): Promise<string | null> {
  const { number = 1, from = null, onlyFailed = false } = spec.execution ?? {};
  if (number !== run.execution + 1) {
    return `execution ${run.execution} was the last: the next is ${run.execution + 1}, not ${number}`;
  }
  if (spec.desired === 'Cancelled') return 'it is to be cancelled: set spec.desired to Running first';
  const [rows] = await store.runs.load([run.id]);
  if (!rows) throw new Error(`the run ${run.id} was recorded and is gone`);
  const reopened = reopenRun(await plans.get(run.digest), rows, { from, onlyFailed }, clock.now());
  if (!reopened.ok) return reopened.problem;
  // False: somebody else was first, with the same execution.
  await store.runs.reopen(reopened.transition);
  return null;
}

/** The status of a run that has ended, with why it does not go on. */
export function refuseExecution(
  status: WorkflowRunStatus,
  { metadata, spec }: WorkflowRun,
  problem: string,
  now: Instant,
): WorkflowRunStatus {
  const message = `execution ${spec.execution?.number ?? 1} is refused: ${problem}`;
  const [condition] = nextConditions(
    status.conditions,
    [{ type: executionRefused, status: 'True', reason: executionRefused, message }],
    metadata.generation,
    now,
  );
  const others = (status.conditions ?? []).filter(({ type }) => type !== executionRefused);
  return {
    ...status,
    observedGeneration: metadata.generation,
    conditions: condition ? [...others, condition] : others,
  };
}

/** The status of a run that has ended, with why it does not go on if that was said before. */
export function keepRefusal(status: WorkflowRunStatus, { metadata, status: before }: WorkflowRun): WorkflowRunStatus {
  const said = before?.conditions?.find(
    ({ type, observedGeneration }) => type === executionRefused && observedGeneration === metadata.generation,
  );
  return said ? { ...status, conditions: [...(status.conditions ?? []), said] } : status;
}

/** Whether its status says that it has ended. */
export function isFinishedObject(object: WorkflowRun): boolean {
  return object.status?.conditions?.some((c) => c.type === 'Finished' && c.status === 'True') ?? false;
}
