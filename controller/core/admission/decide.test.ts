import { describe, expect, test } from 'vitest';
import type { Holder, LockRequest } from '../run/types.ts';
import { decideAdmission } from './decide.ts';
import { type AdmissionFacts, type LockClaim, nodeOf } from './types.ts';

type Group = NonNullable<LockRequest['group']>;
interface Wish {
  locks?: string[] | Record<string, number>;
  group?: string;
  policy?: Group['policy'];
  slot?: boolean;
  priority?: number;
  since?: number;
  above?: LockClaim[];
  superseded?: boolean;
  compensates?: boolean;
}

let clock = 0;

/** `a`: a run; `a/x`: step x of run a. */
function claim(name: string, wish: Wish = {}): LockClaim {
  const [runId = '', step] = name.split('/');
  const holder: Holder = step === undefined ? { step: null } : { step, item: -1 };
  const { locks = [], group, policy = 'Queue', above = [] } = wish;
  const limits = Array.isArray(locks) ? locks.map((l) => [l, 1] as const) : Object.entries(locks);
  return {
    id: nodeOf(runId, holder),
    runId,
    holder,
    ancestors: [...(step === undefined ? [] : [runId]), ...above.flatMap((a) => [a.id, ...a.ancestors])],
    label: step === undefined ? `run ${runId}` : `step ${step} of run ${runId}`,
    priority: wish.priority ?? 0,
    since: wish.since ?? clock++,
    request: {
      locks: limits.map(([lock, limit]) => ({ name: lock, limit })),
      group: group === undefined ? null : { name: group, policy },
      slot: wish.slot ?? false,
    },
    superseded: wish.superseded ?? false,
    compensates: wish.compensates ?? false,
  };
}

const nameOf = ({ runId, holder }: LockClaim) => (holder.step === null ? runId : `${runId}/${holder.step}`);

function decide(holders: LockClaim[], waiters: LockClaim[], slots: AdmissionFacts['slots'] = null) {
  const { granted, refused, superseded } = decideAdmission({ holders, waiters, slots });
  return {
    granted: granted.map(nameOf),
    refused: Object.fromEntries(refused.map((r) => [nameOf(r.claim), r.error.message])),
    superseded: Object.fromEntries(superseded.map((s) => [nameOf(s.claim), s.reason])),
  };
}

describe('locks and semaphores', () => {
  test('a lock has one holder; the next is who has waited longest', () => {
    const waiters = [claim('b', { locks: ['db'] }), claim('c', { locks: ['db'] })];
    expect(decide([claim('a', { locks: ['db'] })], waiters).granted).toEqual([]);
    expect(decide([], waiters).granted).toEqual(['b']);
  });

  test('a higher priority goes first', () => {
    const waiters = [claim('b', { locks: ['db'] }), claim('c', { locks: ['db'], priority: 1 })];
    expect(decide([], waiters).granted).toEqual(['c']);
  });

  test('a semaphore has as many holders as its limit; the smallest limit that anybody names counts', () => {
    const three = ['a', 'b', 'c', 'd'].map((name) => claim(name, { locks: { gpu: 3 } }));
    expect(decide([], three).granted).toEqual(['a', 'b', 'c']);
    expect(decide([], [...three, claim('e', { locks: { gpu: 2 } })]).granted).toEqual(['a', 'b']);
    expect(decide([claim('old', { locks: { gpu: 1 } })], three).granted).toEqual([]);
  });

  test('all or nothing: what is free is kept for who comes first, and not held by it', () => {
    const waiters = [
      claim('b', { locks: ['db', 'disk'] }),
      claim('c', { locks: ['disk'] }),
      claim('d', { locks: ['net'] }),
    ];
    expect(decide([claim('a', { locks: ['db'] })], waiters).granted).toEqual(['d']);
  });

  test('what an ancestor holds is held by its steps and child runs, whatever their number', () => {
    const a = claim('a', { locks: ['db'] });
    const step = claim('a/x', { locks: ['db'] });
    const child = claim('child', { locks: ['db'], above: [claim('a/y')] });
    expect(decide([a], [step, child, claim('other', { locks: ['db'] })]).granted).toEqual(['a/x', 'child']);
    // Of one step another knows nothing.
    expect(decide([claim('b'), claim('b/x', { locks: ['db'] })], [claim('b/y', { locks: ['db'] })]).granted).toEqual(
      [],
    );
  });
});

