import type { Promotion } from '../../../crds/promotion.ts';
import type { PromotionRow } from './types.ts';

/** Says that the controller made a Promotion, not a person. */
export const automaticLabel = 'windlass.dev/automatic';

/** The row of a promotion that nothing was decided about yet; also what is shown of it until there is one. */
export function newPromotion({ metadata, spec }: Promotion): PromotionRow {
  return {
    id: metadata.uid,
    project: metadata.namespace,
    name: metadata.name,
    environment: spec.environment,
    ref: spec.ref,
    commit: null,
    phase: 'Pending',
    reason: null,
    message: null,
    changes: [],
    gates: [],
    gatesAtStart: null,
    diagnostics: [],
    automatic: metadata.labels[automaticLabel] === 'true',
    createdAt: Date.parse(metadata.creationTimestamp),
    finishedAt: null,
  };
}
