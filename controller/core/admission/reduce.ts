import type { Needs, Resource } from './needs.ts';
import type { LockClaim } from './types.ts';

/** What becomes of the waiters if everything that can end does end. */
export interface Reduction {
  /** Waiters that are granted at some time, each after all that it has to wait for. */
  order: LockClaim[];
  /** Waiters that never are: they wait for each other. */
  stuck: LockClaim[];
  /** For a stuck one: whom it waits for, and because of what. */
  blockers(stuck: LockClaim): { resource: Resource; holder: LockClaim; waiter: LockClaim }[];
}

/**
 * Reduces the waits-for graph. A holder lets go when nothing below it waits any more; a waiter whose needs can be had is
 * granted, ends, and lets go. Rounds repeat until nothing changes. `waiters` come in the order they should be served; in
 * `order` one is preceded by those below the holders it waits for, however low their own priority is: without them it
 * would wait for ever (priority inheritance). Such edges lead from a round to earlier ones only, so they have no cycle.
 */
export function reduce(holders: LockClaim[], waiters: LockClaim[], needs: Needs): Reduction {
  const holdersOf = new Map<Resource, LockClaim[]>();
  for (const holder of holders) for (const r of needs.of(holder)) add(holdersOf, r, holder);
  const below = new Map<string, LockClaim[]>();
  for (const waiter of waiters) for (const id of waiter.ancestors) add(below, id, waiter);

  const releasedIn = new Map<string, number>();
  const grantedIn = new Map<string, number>();
  const used = new Map<Resource, number>();
  for (const [resource, all] of holdersOf) used.set(resource, all.length);

  function release(round: number): void {
    for (const holder of holders) {
      if (releasedIn.has(holder.id)) continue;
      if (below.get(holder.id)?.some(({ id }) => !grantedIn.has(id))) continue;
      releasedIn.set(holder.id, round);
      for (const resource of needs.of(holder)) used.set(resource, (used.get(resource) ?? 0) - 1);
    }
  }

  let waiting = waiters;
  release(0);
  for (let round = 1; waiting.length > 0; round++) {
    const can = waiting.filter((w) => needs.of(w).every((r) => (used.get(r) ?? 0) < needs.capacity(r)));
    if (can.length === 0) break;
    for (const { id } of can) grantedIn.set(id, round);
    waiting = waiting.filter(({ id }) => !grantedIn.has(id));
    release(round);
  }

  /** Those that must be granted before: below as many holders, the soonest to let go, as must let go. */
  function before(waiter: LockClaim): LockClaim[] {
    if (grantedIn.get(waiter.id) === 1) return [];
    return needs.of(waiter).flatMap((resource) => {
      const all = holdersOf.get(resource) ?? [];
      const many = all.length + 1 - needs.capacity(resource);
      if (many <= 0) return [];
      const round = (h: LockClaim) => releasedIn.get(h.id) ?? Number.POSITIVE_INFINITY;
      const soonest = [...all].sort((a, b) => round(a) - round(b)).slice(0, many);
      return soonest.flatMap(({ id }) => below.get(id) ?? []);
    });
  }

  const order = new Set<LockClaim>();
  function place(waiter: LockClaim): void {
    if (order.has(waiter)) return;
    for (const first of before(waiter)) place(first);
    order.add(waiter);
  }
  for (const waiter of waiters) if (grantedIn.has(waiter.id)) place(waiter);

  return {
    order: [...order],
    stuck: waiting,
    blockers: (stuck) =>
      needs.of(stuck).flatMap((resource) => {
        const all = (holdersOf.get(resource) ?? []).filter(({ id }) => !releasedIn.has(id));
        if (all.length < needs.capacity(resource)) return [];
        return all.flatMap((holder) =>
          (below.get(holder.id) ?? [])
            .filter(({ id }) => !grantedIn.has(id))
            .map((waiter) => ({ resource, holder, waiter })),
        );
      }),
  };
}

function add<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
