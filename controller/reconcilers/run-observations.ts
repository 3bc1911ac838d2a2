import type { WorkflowRun } from '../../crds/workflow-run.ts';
import type { RunObservation } from '../core/run/types.ts';

type SpecObserved = Extract<RunObservation, { type: 'SpecObserved' }>;

/**
 * What the object's spec says now, or null when this generation was given to a decision already. An object that is gone
 * means that the run was deleted, which cancels it; its history stays.
 */
export function observeSpec(object: WorkflowRun | null, given: number | null): SpecObserved | null {
  if (!object) {
    return given === -1
      ? null
      : { type: 'SpecObserved', desired: 'Cancelled', reason: 'the run was deleted', approvals: [] };
  }
  if (object.metadata.generation === given) return null;
  const { desired, reason, approvals } = object.spec;
  return {
    type: 'SpecObserved',
    desired: desired ?? 'Running',
    reason: reason ?? null,
    approvals: (approvals ?? []).map((entry) => ({
      step: entry.step,
      user: entry.user,
      groups: entry.groups ?? [],
      decision: entry.decision,
      comment: entry.comment ?? null,
    })),
  };
}
