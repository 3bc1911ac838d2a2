import { type Static, Type } from 'typebox';
import type { KindDefinition, WindlassObject } from './metadata.ts';
import {
  Condition,
  Duration,
  Identifier,
  identifierPattern,
  imagePattern,
  longestImage,
  MapOf,
  ObjectName,
  Strict,
  Text,
} from './metadata.ts';

/** Most steps a workflow may have, `finally` counted apart. */
export const maxSteps = 500;

const Any = (description: string) =>
  Type.Unsafe<unknown>({ description, 'x-kubernetes-preserve-unknown-fields': true });

const Expression = (description: string) => Type.String({ minLength: 1, maxLength: 4096, description });

export const Backoff = Strict(
  {
    initial: Type.Optional(Duration('Pause before the first retry. Default 1s.')),
    factor: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: 100,
        description: 'Each pause is this many times the one before. Default 2.',
      }),
    ),
    max: Type.Optional(Duration('Longest pause. Default 1m.')),
    jitter: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description: 'Share of the pause that varies, fixed for a given run, step and attempt. Default 0.2.',
      }),
    ),
  },
  { description: 'How long to pause between attempts.' },
);

export const Retry = Strict(
  {
    limit: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 100, description: 'Attempts after the first. Default 0.' }),
    ),
    backoff: Type.Optional(Backoff),
    if: Type.Optional(Expression('CEL over `error` and `attempt`: retry only when true. Default error.retryable.')),
  },
  { description: 'What to do when an attempt fails.' },
);

export const SecretKeyRef = Strict(
  {
    name: ObjectName("The Secret, in the run's namespace."),
    key: Type.String({ minLength: 1, maxLength: 253, pattern: '^[-._a-zA-Z0-9]+$', description: 'The key in it.' }),
  },
  { description: 'A reference to one key of a Secret. Its value is never stored.' },
);

const Assertion = Strict({
  that: Expression('CEL that must be true.'),
  message: Type.Optional(Text('Shown when it is not; may contain ${{ }}.')),
});

const DecideCase = Strict({
  if: Type.Optional(Expression('CEL; without it the case always matches.')),
  then: MapOf(Any('The value; strings may contain ${{ }}.'), {
    description: 'The outputs when this case is the first to match.',
    keys: identifierPattern,
    maxProperties: 50,
  }),
});

const Http = Strict(
  {
    method: Type.Optional(
      Type.Union(
        [
          Type.Literal('GET'),
          Type.Literal('HEAD'),
          Type.Literal('POST'),
          Type.Literal('PUT'),
          Type.Literal('PATCH'),
          Type.Literal('DELETE'),
        ],
        { description: 'Default GET.' },
      ),
    ),
    url: Text('Absolute http or https URL; may contain ${{ }}.', 8192),
    headers: Type.Optional(MapOf(Text('The value; may contain ${{ }}.', 8192), { description: 'Request headers.' })),
    secretHeaders: Type.Optional(
      MapOf(
        Strict({
          name: SecretKeyRef.properties.name,
          key: SecretKeyRef.properties.key,
          prefix: Type.Optional(Text('Put before the value, such as "Bearer ".', 64)),
        }),
        { description: "Request headers whose value is a Secret's.", maxProperties: 20 },
      ),
    ),
    body: Type.Optional(Any('A string is sent as it is, anything else as JSON; strings may contain ${{ }}.')),
    expect: Type.Optional(
      Type.Array(Type.String({ pattern: '^[1-5]([0-9]{2}|xx)$' }), {
        minItems: 1,
        maxItems: 20,
        description: 'Statuses that count as success. Default ["2xx"].',
      }),
    ),
    requestTimeout: Type.Optional(Duration('Longest time for one request, redirects included. Default 30s.')),
  },
  { description: 'One HTTP request by the controller. Outputs: status, headers, body (parsed if JSON).' },
);

