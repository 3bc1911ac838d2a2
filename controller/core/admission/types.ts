import type { Holder, LockRequest, StepError } from '../run/types.ts';
import type { Instant } from '../time.ts';

/** What one run, or one unit of a run, asks for or holds. */
export interface LockClaim {
  /** Names the node of its tree of runs: see `nodeOf`. Unique among holders and waiters. */
  id: string;
  runId: string;
  holder: Holder;
  /** Nodes above it, in any order: a unit's run, the unit whose child that run is, and so on. What they hold, it holds, too. */
  ancestors: string[];
  /** What people call it: `run nightly-7`, or `step load of run nightly-7`. */
  label: string;
  priority: number;
  since: Instant;
  request: LockRequest;
  /** Its run was told to end because another one of its group takes its place. */
  superseded: boolean;
  /** It undoes what was done, or is part of that: refused, it leaves behind what should be gone. */
  compensates: boolean;
}

/** Everything that asks for or holds anything in one namespace of one home. */
export interface AdmissionFacts {
  holders: LockClaim[];
  waiters: LockClaim[];
  /** Most running steps of the namespace, at least 1; null: any number. */
  slots: number | null;
}

export interface AdmissionDecision {
  /** Waiters that hold from now on, in the order they were granted. */
  granted: LockClaim[];
  /** Waiters that wait no longer: what they ask for cannot be had. */
  refused: { claim: LockClaim; error: StepError }[];
  /** Claims whose run is to be cancelled, and what to say as the reason. */
  superseded: { claim: LockClaim; reason: string }[];
}

/** The id of a run's or unit's node. Step names have no slash. */
export function nodeOf(runId: string, holder: Holder): string {
  return holder.step === null ? runId : `${runId}/${holder.step}/${holder.item}`;
}
