import type { Kind } from '../../crds/kinds.ts';

/** Who the API server notes as the writer of which fields. */
export interface FieldManagers {
  /** Of metadata and spec. */
  object: string;
  status: string;
}

/** The reconciler of runs, which writes their Pods and files, too. */
export const runManager = 'windlass-workflow-run';
/** The reconciler of environments, which writes what is promoted: Promotions, and Workflows where they are to run. */
export const environmentManager = 'windlass-environment';
const workflowManager = 'windlass-workflow';
const sourceManager = 'windlass-workflow-source';

/** Each reconciler writes by a name of its own, so that `managedFields` say which of them it was. */
export const reconcilerManagers: Readonly<Record<Kind, FieldManagers>> = {
  WorkflowSource: { object: sourceManager, status: sourceManager },
  Environment: { object: environmentManager, status: environmentManager },
  Promotion: { object: environmentManager, status: environmentManager },
  // A projection that somebody edited is put back as what it is: the environment's.
  Workflow: { object: environmentManager, status: workflowManager },
  WorkflowRun: { object: runManager, status: runManager },
};
