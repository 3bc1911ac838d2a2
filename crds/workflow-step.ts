import { type Static, Type } from 'typebox';
import { Duration, Identifier, identifierPattern, MapOf, Strict, Text } from './metadata.ts';
import {
  Any,
  Assertion,
  ChildWorkflow,
  Container,
  DecideCase,
  Expression,
  Http,
  podFields,
  Retry,
  SecretKeyRef,
  StepApproval,
  Template,
  Wait,
} from './workflow-bodies.ts';
import { Artifacts, Cache, ForEach, type Lock, Locks, Until } from './workflow-flow.ts';

/** Most steps a workflow may have, `finally` counted apart. */
export const maxSteps = 500;

const environmentKeys = '^[A-Za-z_][A-Za-z0-9_]{0,127}$';

/** What a fallback or a compensation does: it has the env, secrets and Pod settings of its step. */
const otherBody = {
  env: Type.Optional(
    MapOf(Text('The value; may contain ${{ }}.', 32768), {
      description: "Environment of the script or container, before the step's own of the same name.",
      keys: environmentKeys,
    }),
  ),
  run: Type.Optional(Type.String({ minLength: 1, maxLength: 65536, description: 'A shell script.' })),
  container: Type.Optional(Container),
  http: Type.Optional(Http),
  template: Type.Optional(Template),
  workflow: Type.Optional(ChildWorkflow),
  timeout: Type.Optional(Duration("Longest time of one attempt. Default: the step's.")),
  retry: Type.Optional(Retry),
};

const Fallback = Strict(
  {
    ...otherBody,
    skip: Type.Optional(
      Type.Literal(true, { description: 'true: the step is Skipped, which meets the need of others.' }),
    ),
    fail: Type.Optional(Text('The step fails with this message; may contain ${{ }}.')),
  },
  {
    description:
      'Exactly one of run, container, http, template, workflow, skip and fail; its expressions may read `error`.',
  },
);

const Compensation = Strict(otherBody, {
  description:
    'Undoes the step when the run ends badly, and may read its outputs. Exactly one of run, container, http, template and workflow.',
});

export const Step = Strict({
  name: Identifier('The name, unique in the workflow.'),
  if: Type.Optional(Expression('CEL; the step is Skipped unless true. Evaluated when all needs have ended.')),
  needs: Type.Optional(
    Type.Array(Identifier('A step.'), {
      maxItems: maxSteps,
      description: 'Steps that must end first. Steps that expressions refer to are needed by themselves.',
    }),
  ),
  timeout: Type.Optional(Duration('Longest time of one attempt. Default 1h; of a child run none but its own.')),
  deadline: Type.Optional(Duration('Longest time of the whole step, retries and pauses included. Default: none.')),
  retry: Type.Optional(Retry),
  env: Type.Optional(
    MapOf(Text('The value; may contain ${{ }}.', 32768), {
      description: 'Environment of the script or container.',
      keys: environmentKeys,
    }),
  ),
  secrets: Type.Optional(
    MapOf(SecretKeyRef, {
      description: 'Environment of the script or container, from Secrets.',
      keys: environmentKeys,
      maxProperties: 50,
    }),
  ),
  outputs: Type.Optional(
    MapOf(Any('JSON Schema of the value.'), {
      description: 'What the script or container writes to $WINDLASS_OUTPUT.',
      keys: identifierPattern,
      maxProperties: 50,
    }),
  ),
  forEach: Type.Optional(ForEach),
  until: Type.Optional(Until),
  criticality: Type.Optional(
    Type.Union([Type.Literal('critical'), Type.Literal('high'), Type.Literal('medium'), Type.Literal('low')], {
      description:
        'What a failure does: critical stops the run at once; high (the default) fails it; medium skips what needs the step, low does not even that: the run is Degraded.',
    }),
  ),
  fallback: Type.Optional(
    Type.Array(Fallback, {
      minItems: 1,
      maxItems: 3,
      description: 'Tried in order when the step has failed for good.',
    }),
  ),
  compensate: Type.Optional(Compensation),
  locks: Locks('Held from the beginning of the step to its end; and again while it is compensated.'),
  cache: Type.Optional(Cache),
  artifacts: Type.Optional(Artifacts),
  run: Type.Optional(Type.String({ minLength: 1, maxLength: 65536, description: 'A shell script.' })),
  container: Type.Optional(Container),
  workflow: Type.Optional(ChildWorkflow),
  shell: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 256 }), {
      minItems: 1,
      maxItems: 10,
      description: 'The command that gets the script as its last argument. Default [sh, -ec].',
    }),
  ),
  ...podFields,
  assert: Type.Optional(
    Type.Array(Assertion, { minItems: 1, maxItems: 100, description: 'Conditions that must hold.' }),
  ),
  decide: Type.Optional(
    Strict(
      { cases: Type.Array(DecideCase, { minItems: 1, maxItems: 100, description: 'The cases, in order.' }) },
      { description: 'A decision table: the first case that matches gives the outputs.' },
    ),
  ),
  http: Type.Optional(Http),
  template: Type.Optional(Template),
  wait: Type.Optional(Wait),
  approval: Type.Optional(StepApproval),
});

export type StepSpec = Static<typeof Step>;
export type RetrySpec = Static<typeof Retry>;
export type LockSpec = Static<typeof Lock>;
/** What a fallback or a compensation may be; `skip` and `fail` of a fallback are none. */
export type OtherBodySpec = Static<typeof Compensation>;

/** The step kinds: exactly one of these fields is set in a step. */
export const stepKinds = [
  'run',
  'container',
  'workflow',
  'assert',
  'decide',
  'http',
  'template',
  'wait',
  'approval',
] as const;
export type StepKind = (typeof stepKinds)[number];

/** What a fallback or a compensation may be. */
export const otherKinds = ['run', 'container', 'http', 'template', 'workflow'] as const;
