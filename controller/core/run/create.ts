import type { JsonObject } from '../../../crds/json.ts';
import type { Instant } from '../time.ts';
import type { RunRow } from './types.ts';

/** What is pinned when a run leaves the queue. */
export interface NewRun {
  /** UID of the WorkflowRun object. */
  id: string;
  namespace: string;
  name: string;
  workflow: string;
  digest: string;
  /** A name of the version, for people. */
  version: string | null;
  environment: string | null;
  values: JsonObject;
  /** Checked, with defaults filled in (`plan.checkInputs`). */
  inputs: JsonObject;
  /** When the object was created; its UTC date is `run.date`. */
  createdAt: Instant;
}

/** The row of a run that has not begun: Queued, until its first decision makes it Running. */
export function newRun(run: NewRun): RunRow {
  return {
    ...run,
    phase: 'Queued',
    desired: 'Running',
    reason: null,
    date: new Date(run.createdAt).toISOString().slice(0, 10),
    startedAt: null,
    finishedAt: null,
    stoodMs: 0,
    standsSince: null,
    outcome: null,
    error: null,
    finalizingAt: null,
    outputs: null,
    revision: 0,
  };
}