describe('slots', () => {
  test('so many steps of the namespace run at once; what needs none is not held up', () => {
    const waiters = ['a/x', 'a/y', 'b/x'].map((name) => claim(name, { slot: true }));
    expect(decide([], [...waiters, claim('c')], 2).granted).toEqual(['a/x', 'a/y', 'c']);
    expect(decide([claim('z/x', { slot: true })], waiters, 2).granted).toEqual(['a/x']);
    expect(decide([], waiters, null).granted).toEqual(['a/x', 'a/y', 'b/x']);
  });

  test('a slot is not kept for who could not use it yet, and not inherited', () => {
    const held = claim('a', { locks: ['db'] });
    const waiters = [claim('b/x', { locks: ['db'], slot: true }), claim('c/x', { slot: true })];
    expect(decide([held], waiters, 1).granted).toEqual(['c/x']);
    // As soon as only the slot is missing, the next one is its own.
    const busy = claim('c/x', { slot: true });
    expect(decide([busy], [waiters[0] as LockClaim, claim('d/x', { slot: true })], 1).granted).toEqual([]);
    const outer = claim('a/x', { slot: true });
    expect(decide([outer], [claim('child/y', { slot: true, above: [outer] })], 2).granted).toEqual(['child/y']);
  });
});

describe('groups', () => {
  test('Queue: one run after the other', () => {
    const waiters = [claim('b', { group: 'g' }), claim('c', { group: 'g' }), claim('d', { group: 'h' })];
    expect(decide([], waiters)).toMatchObject({ granted: ['b', 'd'], refused: {}, superseded: {} });
    expect(decide([claim('a', { group: 'g' })], waiters).granted).toEqual(['d']);
  });

  test('a lock and a group of one name are two things', () => {
    expect(decide([claim('a', { group: 'x' })], [claim('b', { locks: ['x'] })]).granted).toEqual(['b']);
  });

  test('Reject: refused when another one of the group runs or waits before it, else granted', () => {
    const late = claim('b', { group: 'g', policy: 'Reject' });
    expect(decide([], [late]).granted).toEqual(['b']);
    const decided = decide([claim('a', { group: 'g' })], [late]);
    expect(decided.refused['b']).toBe('the concurrency group "g" is taken by run a, and its policy is Reject');
    expect(decide([], [claim('w', { group: 'g', since: -1 }), late])).toMatchObject({
      granted: ['w'],
      refused: { b: /w/ },
    });
    const child = claim('c', { group: 'g', policy: 'Reject', above: [claim('a/x')] });
    expect(decide([claim('a', { group: 'g' })], [child]).granted).toEqual(['c']);
  });

  test('CancelRunning: the newest takes the place of what runs and of what waits', () => {
    const running = claim('a', { group: 'g' });
    const waiters = ['b', 'c'].map((name) => claim(name, { group: 'g', policy: 'CancelRunning' }));
    const decided = decide([running], waiters);
    expect(decided.granted).toEqual([]);
    expect(decided.superseded).toEqual({
      a: 'run c takes its place in the concurrency group "g"',
      b: 'run c takes its place in the concurrency group "g"',
    });
    // Said once; granted when the one before has let go.
    const told = { ...running, superseded: true };
    expect(decide([told], waiters.slice(1))).toEqual({ granted: [], refused: {}, superseded: {} });
    expect(decide([], waiters.slice(1)).granted).toEqual(['c']);
  });

  test('CancelRunning cancels no run of a higher priority: it waits', () => {
    const running = claim('a', { group: 'g', priority: 1 });
    const taker = claim('b', { group: 'g', policy: 'CancelRunning' });
    expect(decide([running], [taker])).toEqual({ granted: [], refused: {}, superseded: {} });
  });

  test('a superseded run that still waits is granted nothing', () => {
    expect(decide([], [claim('a', { group: 'g', superseded: true }), claim('b', { group: 'g' })]).granted).toEqual([
      'b',
    ]);
  });
});

