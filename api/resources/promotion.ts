import { type Static, Type } from 'typebox';
import type { Promotion as PromotionObject } from '../../crds/promotion.ts';
import { newPromotion } from '../../controller/core/promotion/create.ts';
import type { PromotionRow } from '../../controller/core/promotion/types.ts';
import { only } from '../route.ts';
import { iso, isoOrNull, Name, Nullable, NullableTime, OneOf, TimeString } from './shared.ts';

export const promotionPhases = ['Pending', 'Gating', 'Succeeded', 'Failed', 'Rejected', 'Superseded'] as const;

const summary = {
  id: Type.String({ description: 'UID of the Promotion.' }),
  name: Type.String(),
  environment: Type.String(),
  ref: Type.String({ description: 'The tag or commit.' }),
  commit: Nullable(Type.String(), 'Kept from first sight; null until the ref is resolved.'),
  phase: OneOf(promotionPhases, 'How far it is.'),
  reason: Nullable(
    Type.String(),
    'A word for the phase: InvalidRef, EnvironmentNotFound, TagDeleted, ApprovalRejected, ….',
  ),
  message: Nullable(Type.String(), 'A sentence for the phase.'),
  changes: Type.Array(
    Type.Object(
      {
        workflow: Type.String(),
        action: Type.Union([Type.Literal('Promote'), Type.Literal('Retire')]),
        from: Type.Optional(Type.String({ description: 'The digest that is active before.' })),
        to: Type.Optional(Type.String({ description: 'The digest that becomes active.' })),
      },
      { ref: 'WorkflowChange' },
    ),
  ),
  gates: Type.Array(
    Type.Object(
      {
        gate: Type.String(),
        open: Type.Boolean(),
        message: Type.String({ description: 'What it waits for, or what it saw.' }),
      },
      { ref: 'GateResult' },
    ),
  ),
  automatic: Type.Boolean({ description: 'True when the controller made it, false when a person did.' }),
  createdAt: TimeString('When it was created.'),
  finishedAt: NullableTime('When it reached its last phase.'),
};

export const PromotionSummary = Type.Object(summary, { ref: 'PromotionSummary' });
export type PromotionSummary = Static<typeof PromotionSummary>;

const Diagnostic = Type.Object(
  {
    file: Type.String(),
    line: Type.Integer(),
    column: Type.Integer(),
    severity: Type.Union([Type.Literal('error'), Type.Literal('warning')]),
    rule: Type.String(),
    message: Type.String(),
  },
  { ref: 'Diagnostic' },
);

export const Promotion = Type.Object(
  {
    ...summary,
    diagnostics: Type.Array(Diagnostic, { description: 'What is wrong in the files of the ref.' }),
    approvals: Type.Array(
      Type.Object({
        user: Type.String(),
        groups: Type.Optional(Type.Array(Type.String())),
        decision: Type.Union([Type.Literal('Approve'), Type.Literal('Reject')]),
        comment: Type.Optional(Type.String()),
        at: Type.Optional(Type.String()),
      }),
    ),
  },
  { ref: 'PromotionDetail' },
);
export type PromotionDetail = Static<typeof Promotion>;

export const NewPromotion = only(
  {
    environment: Name('The environment.'),
    ref: Type.String({
      minLength: 1,
      maxLength: 255,
      pattern: '^[^\\x00-\\x20\\x7f]+$',
      description: 'A tag, or a commit by its full hash.',
    }),
  },
  { ref: 'NewPromotion' },
);

export type NewPromotion = Static<typeof NewPromotion>;

export const Decision = only(
  {
    comment: Type.Optional(Type.String({ maxLength: 1024, description: 'Why.' })),
    as: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 253,
        pattern: '^[^\\x00-\\x1f\\x7f]+$',
        description: 'Decide under this name, to rehearse gates that count people.',
      }),
    ),
  },
  { ref: 'Decision' },
);
export type Decision = Static<typeof Decision>;

export function promotionSummary(row: PromotionRow): PromotionSummary {
  return {
    id: row.id,
    name: row.name,
    environment: row.environment,
    ref: row.ref,
    commit: row.commit,
    phase: row.phase,
    reason: row.reason,
    message: row.message,
    changes: row.changes,
    gates: row.gates,
    automatic: row.automatic,
    createdAt: iso(row.createdAt),
    finishedAt: isoOrNull(row.finishedAt),
  };
}

/** A promotion that no environment has taken up: there is only its object, which says why. */
export function pendingPromotion(object: PromotionObject): PromotionSummary {
  const told = object.status?.conditions?.find(({ type }) => type === 'Ready');
  return { ...promotionSummary(newPromotion(object)), reason: told?.reason ?? null, message: told?.message ?? null };
}
