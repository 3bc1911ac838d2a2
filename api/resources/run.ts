import { type Static, Type } from 'typebox';
import type { WorkflowRun } from '../../crds/workflow-run.ts';
import { Condition } from '../../crds/metadata.ts';
import type { AttemptRow, RunRow, StepRow } from '../../controller/core/run/types.ts';
import { reasons } from '../../controller/core/run/units.ts';
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
  'Compensating',
  'Finalizing',
  'Succeeded',
  'Degraded',
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
  execution: Type.Integer({ description: 'How often it was begun: 1, and one more for each retry.' }),
  priority: Type.Integer({ description: 'Of runs that wait for the same, the higher goes first.' }),
  parent: Nullable(
    Type.Object({
      runId: Type.String(),
      step: Type.String(),
      item: Type.Integer({ description: 'The item of its forEach; -1: the step has none.' }),
      attempt: Type.Integer(),
    }),
    'The step that started it as a child run; null: somebody did.',
  ),
  replayOf: Nullable(Type.String(), 'Id of the recorded run that it replays.'),
  phase: OneOf(runPhases, 'Pending: not yet taken up by the controller, or its workflow is not there yet.'),
  desired: Type.Union([Type.Literal('Running'), Type.Literal('Paused'), Type.Literal('Cancelled')]),
  reason: Nullable(Type.String(), 'Why it was paused or cancelled.'),
  createdAt: TimeString('When it was created.'),
  startedAt: NullableTime('When it left the queue.'),
  finishedAt: NullableTime('When it ended.'),
  durationMs: Nullable(Type.Number(), 'From start to end; null until it has ended.'),
  error: Nullable(ErrorResource, 'Why it did not succeed.'),
  waits: Nullable(
    Type.Object({
      reason: Type.String({ description: 'A word: WorkflowNotFound, WorkflowInvalid, NotPromoted, Paused, ….' }),
      message: Type.String({ description: 'A sentence: what it waits for, and what to do.' }),
    }),
    'Why it has not begun, or is paused; of what its steps wait for its conditions and steps tell.',
  ),
};

export const RunSummary = Type.Object(summary, { ref: 'RunSummary' });
export type RunSummary = Static<typeof RunSummary>;

