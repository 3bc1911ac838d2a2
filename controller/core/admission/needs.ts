import type { AdmissionFacts, LockClaim } from './types.ts';

/** A lock, a group or the slots of the namespace, by one name each. */
export type Resource = `lock ${string}` | `group ${string}` | 'slot';

/** Who needs what, once what ancestors hold is taken off, and how much of each there is. */
export interface Needs {
  of(claim: LockClaim): readonly Resource[];
  capacity(resource: Resource): number;
}

/** Everything a request names; a name that is repeated counts once. */
function named({ request }: LockClaim): Resource[] {
  const names = new Set<Resource>(request.locks.map(({ name }) => `lock ${name}` as const));
  if (request.group) names.add(`group ${request.group.name}`);
  if (request.slot) names.add('slot');
  return [...names];
}

/**
 * The smallest limit that anybody names counts: versions of a workflow may differ, and none may find more beside it than it
 * allows. A slot is never inherited: an ancestor that holds one would let any number of steps run on it.
 */
export function needsOf({ holders, waiters, slots }: AdmissionFacts): Needs {
  const limits = new Map<Resource, number>();
  const held = new Map<string, Set<Resource>>();
  const needs = new Map<string, Resource[]>();
  for (const claim of holders) held.set(claim.id, new Set(named(claim)));
  for (const claim of [...holders, ...waiters]) {
    for (const { name, limit } of claim.request.locks) {
      limits.set(`lock ${name}`, Math.max(1, Math.min(limit, limits.get(`lock ${name}`) ?? limit)));
    }
    const above = claim.ancestors.flatMap((id) => held.get(id) ?? []);
    const own = named(claim).filter((name) => name === 'slot' || !above.some((names) => names.has(name)));
    needs.set(claim.id, own);
  }
  return {
    of: (claim) => needs.get(claim.id) ?? [],
    capacity: (resource) => (resource === 'slot' ? (slots ?? Number.POSITIVE_INFINITY) : (limits.get(resource) ?? 1)),
  };
}

/** As a person reads it. */
export function sayResource(resource: Resource): string {
  if (resource === 'slot') return 'a running step of the namespace';
  const space = resource.indexOf(' ');
  return `${resource.slice(0, space)} "${resource.slice(space + 1)}"`;
}