const Template = Strict(
  {
    file: Type.Optional(Text('A file named by `files`, holding a Jinja2 template.', 512)),
    text: Type.Optional(Text('The Jinja2 template itself.', 65536)),
    vars: Type.Optional(
      MapOf(Any('The value; strings may contain ${{ }}.'), {
        description: 'What the template sees.',
        keys: '^[A-Za-z_][A-Za-z0-9_]{0,63}$',
      }),
    ),
  },
  { description: 'Renders a Jinja2 template, sandboxed and strict. Output: text.' },
);

const Wait = Strict(
  {
    for: Type.Optional(Duration('Wait this long.')),
    until: Type.Optional(Text('Wait until this RFC 3339 instant; may be ${{ }}.', 4096)),
  },
  { description: 'Waits, holding nothing.' },
);

const StepApproval = Strict(
  {
    groups: Type.Optional(
      Type.Array(Text('A group.', 253), {
        minItems: 1,
        maxItems: 50,
        description: 'Approvers must be in one of these. Default: anyone who may approve.',
      }),
    ),
    count: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 20, description: 'How many people must approve. Default 1.' }),
    ),
    timeout: Type.Optional(Duration('Without enough approvals by then the step is TimedOut. Default: waits on.')),
  },
  { description: 'Waits until enough people approve; one rejection fails the step.' },
);

const Quantities = (description: string) =>
  MapOf(Any('A quantity, such as 100m, 2 or 64Mi.'), { description, maxProperties: 20 });

const Resources = Strict(
  {
    requests: Type.Optional(Quantities('What its node sets aside for it.')),
    limits: Type.Optional(Quantities('What it may use at most.')),
  },
  { description: 'In a cluster: CPU, memory and other resources of the Pod.' },
);

/** What cannot be an image, a `${{ }}` among it, is seen before any node tries to pull it. */
const Image = (description: string) => Type.String({ pattern: imagePattern, maxLength: longestImage, description });

const Toleration = Strict({
  key: Type.Optional(Text('The taint; without it any.', 316)),
  operator: Type.Optional(
    Type.Union([Type.Literal('Equal'), Type.Literal('Exists'), Type.Literal('Lt'), Type.Literal('Gt')], {
      description: 'Default Equal.',
    }),
  ),
  value: Type.Optional(Text('The value of the taint.', 63)),
  effect: Type.Optional(
    Type.Union([Type.Literal('NoSchedule'), Type.Literal('PreferNoSchedule'), Type.Literal('NoExecute')], {
      description: 'Without it any.',
    }),
  ),
  tolerationSeconds: Type.Optional(Type.Integer({ description: 'How long it stays on such a node.' })),
});

/** Where and as what a `run` step runs in a cluster. On a laptop, where it is a process, nothing of this applies. */
const podFields = {
  image: Type.Optional(
    Image("In a cluster: the image, which has a `sh`. Default: defaults.image, else the controller's."),
  ),
  resources: Type.Optional(Resources),
  nodeSelector: Type.Optional(
    MapOf(Type.String({ maxLength: 63 }), { description: 'In a cluster: labels of the nodes it may run on.' }),
  ),
  tolerations: Type.Optional(
    Type.Array(Toleration, { maxItems: 50, description: 'In a cluster: taints of nodes that do not keep it away.' }),
  ),
  affinity: Type.Optional(Any("In a cluster: the Pod's affinity, as Kubernetes has it.")),
  volumes: Type.Optional(
    Type.Array(Any('A volume of Kubernetes with mountPath, and readOnly or subPath if wanted.'), {
      maxItems: 20,
      description: 'In a cluster: volumes, each with where it is mounted.',
    }),
  ),
  imagePullSecrets: Type.Optional(
    Type.Array(ObjectName("The Secret, in the run's namespace."), {
      maxItems: 10,
      description: 'In a cluster: Secrets that its image is pulled with.',
    }),
  ),
  serviceAccountName: Type.Optional(
    ObjectName('In a cluster: an account that the namespace lends to steps. Default: `default`, without its token.'),
  ),
  security: Type.Optional(
    Type.Union([Type.Literal('restricted'), Type.Literal('baseline')], {
      description:
        'In a cluster: restricted (the default) runs as user 65532 without capabilities; baseline runs as the image says.',
    }),
  ),
  podTemplate: Type.Optional(
    Any('In a cluster: metadata and spec of the Pod for what has no field here; its container is named `step`.'),
  ),
};

