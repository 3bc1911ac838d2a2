import { type Static, Type } from 'typebox';
import type { WorkflowRun } from '../../crds/workflow-run.ts';
import { Condition } from '../../crds/metadata.ts';
import type { AttemptRow, RunRow, StepRow } from '../../controller/core/run/types.ts';
import { type StepKind, stepKinds, type StepSpec } from '../../crds/workflow.ts';
import { only } from '../route.ts';
import {
  AnyObject,
  duration,
  ErrorResource,
  iso,
  isoOrNull,
  Name,
  Nullable,
  OneOf,
  NullableTime,
  TimeString,
} from './shared.ts';

export const runPhases = [
  'Pending',
  'Queued',
  'Running',
  'Finalizing',
  'Succeeded',
  'Failed',
  'Cancelled',
  'TimedOut',
] as const;
export type RunResourcePhase = (typeof runPhases)[number];

const summary = {
  id: Type.String({ description: 'UID of the WorkflowRun.' }),
  namespace: Type.String(),
  name: Type.String(),
  workflow: Type.String(),
  digest: Nullable(Type.String(), 'Content digest of the version that runs; null until it is pinned.'),
  version: Nullable(Type.String(), 'A name of that version: tag or commit.'),
  environment: Nullable(Type.String(), 'The environment whose version runs.'),
  phase: OneOf(runPhases, 'Pending: not yet taken up by the controller, or its workflow is not there yet.'),
  desired: Type.Union([Type.Literal('Running'), Type.Literal('Paused'), Type.Literal('Cancelled')]),
  reason: Nullable(Type.String(), 'Why it was paused or cancelled.'),
  createdAt: TimeString('When it was created.'),
  startedAt: NullableTime('When it left the queue.'),
  finishedAt: NullableTime('When it ended.'),
  durationMs: Nullable(Type.Number(), 'From start to end; null until it has ended.'),
  error: Nullable(ErrorResource, 'Why it did not succeed.'),
};

export const RunSummary = Type.Object(summary, { ref: 'RunSummary' });
export type RunSummary = Static<typeof RunSummary>;

const Attempt = Type.Object(
  {
    number: Type.Integer({ description: '1 for the first.' }),
    phase: Type.String({ description: 'Starting, Stopping, Succeeded, Failed, TimedOut or Cancelled.' }),
    startedAt: TimeString('When it was begun.'),
    finishedAt: NullableTime('When it ended.'),
    durationMs: Nullable(Type.Number(), 'Null until it has ended.'),
    error: Nullable(ErrorResource, 'Why it did not succeed.'),
    imageId: Nullable(
      Type.String(),
      'The image that ran, by digest, as the node has it; null without a container, or when it never began.',
    ),
  },
  { ref: 'Attempt' },
);

export const Step = Type.Object(
  {
    name: Type.String(),
    kind: Type.String({ description: `One of ${stepKinds.join(', ')}.` }),
    section: Type.Union([Type.Literal('main'), Type.Literal('finally')]),
    phase: Type.String({
      description: 'Pending, Waiting, Running, Retrying, Succeeded, Skipped, Failed, TimedOut or Cancelled.',
    }),
    reason: Nullable(Type.String(), 'A word for the phase: NeedNotMet, ConditionFalse, WaitingForApproval, ….'),
    startedAt: NullableTime('When it began.'),
    finishedAt: NullableTime('When it ended.'),
    durationMs: Nullable(Type.Number(), 'Null until it has ended.'),
    until: NullableTime('When the present wait or pause ends.'),
    outputs: Nullable(AnyObject('By name.'), 'What it yielded.'),
    error: Nullable(ErrorResource, 'Why it did not succeed.'),
    approval: Nullable(
      Type.Object({
        groups: Nullable(Type.Array(Type.String()), 'Approvers must be in one of these; null: anyone.'),
        count: Type.Integer({ description: 'How many must approve.' }),
      }),
      'For approval steps: what it asks for.',
    ),
    attempts: Type.Array(Attempt),
  },
  { ref: 'Step' },
);
export type Step = Static<typeof Step>;

