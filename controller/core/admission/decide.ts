import { groupTaken } from '../run/locks.ts';
import type { StepError } from '../run/types.ts';
import { giveWay } from './deadlock.ts';
import { type Needs, needsOf, type Resource } from './needs.ts';
import { reduce } from './reduce.ts';
import type { AdmissionDecision, AdmissionFacts, LockClaim } from './types.ts';

/**
 * Who may start: runs of a concurrency group, holders of locks and semaphores, and steps of a namespace whose running steps
 * are limited. All or nothing; the higher priority first, then who waits longer, then the id. Who comes first keeps what it
 * asks for from those behind it even while it waits for the rest, so that nobody starves; those on whom it waits itself are
 * let by. A request that could never be granted, because those it waits for wait for it, is refused with type `lock`, one that its group turns away with `groupTaken`.
 */
export function decideAdmission(facts: AdmissionFacts): AdmissionDecision {
  const decision: AdmissionDecision = { granted: [], refused: [], superseded: [] };
  let waiters = [...facts.waiters].sort(byOrder);
  waiters = supersede(facts.holders, waiters, decision);
  waiters = rejectTaken(facts.holders, waiters, decision);
  const ending = new Set(
    [...facts.holders.filter((h) => h.superseded), ...decision.superseded.map(({ claim }) => claim)].map((c) => c.id),
  );
  for (;;) {
    const needs = needsOf({ ...facts, waiters });
    const reduction = reduce(facts.holders, waiters, needs);
    const victim = giveWay(reduction, ({ ancestors }) => ancestors.some((id) => ending.has(id)));
    if (!victim) {
      grant(facts.holders, reduction.order, needs, decision);
      return decision;
    }
    decision.refused.push(victim);
    waiters = waiters.filter((waiter) => waiter !== victim.claim);
  }
}

function byOrder(a: LockClaim, b: LockClaim): number {
  return b.priority - a.priority || a.since - b.since || (a.id < b.id ? -1 : 1);
}

/**
 * A run with CancelRunning takes the place of all of its group that are there before it, running or waiting, unless they
 * have a higher priority: behind those it queues. Superseded waiters are granted nothing any more.
 */
function supersede(holders: LockClaim[], waiters: LockClaim[], decision: AdmissionDecision): LockClaim[] {
  const needs = needsOf({ holders, waiters, slots: null });
  const groups = Map.groupBy([...holders, ...waiters], (claim) => groupOf(claim, needs));
  const gone = new Set(waiters.filter((waiter) => waiter.superseded));
  const held = new Set(holders);
  const told = new Set([...holders, ...waiters].filter((claim) => claim.superseded));
  for (const [group, members] of groups) {
    if (group === null) continue;
    const newestFirst = members
      .filter((m) => !held.has(m) && !told.has(m))
      .sort(byAge)
      .toReversed();
    for (const taker of newestFirst) {
      if (taker.request.group?.policy !== 'CancelRunning' || gone.has(taker)) continue;
      for (const member of members) {
        const before = held.has(member) || byAge(member, taker) < 0;
        if (member === taker || !before || told.has(member) || member.priority > taker.priority) continue;
        const reason = `${taker.label} takes its place in the concurrency group "${taker.request.group.name}"`;
        decision.superseded.push({ claim: member, reason });
        told.add(member);
        if (!held.has(member)) gone.add(member);
      }
    }
  }
  return waiters.filter((waiter) => !gone.has(waiter));
}

/** With Reject, a run does not wait for its group; for locks it does. */
function rejectTaken(holders: LockClaim[], waiters: LockClaim[], decision: AdmissionDecision): LockClaim[] {
  const needs = needsOf({ holders, waiters, slots: null });
  const first = new Map<Resource, LockClaim>();
  for (const holder of holders) setFirst(groupOf(holder, needs), holder);
  return waiters.filter((waiter) => {
    const group = groupOf(waiter, needs);
    const taken = group === null ? undefined : first.get(group);
    if (taken && waiter.request.group?.policy === 'Reject') {
      decision.refused.push({ claim: waiter, error: takenBy(waiter.request.group.name, taken) });
      return false;
    }
    setFirst(group, waiter);
    return true;
  });

  function setFirst(group: Resource | null, claim: LockClaim): void {
    if (group !== null && !first.has(group)) first.set(group, claim);
  }
}

function takenBy(name: string, by: LockClaim): StepError {
  const message = `the concurrency group "${name}" is taken by ${by.label}, and its policy is Reject`;
  return { type: groupTaken, message, retryable: false };
}

function groupOf(claim: LockClaim, needs: Needs): Resource | null {
  return needs.of(claim).find((resource) => resource.startsWith('group ')) ?? null;
}

function byAge(a: LockClaim, b: LockClaim): number {
  return a.since - b.since || (a.id < b.id ? -1 : 1);
}

function grant(holders: LockClaim[], order: LockClaim[], needs: Needs, decision: AdmissionDecision): void {
  /** Held, granted just now, or kept for somebody who comes before. */
  const taken = new Map<Resource, number>();
  const take = (resource: Resource) => taken.set(resource, (taken.get(resource) ?? 0) + 1);
  for (const holder of holders) for (const resource of needs.of(holder)) take(resource);
  for (const waiter of order) {
    const asked = needs.of(waiter);
    const missing = asked.filter((resource) => (taken.get(resource) ?? 0) >= needs.capacity(resource));
    if (missing.length === 0) decision.granted.push(waiter);
    // Slots are for all: they are not kept for one that could not use them yet, or a queue for one lock would stop the namespace.
    const onlySlot = missing.every((resource) => resource === 'slot');
    for (const resource of asked) if (resource !== 'slot' || onlySlot) take(resource);
  }
}
