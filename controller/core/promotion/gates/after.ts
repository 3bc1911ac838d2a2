import type { GateResult, PromotionFacts, WorkflowChange } from '../types.ts';
import { hasBeenActive, isRetired } from '../upstream.ts';

/** `after` alone: each digest is or has been active in every environment named; what goes is gone there. */
export function judgeAfter(facts: PromotionFacts, changes: WorkflowChange[]): GateResult {
  const after = facts.environment.spec.after ?? [];
  const missing = after.flatMap((name) => missingIn(facts, name, changes));
  return {
    gate: 'after',
    open: missing.length === 0,
    message: missing.length === 0 ? `Was active in ${after.join(', ')}.` : `${missing.join('; ')}.`,
  };
}

function missingIn(facts: PromotionFacts, name: string, changes: WorkflowChange[]): string[] {
  const upstream = facts.upstream.get(name);
  if (!upstream?.exists) return [`${name}: no such environment`];
  return changes.flatMap(({ workflow, to }) => {
    if (to === undefined) return isRetired(upstream, workflow) ? [] : [`${name}: ${workflow} is not retired there yet`];
    if (hasBeenActive(upstream, { workflow, digest: to })) return [];
    return [`${name}: ${workflow} at ${shortDigest(to)} was not active there yet`];
  });
}

function shortDigest(digest: string): string {
  return digest.slice(0, 'sha256:'.length + 12);
}
