import type { WorkflowRun } from '../../crds/workflow-run.ts';
import type { Plan } from '../core/plan/types.ts';
import type { RunState } from '../core/run/state.ts';
import type { RunRow } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { Lease } from '../seams/lease.ts';
import type { ChildSpec, LoadedRun } from '../store/types.ts';
import type { RunWaits } from './run-waits.ts';

/** What is derived from the rows of a run. */
export interface Loaded {
  plan: Plan;
  state: RunState;
  at: Instant;
  /** Of the spec that was observed last; null: observe it again. */
  spec: string | null;
  /** Which circuits were told of; empty: none. */
  circuits: string;
  /** What the children of the run were told to be; null: nothing yet. */
  childrenTold: RunRow['desired'] | null;
  /** Which approvals of the spec were not believed then, and why. */
  approvalsHeld: string | null;
  /** When that is looked at again; null: when the spec has changed. */
  lookAt: Instant | null;
}

/** What this replica knows of a run. Only `loaded` is derived; dropping it and hydrating again is always right. */
export interface Entry {
  /** The object as last seen; null when it is gone, which means cancel. */
  object: WorkflowRun | null;
  /** False while the watch has not told of the object: a run may be claimed before that, and is not a deleted one then. */
  watched: boolean;
  /** What is wanted of a child run, which has no object; null: it is none, or not known yet. */
  child: ChildSpec | null;
  /** Somebody has changed that since. */
  childChanged: boolean;
  /** Why it is to end whatever its spec says. */
  superseded: string | null;
  /** Set while this replica owns the run, which it does no longer than the lease it was claimed under. */
  claim: { fence: number; lease: Lease } | null;
  loaded: Loaded | null;
  /** As they were when it was claimed, until they are looked at. */
  rows: LoadedRun | null;
  failedDecisions: number;
  /** What of it is kept from running; null: nothing was. */
  waits: RunWaits | null;
  /** Its status does not say that yet. */
  waitsChanged: boolean;
}

/** Of which nothing is known yet. */
export const unknownRun: Entry = {
  object: null,
  watched: false,
  child: null,
  childChanged: false,
  superseded: null,
  claim: null,
  loaded: null,
  rows: null,
  failedDecisions: 0,
  waits: null,
  waitsChanged: false,
};

/** How many of them are in each phase, as far as that is known. */
export function countPhases(entries: Iterable<Entry>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { loaded } of entries) {
    const phase = loaded?.state.run.phase;
    if (phase) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  }
  return counts;
}
