import { type Static, Type } from 'typebox';
import type { KindDefinition, WindlassObject } from './metadata.ts';
import {
  Condition,
  Identifier,
  immutable,
  immutableAlways,
  MapOf,
  ObjectName,
  reconciledStatus,
  Strict,
  Text,
  Time,
} from './metadata.ts';

export const Approval = Strict({
  step: Identifier('The step that waits for approval.'),
  user: Text('Who decides.', 253),
  groups: Type.Optional(
    Type.Array(Text('A group.', 253), { maxItems: 100, description: 'The groups of that person.' }),
  ),
  decision: Type.Union([Type.Literal('Approve'), Type.Literal('Reject')], { description: 'What was decided.' }),
  comment: Type.Optional(Text('Why.')),
  execution: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 2_147_483_647,
      description: 'The execution of the run that it is for: what a retry runs again is approved again. Default 1.',
    }),
  ),
  at: Type.Optional(
    Time(
      'When it was decided, as the writer says. It makes an entry another one than that which it takes the place of.',
    ),
  ),
});
export type Approval = Static<typeof Approval>;

export const WorkflowRunSpec = Strict(
  {
    workflow: ObjectName('The Workflow, in the same namespace. Immutable.'),
    inputs: Type.Optional(
      MapOf(Type.Unsafe<unknown>({ 'x-kubernetes-preserve-unknown-fields': true }), {
        description: "Inputs, checked against the workflow's when the run leaves the queue. Immutable.",
      }),
    ),
    priority: Type.Optional(
      Type.Integer({
        minimum: -1000,
        maximum: 1000,
        description: 'Of runs that wait for the same, the higher goes first. Default 0. Immutable.',
      }),
    ),
    replay: Type.Optional(
      Strict(
        {
          run: Text('UID of the recorded run whose inputs and outputs are taken.', 64),
          version: Type.Optional(Text("Content digest to run. Default: the recorded run's.", 80)),
          from: Type.Optional(
            Identifier('Steps that do not come after this one are not run: their recorded outputs are taken.'),
          ),
        },
        { description: 'Runs again what was recorded. Immutable.' },
      ),
    ),
    execution: Type.Optional(
      Strict(
        {
          number: Type.Integer({
            minimum: 1,
            maximum: 10_000,
            description: 'One more than status.execution of an ended run makes it go on.',
          }),
          from: Type.Optional(Identifier('This step, and all that come after it, run again.')),
          onlyFailed: Type.Optional(
            Type.Boolean({ description: 'Only what failed runs again, not what came after it and succeeded.' }),
          ),
        },
        { description: 'Makes an ended run go on, keeping what succeeded.' },
      ),
    ),
    force: Type.Optional(
      Type.Boolean({ description: 'With desired Cancelled: neither compensates nor runs finally.' }),
    ),
    desired: Type.Optional(
      Type.Union([Type.Literal('Running'), Type.Literal('Paused'), Type.Literal('Cancelled')], {
        description: 'What should become of the run. Paused: no attempt begins, running ones end. Default Running.',
      }),
    ),
    reason: Type.Optional(Text('Why it was paused or cancelled.')),
    approvals: Type.Optional(
      Type.Array(Approval, { maxItems: 100, description: 'Decisions on steps that wait for approval.' }),
    ),
  },
  { description: 'What to run, with which inputs, and what should become of the run.' },
);
export type WorkflowRunSpec = Static<typeof WorkflowRunSpec>;

export const WorkflowRunStatus = Strict(
  {
    observedGeneration: reconciledStatus.observedGeneration,
    phase: Type.Optional(
      Text(
        'Pending, Queued, Running, Compensating, Finalizing, Succeeded, Degraded, Failed, Cancelled or TimedOut.',
        32,
      ),
    ),
    reason: Type.Optional(
      Text(
        'The word of the condition that tells most at present: Parked, HistoryLost, ExecutionRefused, Paused, NoSuchApproval, ApprovalsNotBelieved, WaitingForApproval, else that of Succeeded.',
        1024,
      ),
    ),
    progress: Type.Optional(Text('Steps ended over steps in all, such as 7/10.', 32)),
    digest: Type.Optional(Text('Content digest of the version that runs.', 80)),
    version: Type.Optional(Text('A name of that version: tag or commit.', 253)),
    shortVersion: Type.Optional(Text('That name in short; of a version without a name its digest in short.', 253)),
    environment: Type.Optional(Text('The environment whose version runs, if any.', 253)),
    revision: Type.Optional(Type.Integer({ description: 'Raised by every recorded decision.' })),
    execution: Type.Optional(Type.Integer({ description: 'Counts how often the run was begun; 1 at first.' })),
    startedAt: Type.Optional(Time('When it left the queue.')),
    finishedAt: Type.Optional(Time('When it ended.')),
    outputs: Type.Optional(
      Type.Unsafe<unknown>({
        description: 'The outputs, when small; whole in the history.',
        'x-kubernetes-preserve-unknown-fields': true,
      }),
    ),
    failedSteps: Type.Optional(
      Type.Array(Text('A step.', 40), { maxItems: 10, description: 'The first steps that failed.' }),
    ),
    conditions: Type.Optional(
      Type.Array(Condition, {
        maxItems: 16,
        description:
          'Succeeded, Finished, Reconciling, Stalled, WaitingForApproval, ApprovalsIgnored, Paused, Compensated, ExecutionRefused, LogsUnmasked.',
      }),
    ),
  },
  {
    description:
      'How far the run is, which version it executes, and how it ended. Its steps are in the history: `windlass get steps`.',
  },
);
export type WorkflowRunStatus = Static<typeof WorkflowRunStatus>;
export type WorkflowRun = WindlassObject<'WorkflowRun', WorkflowRunSpec, WorkflowRunStatus>;

export const workflowRunKind: KindDefinition = {
  kind: 'WorkflowRun',
  plural: 'workflowruns',
  singular: 'workflowrun',
  shortNames: ['wrun'],
  spec: WorkflowRunSpec,
  status: WorkflowRunStatus,
  atomicSpec: false,
  rules: [
    {
      path: 'spec',
      rule: '!has(self.force) || !self.force || (has(self.desired) && self.desired == "Cancelled")',
      message: 'force goes with desired Cancelled',
    },
    immutable('priority'),
    immutable('replay'),
    immutableAlways('workflow'),
    immutable('inputs'),
  ],
  printerColumns: [
    { name: 'Workflow', type: 'string', jsonPath: '.spec.workflow' },
    { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
    { name: 'Reason', type: 'string', jsonPath: '.status.reason' },
    { name: 'Progress', type: 'string', jsonPath: '.status.progress' },
    { name: 'Version', type: 'string', jsonPath: '.status.shortVersion' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
};