export const Run = Type.Object(
  {
    ...summary,
    inputs: AnyObject('As given, with defaults once pinned.'),
    outputs: Nullable(AnyObject('By name.'), 'What the run yielded.'),
    approvals: Type.Array(
      Type.Object({
        step: Type.String(),
        user: Type.String(),
        groups: Type.Optional(Type.Array(Type.String())),
        decision: Type.Union([Type.Literal('Approve'), Type.Literal('Reject')]),
        comment: Type.Optional(Type.String()),
      }),
    ),
    conditions: Type.Array(Type.Unsafe<Condition>({ ...Condition, ref: 'Condition' })),
    deleted: Type.Boolean({ description: 'True when the WorkflowRun object is gone and this is its history.' }),
    steps: Type.Array(Step, { description: 'Every step, in the order of the file, `finally` last.' }),
  },
  { ref: 'Run' },
);
export type Run = Static<typeof Run>;

export const NewRun = only(
  {
    workflow: Name('A Workflow in this namespace.'),
    inputs: Type.Optional(AnyObject("Checked against the workflow's inputs when the run leaves the queue.")),
    name: Type.Optional(Name('The name of the run; taken: 409. Default: generated.')),
    generateName: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9][-a-z0-9.]*$',
        maxLength: 240,
        description: 'Prefix of a generated name. Default: the workflow and a dash.',
      }),
    ),
    labels: Type.Optional(Type.Record(Type.String(), Type.String({ maxLength: 63 }), { maxProperties: 100 })),
  },
  { ref: 'NewRun' },
);
export type NewRun = Static<typeof NewRun>;

export function runSummary(row: RunRow): RunSummary {
  return {
    id: row.id,
    namespace: row.namespace,
    name: row.name,
    workflow: row.workflow,
    digest: row.digest,
    version: row.version,
    environment: row.environment,
    phase: row.phase,
    desired: row.desired,
    reason: row.reason,
    createdAt: iso(row.createdAt),
    startedAt: isoOrNull(row.startedAt),
    finishedAt: isoOrNull(row.finishedAt),
    durationMs: duration(row.startedAt, row.finishedAt),
    error: row.error,
  };
}

/** A run that never began: there is only its object, which says so when the run was cancelled before it could. */
export function pendingRun(object: WorkflowRun): RunSummary {
  const finishedAt = object.status?.finishedAt ?? null;
  return {
    id: object.metadata.uid,
    namespace: object.metadata.namespace,
    name: object.metadata.name,
    workflow: object.spec.workflow,
    digest: null,
    version: null,
    environment: null,
    phase: finishedAt === null ? 'Pending' : 'Cancelled',
    desired: object.spec.desired ?? 'Running',
    reason: object.spec.reason ?? null,
    createdAt: object.metadata.creationTimestamp,
    startedAt: null,
    finishedAt,
    durationMs: null,
    error: null,
  };
}

/** One step of the version, with its row (none while it is Pending) and its attempts. */
export function stepResource(
  spec: StepSpec,
  section: 'main' | 'finally',
  row: StepRow | undefined,
  attempts: AttemptRow[],
): Step {
  const kind: StepKind | undefined = stepKinds.find((k) => spec[k] !== undefined);
  return {
    name: spec.name,
    kind: kind ?? '',
    section,
    phase: row?.phase ?? 'Pending',
    reason: row?.reason ?? null,
    startedAt: isoOrNull(row?.startedAt ?? null),
    finishedAt: isoOrNull(row?.finishedAt ?? null),
    durationMs: duration(row?.startedAt ?? null, row?.finishedAt ?? null),
    until: isoOrNull(row?.until ?? null),
    outputs: row?.outputs ?? null,
    error: row?.error ?? null,
    approval: spec.approval ? { groups: spec.approval.groups ?? null, count: spec.approval.count ?? 1 } : null,
    attempts: attempts
      .toSorted((a, b) => a.number - b.number)
      .map((a) => ({
        number: a.number,
        phase: a.phase,
        startedAt: iso(a.startedAt),
        finishedAt: isoOrNull(a.finishedAt),
        durationMs: duration(a.startedAt, a.finishedAt),
        error: a.error,
        imageId: a.imageId,
      })),
  };
}
