import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { WorkflowRun } from '../../crds/workflow-run.ts';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import type { ApprovalsPolicy } from '../core/approval-trust.ts';
import { systemClock } from '../runtime/clock.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { lookAtApprovals, lookAtRun } from './approval-looks.ts';

let directory: string;
let store: Store;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-looks-'));
  store = await openStore({ dataDir: join(directory, 'data') }, { clock: systemClock, home: 'test' });
}, 60_000);

afterAll(async () => {
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

const ada = { user: 'ada', decision: 'Approve' as const };
const away: ApprovalsPolicy = { state: 'NotInForce', message: 'It is away.' };
const unknown: ApprovalsPolicy = { state: 'Unknown', message: 'Nobody knows.' };
const inForce = (identity: string): ApprovalsPolicy => ({ state: 'InForce', identity, since: null });

/** Looks at one object, made long ago, under a policy that a test may change. */
function looking(uid: string, first: ApprovalsPolicy) {
  const clock = createVirtualClock(1_000_000);
  const now = { policy: first };
  const deps = { store, clock, governance: { approvalsPolicy: async () => now.policy } };
  return {
    clock,
    now,
    deps,
    async look(...entries: (typeof ada & { at?: string })[]) {
      const looked = await lookAtApprovals(deps, [{ uid, createdAt: 5, entries }]);
      return { held: looked.held, ...looked.objects.get(uid) };
    },
  };
}

test('where nobody has to be asked, everything counts and nothing is recorded', async () => {
  const { look } = looking('laptop', { state: 'Unneeded' });
  expect(await look(ada)).toEqual({ held: null, believed: [ada], doubted: [], again: false });
  expect(await store.approvals.get('laptop')).toBeNull();
});

test('while nobody knows nothing counts, and nothing is recorded against it', async () => {
  const { look, now, clock } = looking('unknown', inForce('u1'));
  await look();
  clock.advance(5000);
  await look();
  now.policy = unknown;
  expect(await look(ada)).toMatchObject({ held: 'Nobody knows.', believed: [], doubted: [] });
  now.policy = inForce('u1');
  expect(await look(ada)).toMatchObject({ held: null, believed: [ada] });
});

test('what is written without the policy is doubted until it is written anew, 5 s after the policy is back', async () => {
  const { look, now, clock } = looking('away', away);
  expect(await look(ada)).toMatchObject({ held: 'It is away.', doubted: [ada] });
  now.policy = inForce('a1');
  expect(await look(ada)).toEqual({ held: null, believed: [], doubted: [ada], again: true });
  clock.advance(4999);
  expect(await look(ada)).toMatchObject({ again: true });
  clock.advance(1);
  expect(await look(ada)).toMatchObject({ doubted: [ada], again: false });
  const anew = { ...ada, at: '2026-01-01T00:00:00Z' };
  expect(await look(anew)).toMatchObject({ believed: [anew], doubted: [] });
  expect(Object.keys((await store.approvals.get('away'))?.look.entries ?? {})).toHaveLength(1);
});

test('each object has looks of its own: that one was looked at says nothing about another', async () => {
  const one = looking('first', inForce('e1'));
  const other = looking('other', inForce('e1'));
  for (const { look, clock } of [one, other]) {
    await look();
    clock.advance(5000);
    await look();
  }
  for (const { now, clock } of [one, other]) {
    now.policy = inForce('e2');
    clock.advance(60_000);
  }
  await one.look();
  one.clock.advance(5000);
  await one.look();
  other.clock.advance(5000);
  expect(await other.look(ada)).toMatchObject({ believed: [], doubted: [ada] });
});

test('replicas that look at once come to the same', async () => {
  const replicas = Array.from({ length: 3 }, () => looking('many', away));
  const looks = await Promise.all(replicas.map(({ look }) => look(ada)));
  expect(looks).toEqual(looks.map(() => expect.objectContaining({ doubted: [ada] })));
  expect(await store.approvals.get('many')).toMatchObject({ revision: 1 });
});

test('a run is told which approvals do not count, and is looked at again while that may change by itself', async () => {
  const { deps, now, clock } = looking('', away);
  const run = {
    metadata: { uid: 'run', creationTimestamp: '1970-01-01T00:00:00Z' },
    spec: { workflow: 'w', approvals: [{ ...ada, step: 'ask' }] },
  } as unknown as WorkflowRun;
  expect(await lookAtRun(deps, run)).toEqual({ approvals: [], held: 'It is away.', againInMs: 10_000 });
  now.policy = inForce('r1');
  expect(await lookAtRun(deps, run)).toMatchObject({ approvals: [], againInMs: 5000 });
  clock.advance(5000);
  const doubted = "ada's approval was written while the policy was not in force";
  expect(await lookAtRun(deps, run)).toMatchObject({ held: expect.stringContaining(doubted), againInMs: null });
  run.spec.approvals = [{ ...ada, step: 'ask', at: '2026-01-01T00:00:00Z' }];
  const approvals = [{ ...ada, step: 'ask', groups: [], comment: null, execution: 1 }];
  expect(await lookAtRun(deps, run)).toEqual({ approvals, held: null, againInMs: null });
});
