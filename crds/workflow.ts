import { type Static, Type } from 'typebox';
import type { KindDefinition, WindlassObject } from './metadata.ts';
import { Condition, Duration, Identifier, identifierPattern, MapOf, ObjectName, Strict, Text } from './metadata.ts';

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

/** What cannot be an image, a `${{ }}` among it, is seen before any node tries to pull it. */
const Image = (description: string) =>
  Type.String({ pattern: '^[a-zA-Z0-9][-._:/@a-zA-Z0-9]*$', maxLength: 512, description });

/** Where the step's own fields (env, secrets, resources, …) say how it runs. */
const Container = Strict(
  {
    image: Image('The image.'),
    command: Type.Optional(
      Type.Array(Text('An argument; may contain ${{ }}.', 32768), {
        minItems: 1,
        maxItems: 100,
        description: "The program. Default: the image's.",
      }),
    ),
    args: Type.Optional(
      Type.Array(Text('An argument; may contain ${{ }}.', 32768), {
        maxItems: 1000,
        description: "Its arguments. Default: the image's.",
      }),
    ),
    workingDir: Type.Optional(Text("Where it begins. Default: the image's.", 512)),
  },
  { description: 'Runs an image as it is: in a cluster as a Pod, on a laptop by its container engine.' },
);

const ChildWorkflow = Strict(
  {
    name: ObjectName('The Workflow, in the same namespace.'),
    inputs: Type.Optional(
      MapOf(Any('The value; strings may contain ${{ }}.'), {
        description: 'Its inputs.',
        keys: identifierPattern,
      }),
    ),
  },
  { description: "Runs another workflow as a child run. Outputs: the child's." },
);

const Lock = Strict({
  name: Type.String({
    minLength: 1,
    maxLength: 253,
    description: 'The lock, shared by the namespace; may contain ${{ }}.',
  }),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 10_000,
      description: 'Most holders at once; where holders and waiters differ, the smallest counts. Default 1.',
    }),
  ),
});

const Locks = (description: string) => Type.Optional(Type.Array(Lock, { minItems: 1, maxItems: 20, description }));

const ForEach = Strict(
  {
    items: Type.Optional(Any('A list, a map (each item has key and value), or one ${{ }} that yields one.')),
    range: Type.Optional(
      Strict(
        {
          from: Type.Optional(Any('First number, or one ${{ }}. Default 0.')),
          to: Any('Last number, itself left out, or one ${{ }}.'),
          step: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Default 1.' })),
        },
        { description: 'Whole numbers from `from` up to, but without, `to`.' },
      ),
    ),
    matrix: Type.Optional(
      MapOf(Any('A list, or one ${{ }} that yields one.'), {
        description: 'Every combination of these lists; each item is a map of the same keys.',
        keys: identifierPattern,
        maxProperties: 10,
      }),
    ),
    as: Type.Optional(Identifier('The name of the item in expressions. Default item; `index` is its place, from 0.')),
    parallelism: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000, description: 'Most items at once. Default: no limit of its own.' }),
    ),
    failFast: Type.Optional(
      Type.Boolean({
        description: 'True (the default): the first failed item stops the others. False: all run, then the step fails.',
      }),
    ),
  },
  {
    description:
      'Runs the step once for each item, at most 10,000. Outputs: a list in the order of items, null where one failed.',
  },
);

const Until = Strict(
  {
    condition: Expression("CEL that ends the repetition; may read the step's own outputs."),
    limit: Type.Integer({ minimum: 1, maximum: 10_000, description: 'Most repetitions; after them the step fails.' }),
    interval: Type.Optional(Duration('Pause between repetitions. Default none.')),
  },
  { description: 'Repeats the step until a condition holds.' },
);

const Cache = Strict(
  {
    key: Type.Optional(
      Type.Array(Text('A part; may contain ${{ }}.', 4096), {
        maxItems: 20,
        description: 'Added to what the key has by itself: body, env, files, input artifacts and image.',
      }),
    ),
    version: Type.Optional(Text('Another one makes all older entries miss.', 253)),
    ttl: Type.Optional(Duration('How long an entry is good. Default 7d.')),
    ignoreSecrets: Type.Optional(
      Type.Boolean({ description: 'Allows a step with secrets, whose values are no part of the key. Default false.' }),
    ),
  },
  { description: 'Takes the outputs of an earlier success with the same key instead of running.' },
);

const artifactName = '^[a-z][a-z0-9_]{0,39}$';
const Artifacts = Strict(
  {
    out: Type.Optional(
      MapOf(Text('A file or folder, relative to the working directory.', 1024), {
        description: 'What is kept when the step succeeds, by name.',
        keys: artifactName,
        maxProperties: 50,
      }),
    ),
    in: Type.Optional(
      MapOf(Type.String({ pattern: '^[a-z][a-z0-9_]{0,39}\\.[a-z][a-z0-9_]{0,39}$', description: 'STEP.NAME' }), {
        description: 'What is put where before it begins: path, relative to the working directory, to STEP.NAME.',
        keys: '^[A-Za-z0-9._/-]{1,512}$',
        maxProperties: 50,
      }),
    ),
  },
  { description: 'Files that steps hand to each other.' },
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

/** Where and as what a `run` or `container` step runs in a cluster. On a laptop nothing of this applies. */
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
    fail: Type.Optional(Text('The step fails with this message; may contain ${{ }} and read `error`.')),
  },
  { description: 'Exactly one of run, container, http, template, workflow, skip and fail.' },
);

const Compensation = Strict(otherBody, {
  description: 'Undoes the step when the run ends badly. Exactly one of run, container, http, template and workflow.',
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
  locks: Locks('Held from the beginning of the step to its end.'),
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
            description: 'What a run does that finds another: waits (the default), cancels the other, or fails.',
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
    description: 'The steps; their order is by `needs`, not by place.',
  }),
  finally: Type.Optional(
    Type.Array(Step, { maxItems: 50, description: 'Steps that run at the end, whatever happened.' }),
  ),
});
export type WorkflowSpec = Static<typeof WorkflowSpec>;
export type StepSpec = Static<typeof Step>;
export type RetrySpec = Static<typeof Retry>;
export type LockSpec = Static<typeof Lock>;
/** What a fallback or a compensation may be; `skip` and `fail` of a fallback are no body. */
export type OtherBodySpec = Static<typeof Compensation>;
export type FallbackSpec = Static<typeof Fallback>;

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
