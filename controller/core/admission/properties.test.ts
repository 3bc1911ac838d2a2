import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LockRequest } from '../run/types.ts';
import { findsGroupTaken, waitsFor } from '../../../test/fixtures/waits-for.ts';
import { decideAdmission } from './decide.ts';
import { needsOf } from './needs.ts';
import type { AdmissionDecision, AdmissionFacts, LockClaim } from './types.ts';

/** A run or a step, and what begins below it once it holds what it asks for. */
interface Tree {
  request: LockRequest;
  priority: number;
  /** What it is for; then all below it is, too. */
  compensates: boolean;
  below: Tree[];
}

const locks = fc
  .uniqueArray(fc.record({ name: fc.constantFrom('x', 'y', 'z'), limit: fc.constantFrom(1, 1, 2, 3) }), {
    selector: ({ name }) => name,
    maxLength: 3,
  })
  .filter((some) => some.length < 3 || some.every(({ limit }) => limit < 3));
const group = fc.option(
  fc.record({
    name: fc.constantFrom('g', 'h'),
    policy: fc.constantFrom('Queue' as const, 'CancelRunning' as const, 'Reject' as const),
  }),
);
const priority = fc.constantFrom(-1, 0, 0, 0, 5);
const { run } = fc.letrec<{ run: Tree; step: Tree }>((tie) => ({
  run: fc.record({
    request: fc.record({ locks, group, slot: fc.constant(false) }),
    priority,
    compensates: fc.constant(false),
    below: fc.array(tie('step'), { maxLength: 3 }),
  }),
  step: fc.oneof(
    { maxDepth: 3 },
    fc.record({
      request: fc.record({ locks, group: fc.constant(null), slot: fc.boolean() }),
      priority,
      compensates: fc.boolean(),
      below: fc.constant<Tree[]>([]),
    }),
    fc.record({
      request: fc.record({ locks, group: fc.constant(null), slot: fc.boolean() }),
      priority,
      compensates: fc.boolean(),
      below: tie('run').map((child) => [child]),
    }),
  ),
}));

interface Node extends Tree {
  claim: LockClaim;
  parent: Node | null;
  phase: 'Unborn' | 'Waiting' | 'Holding' | 'Ended';
}

function plant(trees: Tree[]): Node[] {
  const nodes: Node[] = [];
  function add(tree: Tree, parent: Node | null): void {
    const id = `n${nodes.length}`;
    const claim: LockClaim = {
      id,
      runId: id,
      holder: { step: null },
      ancestors: parent ? [parent.claim.id, ...parent.claim.ancestors] : [],
      label: id,
      priority: tree.priority,
      since: 0,
      request: tree.request,
      superseded: false,
      compensates: tree.compensates || (parent?.claim.compensates ?? false),
    };
    const node: Node = { ...tree, claim, parent, phase: 'Unborn' };
    nodes.push(node);
    for (const child of tree.below) add(child, node);
  }
  for (const tree of trees) add(tree, null);
  return nodes;
}

const isBelow = (node: Node, top: Node) => node.claim.ancestors.includes(top.claim.id);

/** Ends a node and whatever of it has not begun, as a refused or cancelled one does. */
function giveUp(nodes: Node[], top: Node): void {
  for (const node of nodes) {
    if (node === top || (isBelow(node, top) && node.phase !== 'Holding')) node.phase = 'Ended';
  }
}

type Decide = typeof decideAdmission;

