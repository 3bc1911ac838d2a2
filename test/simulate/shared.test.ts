import { expect, test } from 'vitest';
import { decideAdmission } from '../../controller/core/admission/decide.ts';
import type { AdmissionDecision, AdmissionFacts, LockClaim } from '../../controller/core/admission/types.ts';
import { liveTogether } from './shared.ts';

/** Histories within which each wrong admission is found out. */
const histories = 200;

type Decide = (facts: AdmissionFacts) => AdmissionDecision;

/** An admission that takes claims for others than they are. */
function sees(change: (claim: LockClaim) => LockClaim, more: Partial<AdmissionFacts> = {}): Decide {
  return (facts) => {
    const seen = new Map<LockClaim, LockClaim>();
    const look = (claim: LockClaim) => {
      const changed = change(claim);
      seen.set(changed, claim);
      return changed;
    };
    const real = (claim: LockClaim) => seen.get(claim) as LockClaim;
    const { slots, holders, waiters } = facts;
    const decided = decideAdmission({ slots, holders: holders.map(look), waiters: waiters.map(look), ...more });
    return {
      granted: decided.granted.map(real),
      refused: decided.refused.map(({ claim, error }) => ({ claim: real(claim), error })),
      superseded: decided.superseded.map(({ claim, reason }) => ({ claim: real(claim), reason })),
    };
  };
}

function asks(change: (request: LockClaim['request']) => Partial<LockClaim['request']>): Decide {
  return sees((claim) => ({ ...claim, request: { ...claim.request, ...change(claim.request) } }));
}

/** An admission that says something else than it has decided. */
function says(change: (decision: AdmissionDecision, facts: AdmissionFacts) => Partial<AdmissionDecision>): Decide {
  return (facts) => {
    const decision = decideAdmission(facts);
    return { ...decision, ...change(decision, facts) };
  };
}

const error = { type: 'lock', message: 'no', retryable: false };

const wrongs: [string, Decide][] = [
  ['does not look at priorities', sees((claim) => ({ ...claim, priority: 0 }))],
  ['lets the newest go first', sees((claim) => ({ ...claim, since: -claim.since }))],
  [
    'lets one more hold a lock',
    asks(({ locks }) => ({ locks: locks.map(({ name, limit }) => ({ name, limit: limit + 1 })) })),
  ],
  [
    'takes every lock for one that a single one holds',
    asks(({ locks }) => ({ locks: locks.map(({ name }) => ({ name, limit: 1 })) })),
  ],
  ['looks at the first lock alone', asks(({ locks }) => ({ locks: locks.slice(0, 1) }))],
  ['does not look at groups', asks(() => ({ group: null }))],
  ['takes every group for a queue', asks(({ group }) => ({ group: group && { ...group, policy: 'Queue' } }))],
  ['does not look at the running steps of the namespace', sees((claim) => claim, { slots: null })],
  ['does not see what a step inherits from its run', sees((claim) => ({ ...claim, ancestors: [] }))],
  ['grants one at a time', says(({ granted }) => ({ granted: granted.slice(0, 1) }))],
  [
    'never grants two locks',
    says(({ granted }) => ({ granted: granted.filter(({ request }) => request.locks.length < 2) })),
  ],
  ['lets circles be', says(({ refused }) => ({ refused: refused.filter((one) => one.error.type !== 'lock') }))],
  ['turns nobody away', says(({ refused }) => ({ refused: refused.filter((one) => one.error.type === 'lock') }))],
  [
    'refuses whoever must wait',
    says(({ granted, refused, superseded }, { waiters }) => {
      const known = new Set([...granted, ...[...refused, ...superseded].map(({ claim }) => claim)]);
      const more = waiters.filter((one) => !known.has(one) && !one.superseded);
      return { refused: [...refused, ...more.map((claim) => ({ claim, error }))] };
    }),
  ],
  ['never supersedes', says(() => ({ superseded: [] }))],
];

test('runs that share a namespace have nothing wrong', () => {
  for (let seed = 0; seed < histories; seed++)
    expect({ seed, problems: liveTogether(seed) }).toEqual({ seed, problems: [] });
});

test('the histories have what is to be judged', () => {
  const counts = { waits: 0, circles: 0, turnedAway: 0, superseded: 0, nested: 0 };
  const count: Decide = (facts) => {
    const decision = decideAdmission(facts);
    counts.waits += facts.waiters.length - decision.granted.length;
    for (const {
      error: { type },
    } of decision.refused)
      counts[type === 'lock' ? 'circles' : 'turnedAway']++;
    counts.superseded += decision.superseded.length;
    counts.nested += facts.waiters.filter(({ ancestors }) =>
      facts.holders.some(({ id }) => ancestors.includes(id)),
    ).length;
    return decision;
  };
  for (let seed = 0; seed < histories; seed++) liveTogether(seed, count);
  for (const many of Object.values(counts)) expect(many).toBeGreaterThan(10);
});

test.each(wrongs)('an admission is found out that %s', (_, decide) => {
  const found = Array.from({ length: histories }, (_, seed) => seed).find(
    (seed) => liveTogether(seed, decide).length > 0,
  );
  expect(found).toBeDefined();
});
