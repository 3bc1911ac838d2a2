import type { WorkflowRun } from '../../../crds/workflow-run.ts';

/** What a condition is called that says why an ended run does not go on. */
export const executionRefused = 'ExecutionRefused';

/** Whether the object of a run that has ended asks for it to go on, and was not told yet that it cannot. */
export function wantsExecution(run: WorkflowRun): boolean {
  return (run.spec.execution?.number ?? 1) > (run.status?.execution ?? 1) && refusalOf(run) === null;
}

/** Why the run that this object asks for, as it stands, does not go on; null: nobody has said that. */
export function refusalOf({ metadata, status }: WorkflowRun): string | null {
  const said = status?.conditions?.find(
    ({ type, observedGeneration }) => type === executionRefused && observedGeneration === metadata.generation,
  );
  return said?.message ?? null;
}

/** Whether something is still to come of a run, as its object says: it has not ended, or is to go on. */
export function goesOn(run: WorkflowRun): boolean {
  return run.status?.finishedAt === undefined || wantsExecution(run);
}
