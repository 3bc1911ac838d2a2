import type { RunRow } from './types.ts';

/** What is pinned when a run leaves the queue. `inputs` are checked, with defaults filled in (`plan.checkInputs`). */
export type NewRun = Pick<
  RunRow,
  | 'id'
  | 'namespace'
  | 'name'
  | 'workflow'
  | 'digest'
  | 'version'
  | 'environment'
  | 'environmentUid'
  | 'values'
  | 'inputs'
  | 'createdAt'
>;

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
    logsUnmasked: null,
    revision: 0,
  };
}
