import type { StepError } from '../run/types.ts';
import { sayResource } from './needs.ts';
import type { Reduction } from './reduce.ts';
import type { LockClaim } from './types.ts';

/**
 * Which of those that wait for each other gives way: one that is part of the circle and not merely behind it; no
 * compensation while there is another; of a run that is to end anyway before others, then the one that is served last.
 * Null when nobody is stuck.
 */
export function giveWay(
  { stuck, blockers }: Reduction,
  superseded: (claim: LockClaim) => boolean,
): { claim: LockClaim; error: StepError } | null {
  const rank = (claim: LockClaim) => (claim.compensates ? 2 : 0) + (superseded(claim) ? 0 : 1);
  for (const claim of stuck.toReversed().sort((a, b) => rank(a) - rank(b))) {
    const circle = circleOf(claim, blockers);
    if (circle === null) continue;
    const waits = circle.map(({ from, edge }) => {
      const held = `${sayResource(edge.resource)}, held by ${edge.holder.label}`;
      return `${from.label} waits for ${held}`;
    });
    const message = `what it asks for would never come free: ${waits.join('; ')}, which waits for this`;
    return { claim, error: { type: 'lock', message, retryable: false } };
  }
  return null;
}

type Edge = ReturnType<Reduction['blockers']>[number];

/** The shortest way from a claim back to itself. */
function circleOf(start: LockClaim, blockers: Reduction['blockers']): { from: LockClaim; edge: Edge }[] | null {
  interface Step {
    from: LockClaim;
    edge: Edge;
    previous: Step | null;
  }
  const seen = new Set<string>();
  let edge: Step[] = blockers(start).map((edge) => ({ from: start, edge, previous: null }));
  while (edge.length > 0) {
    const next: Step[] = [];
    for (const step of edge) {
      const { waiter } = step.edge;
      if (waiter.id === start.id) return unwind(step);
      if (seen.has(waiter.id)) continue;
      seen.add(waiter.id);
      for (const on of blockers(waiter)) next.push({ from: waiter, edge: on, previous: step });
    }
    edge = next;
  }
  return null;

  function unwind(last: Step): { from: LockClaim; edge: Edge }[] {
    const path: { from: LockClaim; edge: Edge }[] = [];
    for (let step: Step | null = last; step; step = step.previous) path.unshift({ from: step.from, edge: step.edge });
    return path;
  }
}