const Attempt = Type.Object(
  {
    number: Type.Integer({ description: '1 for the first.' }),
    via: Type.String({ description: 'main, fallback[0], … or compensate.' }),
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

/** A step, or one item of its forEach. */
const unit = {
  phase: Type.String({
    description:
      'Pending, Waiting, Running, Retrying, Succeeded, Cached, Skipped, Failed, TimedOut, Cancelled or Compensated.',
  }),
  reason: Nullable(
    Type.String(),
    'A word for the phase: NeedNotMet, ConditionFalse, WaitingForApproval, Stopping (its attempt was told to end), ….',
  ),
  startedAt: NullableTime('When it began.'),
  finishedAt: NullableTime('When it ended.'),
  durationMs: Nullable(Type.Number(), 'Null until it has ended.'),
  until: NullableTime('When the present wait or pause ends.'),
  via: Type.String({ description: 'What it does now, or did last: main, fallback[0], … or compensate.' }),
  iteration: Type.Integer({ description: 'Of `until`, from 1; 0 without.' }),
  outputs: Nullable(AnyObject('By name.'), 'What it yielded; of a forEach its items have them.'),
  error: Nullable(ErrorResource, 'Why it did not succeed.'),
  artifacts: Type.Record(
    Type.String(),
    Type.Object({
      digest: Type.String({ description: 'sha256: and hex of what is kept.' }),
      bytes: Type.Integer(),
      folder: Type.Boolean({ description: 'True for an archive of a folder.' }),
      executable: Type.Optional(Type.Literal(true, { description: 'Of a file that may be run.' })),
    }),
    { description: 'What it has kept, by name.' },
  ),
  attempts: Type.Array(Attempt),
};

export const Item = Type.Object(
  {
    item: Type.Integer({ description: 'Its place, from 0.' }),
    label: Nullable(Type.String(), 'Its key, or its value when that is short.'),
    ...unit,
  },
  { ref: 'Item' },
);
export type Item = Static<typeof Item>;

export const Step = Type.Object(
  {
    name: Type.String(),
    kind: Type.String({ description: `One of ${stepKinds.join(', ')}.` }),
    section: Type.Union([Type.Literal('main'), Type.Literal('finally')]),
    ...unit,
    items: Nullable(
      Type.Object({
        total: Nullable(Type.Integer(), 'How many there are; null until it has begun.'),
        phases: Type.Record(Type.String(), Type.Integer(), {
          description: 'How many items are in which phase; those that have not begun are in none.',
        }),
      }),
      'Of a forEach.',
    ),
    approval: Nullable(
      Type.Object({
        groups: Nullable(Type.Array(Type.String()), 'Approvers must be in one of these; null: anyone.'),
        count: Type.Integer({ description: 'How many must approve.' }),
        missing: Nullable(
          Type.String(),
          'What it waits for now, such as `1 more approval of groups editors`, and what does not count; null unless it waits.',
        ),
      }),
      'For approval steps: what it asks for.',
    ),
  },
  { ref: 'Step' },
);
export type Step = Static<typeof Step>;

export const Run = Type.Object(
  {
    ...summary,
    parentName: Nullable(Type.String(), 'Name of the run whose child it is; null: it is none, or that run is gone.'),
    inputs: AnyObject('As given, with defaults once pinned.'),
    outputs: Nullable(AnyObject('By name.'), 'What the run yielded.'),
    approvals: Type.Array(
      Type.Object({
        step: Type.String(),
        user: Type.String(),
        groups: Type.Optional(Type.Array(Type.String())),
        decision: Type.Union([Type.Literal('Approve'), Type.Literal('Reject')]),
        comment: Type.Optional(Type.String()),
        at: Type.Optional(Type.String()),
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
    priority: Type.Optional(
      Type.Integer({ minimum: -1000, maximum: 1000, description: 'The higher goes first. Default 0.' }),
    ),
    labels: Type.Optional(Type.Record(Type.String(), Type.String({ maxLength: 63 }), { maxProperties: 100 })),
  },
  { ref: 'NewRun' },
);
export type NewRun = Static<typeof NewRun>;

/** A run that does again what was recorded. */
export const NewReplay = only(
  {
    name: Type.Optional(Name('The name of the new run. Default: generated.')),
    version: Type.Optional(
      Type.String({
        pattern: '^sha256:[0-9a-f]{64}$',
        description: "Digest of the version to run. Default: the recorded run's.",
      }),
    ),
    from: Type.Optional(
      Type.String({
        pattern: '^[a-z][a-z0-9_]{0,39}$',
        description: 'Steps that do not come after this one are not run: their recorded outputs are taken.',
      }),
    ),
    inputs: Type.Optional(AnyObject('In place of the recorded ones of these names.')),
  },
  { ref: 'NewReplay' },
);
export type NewReplay = Static<typeof NewReplay>;

export function runSummary(row: RunRow): RunSummary {
  return {
    id: row.id,
    namespace: row.namespace,
    name: row.name,
    workflow: row.workflow,
    digest: row.digest,
    version: row.version,
    environment: row.environment,
    execution: row.execution,
    priority: row.priority,
    parent: row.parent && {
      runId: row.parent.runId,
      step: row.parent.step,
      item: row.parent.item,
      attempt: row.parent.attempt,
    },
    replayOf: row.replayOf,
    phase: row.phase,
    desired: row.desired,
    reason: row.reason,
    createdAt: iso(row.createdAt),
    startedAt: isoOrNull(row.startedAt),
    finishedAt: isoOrNull(row.finishedAt),
    durationMs: duration(row.startedAt, row.finishedAt),
    error: row.error,
    waits:
      row.desired === 'Paused' && row.finishedAt === null
        ? { reason: 'Paused', message: row.reason ?? 'nothing begins until the run is resumed' }
        : null,
  };
}

/** A run that never began: there is only its object, which says so when the run was cancelled before it could. */
export function pendingRun(object: WorkflowRun): RunSummary {
  const finishedAt = object.status?.finishedAt ?? null;
  const told = object.status?.conditions?.find(({ type }) => type === 'Succeeded');
  return {
    id: object.metadata.uid,
    namespace: object.metadata.namespace,
    name: object.metadata.name,
    workflow: object.spec.workflow,
    digest: null,
    version: null,
    environment: null,
    execution: 1,
    priority: object.spec.priority ?? 0,
    parent: null,
    replayOf: object.spec.replay?.run ?? null,
    phase: finishedAt === null ? 'Pending' : 'Cancelled',
    desired: object.spec.desired ?? 'Running',
    reason: object.spec.reason ?? null,
    createdAt: object.metadata.creationTimestamp,
    startedAt: null,
    finishedAt,
    durationMs: null,
    error: null,
    waits: finishedAt === null && told ? { reason: told.reason, message: told.message } : null,
  };
}

/** How many items of a step are in which phase. */
export type ItemPhases = Record<string, number>;

/** What an approval step asks for. */
export function askedBy({ groups, count }: NonNullable<StepSpec['approval']>): {
  groups: string[] | null;
  count: number;
} {
  return { groups: groups ?? null, count: count ?? 1 };
}

/** One step of the version, with its row (none while it is Pending) and its attempts. */
export function stepResource(
  spec: StepSpec,
  section: 'main' | 'finally',
  row: StepRow | undefined,
  attempts: AttemptRow[],
  phases: ItemPhases,
  missing: string | null,
): Step {
  const kind: StepKind | undefined = stepKinds.find((k) => spec[k] !== undefined);
  return {
    name: spec.name,
    kind: kind ?? '',
    section,
    ...unitResource(row, attempts),
    items: spec.forEach ? { total: row?.items ?? null, phases } : null,
    approval: spec.approval ? { ...askedBy(spec.approval), missing } : null,
  };
}

export function itemResource(row: StepRow, attempts: AttemptRow[]): Item {
  return { item: row.item, label: row.label, ...unitResource(row, attempts) };
}

/** What ended it may be a fallback that does nothing, after the last that did something. */
function viaOf({ via, phase, reason, error }: StepRow): string {
  const ended =
    (phase === 'Skipped' && reason === reasons.fallback) || (phase === 'Failed' && error?.type === 'fallback');
  if (!ended) return via;
  const last = /^fallback\[(\d+)\]$/.exec(via)?.[1];
  return `fallback[${last === undefined ? 0 : Number(last) + 1}]`;
}

function unitResource(row: StepRow | undefined, attempts: AttemptRow[]) {
  return {
    phase: row?.phase ?? 'Pending',
    reason: row?.reason ?? (attempts.some(({ phase }) => phase === 'Stopping') ? 'Stopping' : null),
    startedAt: isoOrNull(row?.startedAt ?? null),
    finishedAt: isoOrNull(row?.finishedAt ?? null),
    durationMs: duration(row?.startedAt ?? null, row?.finishedAt ?? null),
    until: isoOrNull(row?.until ?? null),
    via: row ? viaOf(row) : 'main',
    iteration: row?.iteration ?? 0,
    outputs: row?.outputs ?? null,
    error: row?.error ?? null,
    artifacts: row?.artifacts ?? {},
    attempts: attempts
      .toSorted((a, b) => a.number - b.number)
      .map((a) => ({
        number: a.number,
        via: a.via,
        phase: a.phase,
        startedAt: iso(a.startedAt),
        finishedAt: isoOrNull(a.finishedAt),
        durationMs: duration(a.startedAt, a.finishedAt),
        error: a.error,
        imageId: a.imageId,
      })),
  };
}
