import { type Static, Type } from 'typebox';
import type { KindDefinition, WindlassObject } from './metadata.ts';
import { Duration, identifierPattern, MapOf, reconciledStatus, Strict, Text } from './metadata.ts';
import { Any, Image, Retry } from './workflow-bodies.ts';
import { Locks } from './workflow-flow.ts';
import { maxSteps, otherKinds, Step, stepKinds } from './workflow-step.ts';

export {
  type LockSpec,
  type OtherBodySpec,
  otherKinds,
  type RetrySpec,
  type StepKind,
  type StepSpec,
  stepKinds,
} from './workflow-step.ts';

export const WorkflowSpec = Strict(
  {
    description: Type.Optional(Text('What the workflow is for.')),
    files: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 512 }), {
        maxItems: 256,
        description: 'Files and globs relative to this file. All that exists at run time; part of the version.',
      }),
    ),
    inputs: Type.Optional(
      MapOf(Any('JSON Schema of the input.'), {
        description: 'What a run may be given; checked before anything runs.',
        keys: identifierPattern,
      }),
    ),
    outputs: Type.Optional(
      MapOf(Any('The value; strings may contain ${{ }}.'), {
        description: 'What a run yields when it ends well.',
        keys: identifierPattern,
        maxProperties: 50,
      }),
    ),
    timeout: Type.Optional(Duration('Longest time of a run, its time in the queue left out. Default: none.')),
    queueTimeout: Type.Optional(Duration('Longest time in the queue; after it the run is TimedOut. Default: none.')),
    parallelism: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000, description: 'Most steps, items counted each, that run at once.' }),
    ),
    concurrency: Type.Optional(
      Strict(
        {
          group: Type.String({
            minLength: 1,
            maxLength: 253,
            description: 'One run of a group at a time, whatever its version; may contain ${{ }}.',
          }),
          policy: Type.Optional(
            Type.Union([Type.Literal('Queue'), Type.Literal('CancelRunning'), Type.Literal('Reject')], {
              description:
                'What a run does that finds another: waits (the default), cancels the other, or ends Cancelled itself.',
            }),
          ),
        },
        { description: 'Runs that exclude each other.' },
      ),
    ),
    locks: Locks('Held from leaving the queue to the end of the run; all of them or none.'),
    defaults: Type.Optional(
      Strict(
        {
          image: Type.Optional(Image('In a cluster: the image of run steps.')),
          timeout: Type.Optional(Duration('Longest time of one attempt.')),
          retry: Type.Optional(Retry),
        },
        { description: 'For steps that do not say: run, container, http and template.' },
      ),
    ),
    steps: Type.Array(Step, {
      minItems: 1,
      maxItems: maxSteps,
      description: 'The steps; their order is by `needs` and by what their expressions read, not by place.',
    }),
    finally: Type.Optional(
      Type.Array(Step, { maxItems: 50, description: 'Steps that run at the end, whatever happened.' }),
    ),
  },
  { description: 'What a run of it does: inputs, outputs, and steps. One applier owns it whole.' },
);
export type WorkflowSpec = Static<typeof WorkflowSpec>;

export const WorkflowStatus = Strict(
  {
    ...reconciledStatus,
    digest: Type.Optional(Text('Content digest of the version this object holds.', 80)),
  },
  { description: 'Whether it can be run, and as which version.' },
);
export type WorkflowStatus = Static<typeof WorkflowStatus>;
export type Workflow = WindlassObject<'Workflow', WorkflowSpec, WorkflowStatus>;

function exactlyOne(path: string, name: string, fields: readonly string[]): KindDefinition['rules'][number] {
  return {
    path,
    rule: `[${fields.map((field) => `has(self.${field})`).join(', ')}].filter(x, x).size() == 1`,
    message: `${name} has exactly one of ${fields.join(', ')}`,
  };
}

export const workflowKind: KindDefinition = {
  kind: 'Workflow',
  plural: 'workflows',
  singular: 'workflow',
  shortNames: ['wwf'],
  spec: WorkflowSpec,
  status: WorkflowStatus,
  atomicSpec: true,
  rules: (['spec.steps[]', 'spec.finally[]'] as const).flatMap((path) => [
    exactlyOne(path, 'a step', stepKinds),
    exactlyOne(`${path}.wait`, 'wait', ['for', 'until']),
    exactlyOne(`${path}.template`, 'template', ['file', 'text']),
    exactlyOne(`${path}.compensate`, 'compensate', otherKinds),
    exactlyOne(`${path}.compensate.template`, 'template', ['file', 'text']),
    exactlyOne(`${path}.fallback[].template`, 'template', ['file', 'text']),
    exactlyOne(`${path}.fallback[]`, 'a fallback', [...otherKinds, 'skip', 'fail']),
  ]),
  oneOf: ['spec.steps[].forEach', 'spec.finally[].forEach'].map((path) => ({
    path,
    fields: ['items', 'range', 'matrix'],
  })),
  printerColumns: [
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
    { name: 'Digest', type: 'string', jsonPath: '.status.digest', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
};
