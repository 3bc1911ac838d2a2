import type { Approval, WorkflowRun } from '../../crds/workflow-run.ts';
import type { Plan } from '../core/plan/types.ts';
import type { RunObservation, StepApprovalEntry } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { ChildSpec } from '../store/types.ts';
import type { Loaded } from './run-entries.ts';

export type SpecObserved = Extract<RunObservation, { type: 'SpecObserved' }>;

/** Where it is said what should become of a run. */
export interface Wanted {
  /** Of a run that no step started; null when it is gone, which means cancel. */
  object: WorkflowRun | null;
  /** Of a child run, which has no object. */
  child: ChildSpec | null;
  /** Why it is to end whatever its spec says: another run takes its place, or its parent has ended. */
  superseded: string | null;
}

/** Names what is wanted as it is now: what was given to a decision once is not given again. */
export function versionOf({ object, child, superseded }: Wanted): string {
  const going = object?.metadata.deletionTimestamp === undefined ? '' : ' going';
  const spec = child === null ? `${object?.metadata.generation ?? 'gone'}${going}` : JSON.stringify(child);
  return superseded === null ? spec : `${spec} superseded`;
}

/**
 * What is wanted now, or null when this version was given to a decision already. An object that is gone means that the run
 * was deleted, which cancels it; its history stays.
 */
export function observeSpec(wanted: Wanted, given: string | null): SpecObserved | null {
  if (versionOf(wanted) === given) return null;
  const { superseded } = wanted;
  const spec: SpecObserved = { type: 'SpecObserved', ...specOf(wanted) };
  if (superseded === null || spec.desired === 'Cancelled') return spec;
  return { ...spec, desired: 'Cancelled', reason: superseded, force: false };
}

function specOf({ object, child }: Wanted): ChildSpec {
  if (child !== null) return child;
  if (object === null) return { desired: 'Cancelled', reason: 'the run was deleted', force: false, approvals: [] };
  const { desired, reason, force, approvals } = object.spec;
  const going = object.metadata.deletionTimestamp !== undefined && desired !== 'Cancelled';
  return {
    desired: going ? 'Cancelled' : (desired ?? 'Running'),
    reason: going ? 'the run was deleted' : (reason ?? null),
    force: force ?? false,
    approvals: (approvals ?? []).map(stepApproval),
  };
}

/** An entry of an object's spec as decisions have it. */
export function stepApproval({ step, user, groups, decision, comment, execution }: Approval): StepApprovalEntry {
  return { step, user, groups: groups ?? [], decision, comment: comment ?? null, execution: execution ?? 1 };
}

/** The circuits that are not closed, when others than were told of before, and the run may send something at all. */
export function observeCircuits(loaded: Loaded, open: { host: string; until: Instant }[]): RunObservation | null {
  const now = open.map(({ host, until }) => `${host} ${until}`).join();
  if (now === loaded.circuits || !mayRequest(loaded.plan)) return null;
  loaded.circuits = now;
  return { type: 'CircuitsObserved', open };
}

/** Whether any body of the plan sends requests. */
function mayRequest({ steps }: Plan): boolean {
  return steps.some(({ main, fallback, compensate }) =>
    [main, ...fallback, compensate].some((body) => body !== null && 'body' in body && body.body.kind === 'http'),
  );
}
