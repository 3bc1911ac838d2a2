import type { RunRow } from './types.ts';

/** What is pinned when a run is recorded. A child run has a parent, root and depth besides. `inputs` are checked, with defaults filled in (`plan.checkInputs`). */
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
> &
  Partial<Pick<RunRow, 'queuedAt' | 'priority' | 'parent' | 'root' | 'rootName' | 'depth' | 'replayOf'>>;

/** The row of a run that has not begun: Queued, until it has what it must hold. */
export function newRun(run: NewRun): RunRow {
  return {
    priority: 0,
    execution: 1,
    queuedAt: run.createdAt,
    parent: null,
    root: run.id,
    rootName: run.name,
    depth: 0,
    replayOf: null,
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
    forced: false,
    compensatingAt: null,
    finalizingAt: null,
    outputs: null,
    logsUnmasked: null,
    revision: 0,
  };
}