/** Lives through any number of trees of runs, with whoever decides, until all has ended. */
const comesToAnEnd = (decide: Decide) =>
  fc.property(
    fc.array(run, { minLength: 1, maxLength: 5 }),
    fc.option(fc.integer({ min: 1, max: 3 })),
    fc.array(fc.nat(), { minLength: 20, maxLength: 60 }),
    (trees, slots, choices) => {
      const nodes = plant(trees);
      const facts = () => ({
        holders: nodes.filter(({ phase }) => phase === 'Holding').map(({ claim }) => claim),
        waiters: nodes.filter(({ phase }) => phase === 'Waiting').map(({ claim }) => claim),
        slots,
      });
      for (let turn = 0; turn < 1000; turn++) {
        const born = nodes.filter(
          ({ phase, parent }) => phase === 'Unborn' && (parent === null || parent.phase === 'Holding'),
        );
        const done = nodes.filter(
          (n) => n.phase === 'Holding' && nodes.every((d) => !isBelow(d, n) || d.phase === 'Ended'),
        );
        const moves = [...born, ...done];
        if (moves.length === 0) break;
        const node = moves[(choices[turn % choices.length] ?? 0) % moves.length] as Node;
        if (node.phase === 'Unborn') node.claim.since = turn;
        node.phase = node.phase === 'Unborn' ? 'Waiting' : 'Ended';
        const decision = decide(facts());
        expectRefusalsAreDue(facts(), decision);
        apply(nodes, decision, facts);
      }
      expect(nodes.filter(({ phase }) => phase !== 'Ended').map(({ claim }) => claim.id)).toEqual([]);
    },
  );

test('whatever asks for whatever, in any order: all comes to an end, no limit is ever passed, and nobody is refused who could be granted', () => {
  fc.assert(comesToAnEnd(decideAdmission), { numRuns: 1000 });
});

test.each<[string, (facts: AdmissionFacts, decision: AdmissionDecision) => LockClaim[]]>([
  [
    'whoever must wait while anything is nested',
    ({ holders, waiters }, { granted }) =>
      [...holders, ...waiters].some(({ ancestors }) => ancestors.length > 0)
        ? waiters.filter((waiter) => !granted.includes(waiter))
        : [],
  ],
  [
    'whoever waits behind a circle',
    ({ waiters }, { granted, refused }) =>
      refused.length > 0 ? waiters.filter((waiter) => !granted.includes(waiter)) : [],
  ],
])('an admission is found out that refuses %s', (_, refuses) => {
  const hasty: Decide = (facts) => {
    const decision = decideAdmission(facts);
    const known = [...decision.refused, ...decision.superseded].map(({ claim }) => claim);
    const error = { type: 'lock', message: 'no', retryable: false };
    const more = refuses(facts, decision).filter((claim) => !known.includes(claim) && !claim.superseded);
    return { ...decision, refused: [...decision.refused, ...more.map((claim) => ({ claim, error }))] };
  };
  expect(fc.check(comesToAnEnd(hasty), { numRuns: 1000 }).failed).toBe(true);
});

/**
 * Refused is only who finds its group taken and does not want to wait, or who is part of a circle, each given those before;
 * and no compensation as long as there is a circle with anything else in it.
 */
function expectRefusalsAreDue({ holders, waiters, slots }: AdmissionFacts, decision: AdmissionDecision): void {
  const superseded = decision.superseded.map(({ claim }) => claim);
  let left = waiters.filter((waiter) => !superseded.includes(waiter) && !waiter.superseded);
  for (const { claim } of decision.refused) {
    const graph = waitsFor(holders, left, slots);
    const taken = findsGroupTaken(claim, [...holders, ...left]);
    const due = taken || graph.isInCircle(claim);
    expect({ refused: claim.id, due }).toEqual({ refused: claim.id, due: true });
    const others = left.filter(({ compensates }) => !compensates);
    if (claim.compensates && !taken) expect(others.filter((other) => graph.isInCircle(other))).toEqual([]);
    left = left.filter((waiter) => waiter !== claim);
  }
}

