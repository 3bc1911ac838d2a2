import { Type } from 'typebox';
import { approvers } from './approvers.ts';
import { Duration, identifierPattern, MapOf, ObjectName, Strict, Text } from './metadata.ts';

export const Any = (description: string) =>
  Type.Unsafe<unknown>({ description, 'x-kubernetes-preserve-unknown-fields': true });

export const Expression = (description: string) => Type.String({ minLength: 1, maxLength: 4096, description });

const Backoff = Strict(
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

export const Assertion = Strict({
  that: Expression('CEL that must be true.'),
  message: Type.Optional(Text('Shown when it is not; may contain ${{ }}.')),
});

export const DecideCase = Strict({
  if: Type.Optional(Expression('CEL; without it the case always matches.')),
  then: MapOf(Any('The value; strings may contain ${{ }}.'), {
    description: 'The outputs when this case is the first to match.',
    keys: identifierPattern,
    maxProperties: 50,
  }),
});

export const Http = Strict(
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

export const Template = Strict(
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

export const Wait = Strict(
  {
    for: Type.Optional(Duration('Wait this long.')),
    until: Type.Optional(Text('Wait until this RFC 3339 instant; may be ${{ }}.', 4096)),
  },
  { description: 'Waits, holding nothing.' },
);

/** What cannot be an image, a `${{ }}` among it, is seen before any node tries to pull it. */
export const Image = (description: string) =>
  Type.String({ pattern: '^[a-zA-Z0-9][-._:/@a-zA-Z0-9]*$', maxLength: 512, description });

/** Where the step's own fields (env, secrets, resources, …) say how it runs. */
export const Container = Strict(
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

export const ChildWorkflow = Strict(
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
export const StepApproval = Strict(
  {
    ...approvers,
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
export const podFields = {
  image: Type.Optional(
    Image(
      'In a cluster: the image, which has a `sh`. Default: defaults.image, else that of --step-image (steps.image of the chart), else the step fails.',
    ),
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
