import { type Static, Type } from 'typebox';
import { approvers } from './approvers.ts';
import type { KindDefinition, WindlassObject } from './metadata.ts';
import { MapOf, NamespaceName, ObjectName, reconciledStatus, Strict, Text, Time } from './metadata.ts';

const Track = Strict(
  {
    branch: Type.Optional(Text('Every commit on this branch is a candidate; the newest wins.', 255)),
    tag: Type.Optional(
      Strict(
        {
          semver: Text('A range such as ">=1.0.0"; prereleases match only when the range names one.', 255),
          from: Type.Optional(
            Text("The tag's commit must be an ancestor of this branch. Default: the source's branch.", 255),
          ),
        },
        { description: 'Tags in this range are candidates.' },
      ),
    ),
    upstream: Type.Optional(
      Type.Literal(true, { description: 'What is active in every environment of `after` is the candidate.' }),
    ),
  },
  { description: 'What becomes a candidate here; exactly one of branch, tag, upstream.' },
);

const UpstreamGate = Strict(
  {
    runs: Type.Integer({
      minimum: 1,
      maximum: 1000,
      description: 'Finished runs of the same digest that are needed in each environment of `after`.',
    }),
    successRate: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, description: 'Smallest share of them that succeeded. Default 1.' }),
    ),
    degraded: Type.Optional(
      Type.Union([Type.Literal('Allow'), Type.Literal('Deny')], {
        description: 'Whether a run that ended Degraded counts as one that succeeded. Default Deny.',
      }),
    ),
  },
  { description: 'The same content did well upstream.' },
);

const ApprovalGate = Strict(
  {
    ...approvers,
    notAuthor: Type.Optional(
      Type.Boolean({ description: 'Authors, committers and taggers of what is promoted may not approve it.' }),
    ),
  },
  { description: 'People approve.' },
);

export const Gate = Strict(
  { upstream: Type.Optional(UpstreamGate), approval: Type.Optional(ApprovalGate) },
  { description: 'Exactly one of upstream, approval.' },
);
export type Gate = Static<typeof Gate>;

export const EnvironmentSpec = Strict(
  {
    source: Strict(
      { name: ObjectName('A WorkflowSource in the same namespace.') },
      { description: 'Where versions come from.' },
    ),
    namespace: Type.Optional(NamespaceName("Where its workflows and runs live. Default: the environment's name.")),
    after: Type.Optional(
      Type.Array(ObjectName('An Environment in the same namespace.'), {
        maxItems: 20,
        description: 'A digest must have been active in each of these first.',
      }),
    ),
    track: Track,
    promote: Type.Optional(
      Type.Union([Type.Literal('Auto'), Type.Literal('Manual')], {
        description:
          'Auto: candidates become Promotions by themselves. Manual: only Promotions made by hand. Default Auto.',
      }),
    ),
    gates: Type.Optional(
      Type.Array(Gate, { maxItems: 20, description: 'What holds a candidate back; all must be open at once.' }),
    ),
    values: Type.Optional(
      MapOf(Type.Unsafe<unknown>({ 'x-kubernetes-preserve-unknown-fields': true }), {
        description: 'What `environment.NAME` is in expressions.',
        keys: '^[a-zA-Z_][a-zA-Z0-9_]{0,63}$',
      }),
    ),
    suspend: Type.Optional(Type.Boolean({ description: 'True stops promoting.' })),
  },
  { description: 'A stage: what it tracks, what comes before it, and the gates that hold promotions back.' },
);
export type EnvironmentSpec = Static<typeof EnvironmentSpec>;

const ActiveVersion = Strict({
  workflow: ObjectName('The workflow.'),
  digest: Text('Content digest of its active version.', 80),
  ref: Text('The tag or commit it was promoted by.', 255),
  since: Time('When it became active.'),
});

export const EnvironmentStatus = Strict(
  {
    ...reconciledStatus,
    revision: Type.Optional(Type.Integer({ description: 'Raised by every recorded decision.' })),
    namespace: Type.Optional(Text('The namespace it owns.', 63)),
    active: Type.Optional(Type.Array(ActiveVersion, { maxItems: 200, description: 'The active versions.' })),
    waiting: Type.Optional(Type.Integer({ description: 'Promotions that are not yet let in.' })),
  },
  { description: 'What is active in it, what waits, and whether it could be brought up to date.' },
);
export type EnvironmentStatus = Static<typeof EnvironmentStatus>;
export type Environment = WindlassObject<'Environment', EnvironmentSpec, EnvironmentStatus>;

export const environmentKind: KindDefinition = {
  kind: 'Environment',
  plural: 'environments',
  singular: 'environment',
  shortNames: ['wenv'],
  spec: EnvironmentSpec,
  status: EnvironmentStatus,
  atomicSpec: false,
  rules: [
    {
      path: 'spec.track',
      rule: '[has(self.branch), has(self.tag), has(self.upstream)].filter(x, x).size() == 1',
      message: 'track has exactly one of branch, tag, upstream',
    },
    {
      path: 'spec.gates[]',
      rule: '[has(self.upstream), has(self.approval)].filter(x, x).size() == 1',
      message: 'a gate has exactly one of upstream, approval',
    },
    {
      path: 'spec',
      rule: '!has(self.track.upstream) || (has(self.after) && self.after.size() > 0)',
      message: 'track.upstream needs after',
    },
  ],
  printerColumns: [
    // Not Namespace: `-A` puts a column of that name first.
    { name: 'Into', type: 'string', jsonPath: '.status.namespace' },
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
    { name: 'Waiting', type: 'integer', jsonPath: '.status.waiting' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
};