function apply(nodes: Node[], decision: AdmissionDecision, facts: () => Parameters<typeof needsOf>[0]): void {
  const nodeAt = (claim: LockClaim) => nodes.find((node) => node.claim === claim) as Node;
  const gone = [...decision.superseded, ...decision.refused].map(({ claim }) => claim);
  const needs = needsOf({ ...facts(), waiters: facts().waiters.filter((waiter) => !gone.includes(waiter)) });
  for (const claim of decision.granted) {
    const node = nodeAt(claim);
    expect(node.phase).toBe('Waiting');
    node.phase = 'Holding';
    for (const resource of needs.of(claim)) {
      const users = facts().holders.filter((holder) => needs.of(holder).includes(resource));
      expect(users.length).toBeLessThanOrEqual(needs.capacity(resource));
    }
  }
  for (const { claim } of decision.superseded) {
    claim.superseded = true;
    const node = nodeAt(claim);
    if (node.phase === 'Waiting') giveUp(nodes, node);
    else for (const below of nodes) if (isBelow(below, node) && below.phase !== 'Holding') below.phase = 'Ended';
  }
  for (const { claim, error } of decision.refused) {
    expect(claim.request.group?.policy === 'Reject' ? ['lock', 'groupTaken'] : ['lock']).toContain(error.type);
    giveUp(nodes, nodeAt(claim));
  }
}

/** Claims of runs that have no steps: nothing waits below a holder. */
const flat = fc
  .array(fc.record({ locks, priority, since: fc.nat(9), slot: fc.boolean() }), { maxLength: 8 })
  .map((all) => all.map((wish, i) => flatClaim(`f${i}`, wish)));

function flatClaim(
  id: string,
  wish: { locks: LockRequest['locks']; priority: number; since: number; slot: boolean },
): LockClaim {
  const { priority: p, since } = wish;
  const request = { locks: wish.locks, group: null, slot: wish.slot };
  return {
    id,
    runId: id,
    holder: { step: null },
    ancestors: [],
    label: id,
    priority: p,
    since,
    request,
    superseded: false,
    compensates: false,
  };
}

test('the order in which facts are told decides nothing', () => {
  fc.assert(
    fc.property(flat, fc.integer({ min: 0, max: 8 }), fc.array(fc.nat()), (claims, cut, seeds) => {
      const holders = claims
        .slice(0, cut)
        .map((c, i) => ({ ...c, request: { ...c.request, locks: i === 0 ? c.request.locks : [] } }));
      const waiters = claims.slice(cut);
      const ids = (d: AdmissionDecision) => d.granted.map(({ id }) => id);
      const shuffled = waiters
        .map((claim, i) => [seeds[i % Math.max(1, seeds.length)] ?? 0, claim] as const)
        .sort((a, b) => a[0] - b[0])
        .map(([, claim]) => claim);
      const first = decideAdmission({ holders, waiters, slots: 2 });
      expect(first.refused).toEqual([]);
      expect(ids(decideAdmission({ holders: holders.toReversed(), waiters: shuffled, slots: 2 }))).toEqual(ids(first));
    }),
  );
});

test('nobody starves: with others coming for ever, one of a higher priority holds once those before it have ended', () => {
  fc.assert(
    fc.property(
      flat,
      locks.filter((some) => some.length > 0),
      fc.boolean(),
      fc.array(fc.record({ locks, slot: fc.boolean(), end: fc.nat() }), { minLength: 5, maxLength: 30 }),
      (claims, wanted, slot, later) => {
        const slots = 2;
        const low = claims.map((c) => ({ ...c, priority: 0 }));
        let holders = decideAdmission({ holders: [], waiters: low, slots }).granted;
        let waiters = low.filter((c) => !holders.includes(c));
        const high = flatClaim('high', { locks: wanted, priority: 1, since: 100, slot });
        const present = new Set(holders);
        waiters.push(high);
        let endsAfter = 0;
        const turn = () => {
          const { granted, refused } = decideAdmission({ holders, waiters, slots });
          expect(refused).toEqual([]);
          holders = [...holders, ...granted];
          waiters = waiters.filter((w) => !granted.includes(w));
        };
        turn();
        for (const [i, next] of later.entries()) {
          if (holders.includes(high)) return;
          // With none of those left that were before it, one more end gives it its slot.
          if (holders.every((h) => !present.has(h))) expect(endsAfter++).toBeLessThanOrEqual(1);
          const ended = holders[next.end % Math.max(1, holders.length)];
          holders = holders.filter((h) => h !== ended);
          waiters.push(flatClaim(`late${i}`, { locks: next.locks, priority: 0, since: 200 + i, slot: next.slot }));
          turn();
        }
      },
    ),
  );
});