describe('deadlocks', () => {
  test('two runs that want what the other holds: the later one is refused, and told with whom', () => {
    const [a, b] = [claim('a', { locks: ['x'] }), claim('b', { locks: ['y'] })];
    const decided = decide([a, b], [claim('a/s', { locks: ['y'] }), claim('b/s', { locks: ['x'] })]);
    expect(decided.granted).toEqual([]);
    expect(decided.refused).toEqual({
      'b/s':
        'what it asks for would never come free: step s of run b waits for lock "x", held by run a; ' +
        'step s of run a waits for lock "y", held by run b, which waits for this',
    });
  });

  test('the lower priority gives way, and a run that is to end anyway before all others', () => {
    const [a, b] = [claim('a', { locks: ['x'] }), claim('b', { locks: ['y'] })];
    const low = [claim('a/s', { locks: ['y'] }), claim('b/s', { locks: ['x'], priority: 1 })];
    expect(Object.keys(decide([a, b], low).refused)).toEqual(['a/s']);
    expect(Object.keys(decide([a, { ...b, superseded: true }], low).refused)).toEqual(['b/s']);
  });

  const undoes = { compensates: true };
  test.each<[string, Record<'a' | 'b' | 'c', Wish>, string]>([
    ['one that is served last', { a: {}, b: {}, c: undoes }, 'b/s'],
    ['one alone', { a: {}, b: undoes, c: undoes }, 'a/s'],
    ['one of a lower priority', { a: { priority: 9 }, b: {}, c: { ...undoes, priority: -9 } }, 'b/s'],
    ['one of a run that is to end anyway', { a: {}, b: {}, c: { ...undoes, superseded: true } }, 'b/s'],
    ['all but one', { a: undoes, b: { priority: 9 }, c: undoes }, 'b/s'],
    ['all of them', { a: undoes, b: undoes, c: undoes }, 'c/s'],
  ])('no compensation gives way while another can: %s', (_, { a, b, c }, refused) => {
    const runs = [claim('a', { locks: ['x'] }), claim('b', { locks: ['y'] }), claim('c', { locks: ['z'], ...c })];
    const waiters = [
      claim('a/s', { ...a, locks: ['y'] }),
      claim('b/s', { ...b, locks: ['z'] }),
      claim('c/s', { ...c, locks: ['x'], superseded: false }),
    ];
    expect(Object.keys(decide(runs, waiters).refused)).toEqual([refused]);
  });

  test('who only waits behind a circle is not refused', () => {
    const [a, b] = [claim('a', { locks: ['x'] }), claim('b', { locks: ['y'] })];
    const waiters = [claim('a/s', { locks: ['y'] }), claim('b/s', { locks: ['x'] }), claim('c', { locks: ['x'] })];
    expect(Object.keys(decide([a, b], waiters).refused)).toEqual(['b/s']);
  });

  test('a semaphore of which another holder can end is no deadlock', () => {
    const [a, b, c] = [claim('a', { locks: { s: 2 } }), claim('b', { locks: ['y'] }), claim('c', { locks: { s: 2 } })];
    const waiters = [claim('a/s', { locks: ['y'] }), claim('b/s', { locks: { s: 2 } })];
    expect(decide([a, b, c], waiters).refused).toEqual({});
    expect(decide([a, b], waiters).granted).toEqual(['b/s']);
  });

  test('through child runs and groups: an ancestor that waits for its child holds on', () => {
    const parent = claim('p', { locks: ['x'] });
    const other = claim('o', { group: 'g' });
    const child = claim('c', { group: 'g', above: [claim('p/s')] });
    const decided = decide([parent, other], [claim('o/s', { locks: ['x'] }), child]);
    expect(decided.refused['o/s']).toContain(
      'step s of run o waits for lock "x", held by run p; run c waits for group "g", held by run o',
    );
  });

  test('who comes first waits for a step behind it: the step is let by (priority inheritance)', () => {
    const held = claim('r', { locks: ['a'] });
    const first = claim('w', { locks: ['a', 'b'], priority: 9 });
    const step = claim('r/u', { locks: ['b'], priority: -9 });
    expect(decide([held], [first, claim('z', { locks: ['b'] }), step])).toMatchObject({
      granted: ['r/u'],
      refused: {},
    });
  });
});

test('steps that want a slot while their parent holds the only one are refused, not left for ever', () => {
  const outer = claim('a/x', { slot: true });
  const decided = decide([outer], [claim('child/y', { slot: true, above: [outer] })], 1);
  expect(decided.refused['child/y']).toContain('a running step of the namespace, held by step x of run a');
});
