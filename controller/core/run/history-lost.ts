import type { JsonObject } from '../../../crds/json.ts';
import type { WorkflowRun, WorkflowRunStatus } from '../../../crds/workflow-run.ts';
import type { Instant } from '../time.ts';
import { newRun } from './create.ts';
import { isFinished, type RunOutcome, type RunPhase, type RunRow } from './types.ts';

/**
 * What a run's object and its row say of each other.
 * New: nothing was recorded yet. Known: the row is all there is to know. Ended: the object has seen the end of the run,
 * and the row has not. Lost: the object has seen more than the row, as after restoring an older database.
 */
export type HistoryVerdict = 'New' | 'Known' | 'Ended' | 'Lost';

/** Compares the status of a run with its row; null: there is none. Statuses are written after commits, so that one ahead of its row proves a loss. */
export function judgeHistory(
  status: WorkflowRunStatus | undefined,
  row: Pick<RunRow, 'revision'> | null,
): HistoryVerdict {
  const seen = status?.revision;
  const ended = status?.conditions?.some(({ type, status }) => type === 'Finished' && status === 'True') ?? false;
  // It waited, or was cancelled, before anything was recorded.
  if (seen === undefined) return row === null && !ended ? 'New' : 'Known';
  if (row !== null && seen <= row.revision) return 'Known';
  return ended ? 'Ended' : 'Lost';
}

/**
 * The row of a run that has ended, from its object alone: `before` is what is recorded of it, if anything. Its steps
 * stay unknown. `owner` is the environment of its namespace; `now` stands in for an end without an instant.
 */
export function endedRow(
  { metadata, spec, status }: WorkflowRun,
  before: RunRow | null,
  now: Instant,
  owner: { environment: string; uid: string } | null = null,
): RunRow {
  const phase = finishedPhase(status?.phase);
  const row =
    before ??
    newRun({
      id: metadata.uid,
      namespace: metadata.namespace,
      name: metadata.name,
      workflow: spec.workflow,
      digest: status?.digest ?? '',
      version: status?.version ?? null,
      environment: status?.environment ?? null,
      environmentUid: owner && owner.environment === status?.environment ? owner.uid : null,
      values: {},
      inputs: (spec.inputs ?? {}) as JsonObject,
      createdAt: Date.parse(metadata.creationTimestamp),
    });
  const why = status?.conditions?.find(({ type }) => type === 'Succeeded')?.message ?? '';
  return {
    ...row,
    phase,
    desired: spec.desired ?? 'Running',
    reason: spec.reason ?? null,
    startedAt: row.startedAt ?? instantOf(status?.startedAt),
    finishedAt: instantOf(status?.finishedAt) ?? now,
    standsSince: null,
    execution: Math.max(row.execution, status?.execution ?? 1),
    outcome: phase,
    error:
      phase === 'Succeeded' || phase === 'Degraded' ? null : { type: 'historyLost', message: why, retryable: false },
    outputs: (status?.outputs ?? null) as JsonObject | null,
    revision: Math.max(row.revision + 1, status?.revision ?? 0),
  };
}

/** What a person reads who has to decide. */
export function lostMessage(status: WorkflowRunStatus | undefined, row: Pick<RunRow, 'revision'> | null): string {
  const recorded = row === null ? 'nothing of it is recorded' : `only revision ${row.revision} is recorded`;
  return (
    `the run has come to revision ${status?.revision ?? 0}, but ${recorded}, as after restoring an older database; ` +
    'nothing is started, as it may have run already. Set spec.desired to Cancelled, or delete the run, and create another'
  );
}

function finishedPhase(text: string | undefined): RunOutcome {
  const phase = text as RunPhase;
  return isFinished(phase) ? (phase as RunOutcome) : 'Failed';
}

function instantOf(text: string | undefined): Instant | null {
  const at = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(at) ? null : at;
}