export const Step = Strict({
  name: Identifier('The name, unique in the workflow.'),
  if: Type.Optional(Expression('CEL; the step is Skipped unless true. Evaluated when all needs have ended.')),
  needs: Type.Optional(
    Type.Array(Identifier('A step.'), {
      maxItems: maxSteps,
      description: 'Steps that must end first. Steps that expressions refer to are needed by themselves.',
    }),
  ),
  timeout: Type.Optional(Duration('Longest time of one attempt. Default 1h.')),
  deadline: Type.Optional(Duration('Longest time of the whole step, retries and pauses included. Default: none.')),
  retry: Type.Optional(Retry),
  env: Type.Optional(
    MapOf(Text('The value; may contain ${{ }}.', 32768), {
      description: 'Environment of the script.',
      keys: '^[A-Za-z_][A-Za-z0-9_]{0,127}$',
    }),
  ),
  secrets: Type.Optional(
    MapOf(SecretKeyRef, {
      description: 'Environment of the script, from Secrets.',
      keys: '^[A-Za-z_][A-Za-z0-9_]{0,127}$',
      maxProperties: 50,
    }),
  ),
  outputs: Type.Optional(
    MapOf(Any('JSON Schema of the value.'), {
      description: 'What the script writes to $WINDLASS_OUTPUT.',
      keys: identifierPattern,
      maxProperties: 50,
    }),
  ),
  run: Type.Optional(Type.String({ minLength: 1, maxLength: 65536, description: 'A shell script.' })),
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

export const WorkflowSpec = Strict({
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
  timeout: Type.Optional(Duration('Longest time of a run. Default: none.')),
  defaults: Type.Optional(
    Strict(
      {
        image: Type.Optional(Image('In a cluster: the image of run steps.')),
        timeout: Type.Optional(Duration('Longest time of one attempt.')),
        retry: Type.Optional(Retry),
      },
      { description: 'For steps that do not say: run, http and template.' },
    ),
  ),
  steps: Type.Array(Step, {
    minItems: 1,
    maxItems: maxSteps,
    description: 'The steps; their order is by `needs`, not by place.',
  }),
  finally: Type.Optional(
    Type.Array(Step, { maxItems: 50, description: 'Steps that run at the end, whatever happened.' }),
  ),
});
export type WorkflowSpec = Static<typeof WorkflowSpec>;
export type StepSpec = Static<typeof Step>;
export type RetrySpec = Static<typeof Retry>;

export const WorkflowStatus = Strict({
  observedGeneration: Type.Optional(Type.Integer({ description: 'The generation this status was computed from.' })),
  lastHandledReconcileAt: Type.Optional(
    Text('The last value of the annotation windlass.dev/requestedAt that was acted upon.', 253),
  ),
  digest: Type.Optional(Text('Content digest of the version this object holds.', 80)),
  conditions: Type.Optional(Type.Array(Condition, { maxItems: 16, description: 'Ready, Reconciling, Stalled.' })),
});
export type WorkflowStatus = Static<typeof WorkflowStatus>;
export type Workflow = WindlassObject<'Workflow', WorkflowSpec, WorkflowStatus>;

/** The step kinds: exactly one of these fields is set in a step. */
export const stepKinds = ['run', 'assert', 'decide', 'http', 'template', 'wait', 'approval'] as const;
export type StepKind = (typeof stepKinds)[number];

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
  ]),
  printerColumns: [
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
    { name: 'Digest', type: 'string', jsonPath: '.status.digest', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
};
