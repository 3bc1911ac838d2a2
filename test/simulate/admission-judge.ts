import type { AdmissionDecision, AdmissionFacts, LockClaim } from '../../controller/core/admission/types.ts';
import { findsGroupTaken, waitsFor, type WaitsFor } from '../fixtures/waits-for.ts';

/**
 * Judges who was granted, refused and superseded, given who held and who waited: no limit passed; the higher priority first,
 * then who waits longer, each with all that it asks for; nobody left waiting who could hold, or who never can.
 * @returns what is wrong, one line each
 */
export function judgeAdmission({ holders, waiters, slots }: AdmissionFacts, decision: AdmissionDecision): string[] {
  const problems: string[] = [];
  const { granted } = decision;
  const superseded = expectedSuperseded(holders, waiters);
  const told = new Set(decision.superseded.map(({ claim }) => claim));
  for (const one of superseded) if (!told.has(one)) problems.push(`${one.label} is not superseded`);
  for (const one of told) if (!superseded.has(one)) problems.push(`${one.label} is superseded for nothing`);
  let left = waiters.filter((one) => !one.superseded && !superseded.has(one));
  for (const { claim } of decision.refused) {
    const due = findsGroupTaken(claim, [...holders, ...left]) || waitsFor(holders, left, slots).isInCircle(claim);
    if (!due) problems.push(`${claim.label} is refused, and could be granted some time`);
    left = left.filter((one) => one !== claim);
  }
  const graph = waitsFor(holders, left, slots);
  for (const one of left)
    if (findsGroupTaken(one, [...holders, ...granted]))
      problems.push(`${one.label} waits for its group, and should not`);
  for (const one of graph.stuck) problems.push(`${one.label} waits for ever`);
  judgeLimits(graph, holders, granted, problems);
  const due = served(graph, holders, left);
  // One that is let by as somebody who comes before it waits for it may be granted out of turn, and keeps what it asks for.
  const nested = left.some(({ ancestors }) => holders.some(({ id }) => ancestors.includes(id)));
  if (nested) judgeLeft(graph, holders, left, granted, problems);
  else {
    for (const one of due) if (!granted.includes(one)) problems.push(`${one.label} is next, and is not granted`);
    for (const one of granted) if (!due.includes(one)) problems.push(`${one.label} is granted before its turn`);
  }
  return problems;
}

/** Whoever is there before the newest with CancelRunning, of its group and of no higher priority. */
function expectedSuperseded(holders: LockClaim[], waiters: LockClaim[]): Set<LockClaim> {
  const found = new Set<LockClaim>();
  for (const taker of waiters) {
    const { group } = taker.request;
    if (group?.policy !== 'CancelRunning' || taker.superseded) continue;
    for (const one of [...holders, ...waiters]) {
      const before =
        holders.includes(one) || one.since < taker.since || (one.since === taker.since && one.id < taker.id);
      const same = one !== taker && one.request.group?.name === group.name;
      if (same && before && !one.superseded && one.priority <= taker.priority) found.add(one);
    }
  }
  return found;
}

function judgeLimits(graph: WaitsFor, holders: LockClaim[], granted: LockClaim[], problems: string[]): void {
  for (const one of granted) {
    for (const name of graph.takes(one)) {
      const all = [...holders, ...granted].filter((other) => graph.takes(other).includes(name)).length;
      if (all > graph.limit(name)) problems.push(`${all} hold ${name}, of which there are ${graph.limit(name)}`);
    }
  }
}

/** Those that are served, in their order; who waits keeps what it asks for, but a slot only if nothing else is missing. */
function served(graph: WaitsFor, holders: LockClaim[], left: LockClaim[]): LockClaim[] {
  const used = new Map<string, number>();
  const use = (name: string) => void used.set(name, (used.get(name) ?? 0) + 1);
  for (const holder of holders) graph.takes(holder).forEach(use);
  return left.toSorted(byTurn).filter((one) => {
    const names = graph.takes(one);
    const missing = names.filter((name) => (used.get(name) ?? 0) >= graph.limit(name));
    const others = missing.filter((name) => name !== 'slot');
    for (const name of names) if (name !== 'slot' || others.length === 0) use(name);
    return missing.length === 0;
  });
}

function byTurn(a: LockClaim, b: LockClaim): number {
  return b.priority - a.priority || a.since - b.since || (a.id < b.id ? -1 : 1);
}

/** Where somebody is let by: nobody waits who could hold beside all that hold and all that might be kept for others. */
function judgeLeft(
  graph: WaitsFor,
  holders: LockClaim[],
  left: LockClaim[],
  granted: LockClaim[],
  problems: string[],
): void {
  const waiting = left.filter((one) => !granted.includes(one));
  const isNested = ({ ancestors }: LockClaim) => holders.some(({ id }) => ancestors.includes(id));
  for (const one of waiting) {
    const keeps = waiting.filter((other) => other !== one && (byTurn(other, one) < 0 || isNested(other)));
    const could = graph.takes(one).every((name) => {
      const taken = [...holders, ...granted, ...keeps].filter((other) => graph.takes(other).includes(name)).length;
      return taken < graph.limit(name);
    });
    if (could) problems.push(`${one.label} could hold all that it asks for, and is not granted`);
  }
  for (const one of granted) {
    if (isNested(one)) continue;
    const first = waiting.filter((other) => byTurn(other, one) < 0);
    const passed = graph.takes(one).find((name) => {
      if (name === 'slot') return false;
      const before = first.filter((other) => graph.takes(other).includes(name));
      const taken = [...holders, ...granted].filter((other) => graph.takes(other).includes(name)).length;
      return before.length > 0 && taken + before.length > graph.limit(name);
    });
    if (passed !== undefined) problems.push(`${one.label} is granted ${passed} before who comes first`);
  }
}
