import type { PromotionSummary } from '../../api/client.ts';
import { formatAge, none, oneLine, shortRef } from '../output/text.ts';
import { firstItems } from './paging.ts';
import type { Resource } from './resource.ts';

const defaultLimit = 50;

export const promotions: Resource<PromotionSummary> = {
  names: ['promotions', 'promotion', 'wpro'],
  options: ['environment', 'phase', 'limit'],
  columns: [
    { head: 'NAME', value: (p) => p.name },
    { head: 'ENVIRONMENT', value: (p) => p.environment },
    { head: 'REF', value: (p) => shortRef(p.ref) },
    { head: 'PHASE', value: (p, { paint }) => paint(p.phase) },
    { head: 'CHANGES', value: (p) => p.changes.map((c) => c.workflow).join(',') || none },
    { head: 'WAITS FOR', value: (p) => closedGates(p) },
    { head: 'AGE', value: (p, { now }) => formatAge(p.createdAt, now) },
    { head: 'REASON', value: (p) => p.reason ?? (p.phase === 'Gating' ? gateMessage(p) : '') },
  ],
  list: (client, { environment, phase, limit = defaultLimit }) =>
    firstItems(
      (page) =>
        client.promotions({
          ...page,
          ...(environment ? { environment } : {}),
          ...(phase ? { phase: phase as PromotionSummary['phase'][] } : {}),
        }),
      limit,
    ),
  get: (client, name) => client.promotion(name),
  key: (p) => p.id,
};

function closedGates(promotion: PromotionSummary): string {
  if (promotion.phase !== 'Gating') return none;
  const closed = promotion.gates.filter((gate) => !gate.open).map((gate) => gate.gate);
  return closed.join(',') || none;
}

function gateMessage(promotion: PromotionSummary): string {
  return oneLine(promotion.gates.find((gate) => !gate.open)?.message ?? '', 70);
}
