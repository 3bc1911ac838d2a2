import { type Static, Type } from 'typebox';
import type { KindDefinition, WindlassObject } from './metadata.ts';
import { immutable, immutableAlways, ObjectName, reconciledStatus, Strict, Text, Time } from './metadata.ts';

const PromotionApproval = Strict({
  user: Text('Who decides.', 253),
  groups: Type.Optional(
    Type.Array(Text('A group.', 253), { maxItems: 100, description: 'The groups of that person.' }),
  ),
  decision: Type.Union([Type.Literal('Approve'), Type.Literal('Reject')], { description: 'What was decided.' }),
  comment: Type.Optional(Text('Why.')),
  at: Type.Optional(
    Time(
      'When it was decided, as the writer says. It makes an entry another one than that which it takes the place of.',
    ),
  ),
});
export type PromotionApproval = Static<typeof PromotionApproval>;

export const PromotionSpec = Strict(
  {
    environment: ObjectName('The Environment, in the same namespace. Immutable.'),
    ref: Text('A tag, or a commit by its full hash. Immutable.', 255),
    workflows: Type.Optional(
      Type.Array(
        Strict({ name: ObjectName('The workflow.'), digest: Text('The digest it must have at this ref.', 80) }),
        {
          maxItems: 200,
          description: 'What the ref is expected to hold; another digest is Rejected (DigestMismatch). Immutable.',
        },
      ),
    ),
    approvals: Type.Optional(
      Type.Array(PromotionApproval, {
        maxItems: 100,
        description: 'What people decided; taking an entry out revokes it.',
      }),
    ),
  },
  { description: 'One ref on its way into one environment, and who has approved it.' },
);
export type PromotionSpec = Static<typeof PromotionSpec>;

const Change = Strict({
  workflow: ObjectName('The workflow.'),
  action: Type.Union([Type.Literal('Promote'), Type.Literal('Retire')], {
    description: 'Promote to `to`, or Retire because the ref no longer has it.',
  }),
  from: Type.Optional(Text('The digest that is active before.', 80)),
  to: Type.Optional(Text('The digest that becomes active.', 80)),
});

const GateStatus = Strict({
  gate: Text('upstream, approval, or after, onBranch, ….', 32),
  open: Type.Boolean({ description: 'True when it lets the promotion in.' }),
  message: Text('What it waits for, or what it saw.', 4096),
});

export const PromotionStatus = Strict(
  {
    ...reconciledStatus,
    phase: Type.Optional(Text('Pending, Gating, Succeeded, Failed, Rejected or Superseded.', 32)),
    commit: Type.Optional(Text('The commit of the ref, kept from first sight.', 64)),
    shortRef: Type.Optional(Text('The ref in short: of a commit the first 12 digits.', 255)),
    changes: Type.Optional(Type.Array(Change, { maxItems: 200, description: 'What it changes.' })),
    gates: Type.Optional(Type.Array(GateStatus, { maxItems: 40, description: 'Every gate, and what it says.' })),
    finishedAt: Type.Optional(Time('When it reached its last phase.')),
  },
  { description: 'How far it is, what it changes, and what every gate says.' },
);
export type PromotionStatus = Static<typeof PromotionStatus>;
export type Promotion = WindlassObject<'Promotion', PromotionSpec, PromotionStatus>;

export const promotionKind: KindDefinition = {
  kind: 'Promotion',
  plural: 'promotions',
  singular: 'promotion',
  shortNames: ['wpro'],
  spec: PromotionSpec,
  status: PromotionStatus,
  atomicSpec: false,
  rules: [immutableAlways('environment'), immutableAlways('ref'), immutable('workflows')],
  printerColumns: [
    { name: 'Environment', type: 'string', jsonPath: '.spec.environment' },
    { name: 'Ref', type: 'string', jsonPath: '.status.shortRef' },
    { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
};
