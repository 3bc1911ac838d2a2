import type { Condition } from '../../crds/metadata.ts';
import type { WorkflowStatus } from '../../crds/workflow.ts';
import { type Assertion, nextConditions } from './conditions.ts';
import type { Instant } from './time.ts';

/** What a Workflow is, where it is. */
export type WorkflowStanding =
  /** Outside of environments: runs take it as it is. */
  | { type: 'Applied'; digest: string }
  /** Outside of environments, with mistakes. */
  | { type: 'Invalid'; message: string }
  /** Shows the version that is active in the environment that owns the namespace. */
  | { type: 'Promoted'; environment: string; ref: string; digest: string; drift: Drift | null }
  /** Put by somebody else where an environment promotes one of this name. */
  | { type: 'NameTaken'; environment: string; digest: string }
  /** Put by somebody into the namespace of an environment, which promotes none of this name. */
  | { type: 'NotPromoted'; environment: string };

/** That somebody changed what was promoted. It changes no run. */
export interface Drift {
  /** False once it was put back. */
  present: boolean;
  reason: 'HandEdited' | 'NotReverted' | 'Reverted';
  /** Which fields, whose manager, and what becomes of it. */
  message: string;
}

/** What the status of a Workflow is projected for. */
export interface WorkflowKey {
  generation: number;
  conditions: Condition[] | undefined;
  /** The request to reconcile that this answers. */
  handled: string | undefined;
}

/** The status of a Workflow. */
export function projectWorkflowStatus(standing: WorkflowStanding, key: WorkflowKey, now: Instant): WorkflowStatus {
  return {
    observedGeneration: key.generation,
    ...(key.handled === undefined ? {} : { lastHandledReconcileAt: key.handled }),
    ...('digest' in standing ? { digest: standing.digest } : {}),
    conditions: nextConditions(key.conditions, assertions(standing), key.generation, now),
  };
}

function assertions(standing: WorkflowStanding): Assertion[] {
  switch (standing.type) {
    case 'Applied':
      return [ready('Applied', 'Runs take the workflow as it is when they start.')];
    case 'Invalid':
      return stalled('InvalidWorkflow', standing.message);
    case 'Promoted': {
      const promoted = ready('Promoted', `${standing.ref} is active in ${standing.environment}.`);
      if (standing.drift === null) return [promoted];
      const { present, reason, message } = standing.drift;
      return [promoted, { type: 'Drifted', status: present ? 'True' : 'False', reason, message }];
    }
    case 'NameTaken':
      return stalled(
        'NameTaken',
        `Environment ${standing.environment} promotes a workflow of this name into this namespace, and this one did not come from it; no run uses it. Delete it, and the promoted one takes its place.`,
      );
    default:
      return stalled(
        'NotPromoted',
        `Environment ${standing.environment} owns this namespace and no version was promoted; merge or tag one, or apply this workflow to another namespace.`,
      );
  }
}

function ready(reason: string, message: string): Assertion {
  return { type: 'Ready', status: 'True', reason, message };
}

function stalled(reason: string, message: string): Assertion[] {
  return [
    { type: 'Ready', status: 'False', reason, message },
    { type: 'Stalled', status: 'True', reason, message },
  ];
}
