import { createAppliedVersions } from './applied-versions.ts';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { stopAction } from '../../test/conformance/executor.ts';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { runRow, transition } from '../../test/fixtures/history.ts';
import { type AttemptKey, type AttemptResult, type RunRow, wholeStep } from '../core/run/types.ts';
import { systemClock } from '../runtime/clock.ts';
import type { StartAction } from '../seams/executor.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { type ChildRuns, childId, createChildRuns } from './child-runs.ts';
import { createPlanCache } from './plans.ts';

const namespace = 'here';
let directory: string;
let store: Store;
let names = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-children-'));
  store = await openStore({ dataDir: directory }, { clock: systemClock, home: 'test' });
  const spec = {
    inputs: { n: { type: 'integer' } },
    outputs: { n: '${{ inputs.n }}' },
    steps: [{ name: 'check', assert: [{ that: 'true', message: 'never' }] }],
  };
  await store.objects.apply({ kind: 'Workflow', metadata: { name: 'child', namespace }, spec });
}, 60_000);
afterAll(async () => {
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

let parent: RunRow;
let key: AttemptKey;
let told: AttemptResult[];
beforeEach(() => {
  parent = runRow(`parent-${++names}`, { namespace, workflow: 'parent' });
  key = { runId: parent.id, step: 'call_it', item: 2, attempt: 1 };
  told = [];
});

/** As a controller has them; another one is what comes after a restart. */
function controller(
  runs: Partial<Store['runs']> = {},
  clock = createVirtualClock(10_000),
): { children: ChildRuns; clock: typeof clock } {
  const sink = { ended: (_: AttemptKey, result: AttemptResult) => void told.push(result) };
  const plans = createPlanCache(store.versions);
  const log = pino({ level: 'silent' });
  const children = createChildRuns({
    store: { ...store, runs: { ...store.runs, ...runs } },
    plans,
    applied: createAppliedVersions(store.versions, clock),
    sink,
    clock,
    log,
    onRecorded: () => {},
  });
  return { children, clock };
}

function action(more: { name?: string; inputs?: object; resumes?: boolean } = {}): StartAction {
  return {
    type: 'Start',
    key,
    namespace,
    runName: parent.name,
    workflow: parent.workflow,
    digest: parent.digest,
    owner: { uid: parent.id, name: parent.name },
    effect: 'main/0/1',
    body: {
      kind: 'workflow',
      name: more.name ?? 'child',
      inputs: { n: 1, ...more.inputs },
      priority: 3,
      root: parent.root,
      depth: parent.depth + 1,
      resumes: more.resumes ?? false,
    },
    artifacts: { out: {}, in: {} },
    startedAt: 5_000,
  };
}

async function end(
  phase: 'Succeeded' | 'Degraded' | 'Failed' | 'TimedOut' | 'Cancelled',
  more: Partial<RunRow> = {},
): Promise<RunRow> {
  const id = childId(key);
  const fence = new Map((await store.runs.claim(200)).map((claim) => [claim.id, claim.fence])).get(id) ?? 0;
  const row = await store.runs.get(id);
  const ended: RunRow = { ...(row as RunRow), phase, outcome: phase, finishedAt: 9_000, ...more };
  await store.runs.commit(transition(ended), fence);
  return ended;
}

test('a child is one run of its attempt, also after a restart, which finds how it ended meanwhile', async () => {
  await store.runs.create(parent);
  await controller().children.start(action());
  expect(await store.runs.get(childId(key))).toMatchObject({
    namespace,
    workflow: 'child',
    inputs: { n: 1 },
    parent: key,
    root: parent.root,
    rootName: parent.rootName,
    depth: 1,
    priority: 3,
    createdAt: 5_000,
    name: expect.stringMatching(new RegExp(`^${parent.name}-call-it-2-[0-9a-f]{5}$`)),
  });
  await controller().children.start(action());
  expect((await store.runs.list({ parent: parent.id }, { limit: 5 })).items).toHaveLength(1);
  expect(told).toEqual([]);
  await end('Succeeded', { outputs: { n: 1 } });
  await controller().children.start(action());
  expect(told).toEqual([{ outcome: 'Succeeded', outputs: { values: { n: 1 } } }]);
});

describe('a child of the attempt before', () => {
  const second = () => ({ ...action({ resumes: true }), key: { ...key, attempt: 2 } });
  const childrenOf = async () => (await store.runs.list({ parent: parent.id }, { limit: 5 })).items;
  const failed = { error: { type: 'exit', message: 'exit code 3', retryable: true } };

  test.each(['Failed', 'TimedOut', 'Cancelled'] as const)(
    'that ended %s goes on, and its end is the second’s',
    async (phase) => {
      await store.runs.create(parent);
      const { children } = controller();
      await children.start(action());
      children.runEnded(await end(phase, failed));
      await children.start(second());
      const [child, ...others] = await childrenOf();
      expect(others).toEqual([]);
      expect(child).toMatchObject({ id: childId(key), phase: 'Queued', execution: 2, parent: { ...key, attempt: 2 } });
      // What is told late of the first execution is no end of the second.
      children.runEnded({ ...(child as RunRow), parent: key, phase: 'Failed', finishedAt: 9_000, ...failed });
      expect(told).toHaveLength(1);
      await controller().children.start(second());
      expect(await childrenOf()).toEqual([child]);
      children.runEnded({ ...(child as RunRow), phase: 'Succeeded', finishedAt: 9_500, outputs: {} });
      expect(told.at(-1)).toMatchObject({ outcome: 'Succeeded' });
    },
  );

  test.each([
    ['ended Degraded', { phase: 'Degraded' as const }, {}],
    ['ended well', { phase: 'Succeeded' as const }, {}],
    ['was given other inputs', { phase: 'Failed' as const, ...failed }, { inputs: { n: 2 } }],
    ['is not to go on', { phase: 'Failed' as const, ...failed }, { resumes: false }],
  ])('that %s stays as it is: there is another', async (_, first, more) => {
    await store.runs.create(parent);
    const { children } = controller();
    await children.start(action());
    const { phase, ...rest } = first;
    children.runEnded(await end(phase, rest));
    await children.start({ ...action({ resumes: true, ...more }), key: { ...key, attempt: 2 } });
    expect((await childrenOf()).map(({ execution }) => execution)).toEqual([1, 1]);
  });

  test('stays as it is when something was done in between, which may have undone it', async () => {
    await store.runs.create(parent);
    const { children } = controller();
    await children.start(action());
    children.runEnded(await end('Failed', failed));
    await children.start({ ...action({ resumes: true }), key: { ...key, attempt: 3 } });
    expect(await childrenOf()).toHaveLength(2);
  });
});

describe('a child of the attempt before, when another controller starts the attempt at the same time', () => {
  const attempt = (number: number) => ({ ...action({ resumes: true }), key: { ...key, attempt: number } });
  const only = async () => (await store.runs.list({ parent: parent.id }, { limit: 5 })).items;

  async function failFirst(): Promise<void> {
    await store.runs.create(parent);
    const { children } = controller();
    await children.start(action());
    children.runEnded(await end('Failed', { error: { type: 'exit', message: 'exit code 3', retryable: true } }));
  }

  test.each<[string, (first: () => Promise<void>) => Partial<Store['runs']>]>([
    [
      'before what there is of it is read',
      (first) => ({
        async load(ids) {
          await first();
          return await store.runs.load(ids);
        },
      }),
    ],
    [
      'before it goes on',
      (first) => ({
        async reopen(transition) {
          await first();
          return await store.runs.reopen(transition);
        },
      }),
    ],
  ])('%s, is the one that goes on, and there is no other', async (_, world) => {
    await failFirst();
    const first = controller().children;
    const { children } = controller(world(() => first.start(attempt(2))));
    await children.start(attempt(2));
    const [child, ...others] = await only();
    expect(others).toEqual([]);
    expect(child).toMatchObject({ id: childId(key), execution: 2, parent: { ...key, attempt: 2 } });
    told = [];
    children.runEnded({ ...(child as RunRow), phase: 'Succeeded', finishedAt: 9_500, outputs: {} });
    expect(told).toMatchObject([{ outcome: 'Succeeded' }]);
  });

  test('and it has ended again by then, that end is told', async () => {
    await failFirst();
    told = [];
    const { children } = controller({
      async load(ids) {
        await controller().children.start(attempt(2));
        await end('Succeeded', { outputs: {} });
        return await store.runs.load(ids);
      },
    });
    await children.start(attempt(2));
    expect(told).toMatchObject([{ outcome: 'Succeeded' }]);
  });

  test.each(['load', 'get'] as const)(
    'and is at a later attempt by then (%s), starts nothing any more',
    async (call) => {
      await failFirst();
      let late = false;
      const goOn = async () => {
        if (late) return;
        late = true;
        await controller().children.start(attempt(2));
        const again = controller().children;
        again.runEnded(await end('Failed', { error: { type: 'exit', message: 'exit code 3', retryable: true } }));
        await again.start(attempt(3));
      };
      const { children } = controller({
        async load(ids) {
          if (call === 'load') await goOn();
          return await store.runs.load(ids);
        },
        async get(id) {
          if (call === 'get') await goOn();
          return await store.runs.get(id);
        },
      });
      await expect(children.start(attempt(2))).rejects.toThrow(/child run/);
      expect(await only()).toMatchObject([{ id: childId(key), execution: 3, parent: { ...key, attempt: 3 } }]);
    },
  );
});

test('an attempt that is stopped while it is being started leaves no child that nobody has cancelled', async () => {
  await store.runs.create(parent);
  const [asked, letGo] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let created = 0;
  const { children } = controller({
    async create(row, more) {
      created++;
      asked.resolve();
      await letGo.promise;
      return await store.runs.create(row, more);
    },
  });
  const started = Promise.all([children.start(action()), children.start(action())]);
  await asked.promise;
  const stopped = children.stop(stopAction(action(), 0));
  await new Promise(setImmediate);
  expect(told).toEqual([]);
  letGo.resolve();
  await Promise.all([started, stopped]);
  expect(created).toBe(1);
  expect((await store.runs.specs([childId(key)])).get(childId(key))).toMatchObject({ desired: 'Cancelled' });
  expect(told).toEqual([]);
  children.runEnded(await end('Cancelled'));
  expect(told).toEqual([{ outcome: 'Stopped' }]);
});

test('an end that another replica records is found within two seconds', async () => {
  await store.runs.create(parent);
  const { children, clock } = controller();
  await children.start(action());
  children.open();
  await end('Failed', { error: { type: 'exit', message: 'exit code 3', retryable: false } });
  clock.advance(2000);
  await children.close();
  const { name } = (await store.runs.get(childId(key))) as RunRow;
  const error = { type: 'child', message: `the run ${name} failed: exit code 3`, retryable: false };
  expect(told).toEqual([{ outcome: 'Failed', error }]);
});

test('an end of this replica is told at once, and once', async () => {
  await store.runs.create(parent);
  const { children } = controller();
  await children.start(action());
  const ended = await end('Cancelled');
  children.runEnded(ended);
  children.runEnded(ended);
  children.runEnded(parent);
  expect(told).toMatchObject([{ outcome: 'Failed', error: { type: 'child', retryable: false } }]);
});

test('stopping cancels the child, and its end is that the attempt was stopped', async () => {
  await store.runs.create(parent);
  const { children } = controller();
  await children.start(action());
  const stop = stopAction(action(), 1000);
  await children.stop(stop);
  expect((await store.runs.specs([childId(key)])).get(childId(key))).toMatchObject({
    desired: 'Cancelled',
    force: false,
  });
  expect(told).toEqual([]);
  children.runEnded(await end('Cancelled'));
  expect(told).toEqual([{ outcome: 'Stopped' }]);
  // Asked again after a restart.
  await controller().children.stop(stop);
  expect(told).toEqual([{ outcome: 'Stopped' }, { outcome: 'Stopped' }]);
});

test('force passes on, also when it comes later; a child that was never recorded has stopped', async () => {
  parent = { ...parent, forced: true };
  await store.runs.create(parent);
  const { children } = controller();
  const stop = stopAction(action(), 0);
  await children.stop(stop);
  expect(told).toEqual([{ outcome: 'Stopped' }]);
  await children.start(action());
  await store.runs.changeSpec(childId(key), (spec) => ({ ...spec, desired: 'Cancelled' }));
  await children.stop(stop);
  expect((await store.runs.specs([childId(key)])).get(childId(key))).toMatchObject({
    desired: 'Cancelled',
    force: true,
  });
});

test('a pause reaches the children, and its end those that it paused', async () => {
  await store.runs.create(parent);
  const { children } = controller();
  await children.start(action());
  const desired = async () => (await store.runs.specs([childId(key)])).get(childId(key))?.desired;
  await children.follow(parent.id, 'Paused');
  expect(await desired()).toBe('Paused');
  await children.follow(parent.id, 'Running');
  expect(await desired()).toBe('Running');
  await store.runs.changeSpec(childId(key), (spec) => ({ ...spec, desired: 'Paused', reason: 'look at it' }));
  await children.follow(parent.id, 'Paused');
  await children.follow(parent.id, 'Running');
  expect(await desired()).toBe('Paused');
  await store.runs.changeSpec(childId(key), (spec) => ({ ...spec, desired: 'Cancelled' }));
  await children.follow(parent.id, 'Paused');
  expect(await desired()).toBe('Cancelled');
});

test.each([
  ['too deep', () => ({ parent: { depth: 10 } }), /at most 10 runs above it/],
  [
    'its own ancestor',
    () => ({ parent: { workflow: 'child' } }),
    /workflow child would start itself: run name-parent-/,
  ],
  ['not there', () => ({ name: 'nowhere' }), /no workflow nowhere in namespace here/],
  ['given wrong inputs', () => ({ inputs: { n: 'x' } }), /inputs of workflow child: .*n/],
])('a child that is %s is refused, and no run is made', async (_, make, message) => {
  const { parent: changes, ...more }: { parent?: Partial<RunRow>; name?: string; inputs?: object } = make();
  parent = { ...parent, ...changes };
  await store.runs.create(parent);
  await controller().children.start(action(more));
  expect(told).toMatchObject([{ outcome: 'Failed', error: { type: 'child', retryable: false } }]);
  expect(told[0]?.outcome === 'Failed' ? told[0].error.message : '').toMatch(message);
  expect(await store.runs.get(childId(key))).toBeNull();
});

test('ids are formed like UIDs, and differ by run, step, item and attempt', () => {
  const one = { runId: 'r', step: 's', item: wholeStep, attempt: 1 };
  const others = [{ runId: 'q' }, { step: 't' }, { item: 0 }, { attempt: 2 }].map((more) => ({ ...one, ...more }));
  const ids = [one, ...others].map(childId);
  expect(new Set(ids).size).toBe(5);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
});
