import { expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { runRow } from '../../test/fixtures/history.ts';
import { wholeStep } from '../core/run/types.ts';
import { AttemptHeld, type Executor, type StartAction } from '../seams/executor.ts';
import type { Lease } from '../seams/lease.ts';
import { createLiveAttempts } from './live-attempts.ts';
import { createRunActions } from './run-actions.ts';

const run = runRow('r');
const lease: Lease = { replica: 'a', remainingMs: () => Infinity, lost: new AbortController().signal };

function start(step: string): StartAction {
  return {
    type: 'Start',
    key: { runId: run.id, step, item: wholeStep, attempt: 1 },
    namespace: run.namespace,
    runName: run.name,
    workflow: run.workflow,
    digest: run.digest,
    owner: { uid: run.id, name: run.name },
    effect: 'main/0/1',
    body: { kind: 'workflow', name: 'child', inputs: {}, priority: 0, root: run.id, depth: 1, resumes: false },
    artifacts: { out: {}, in: {} },
    startedAt: 0,
  };
}

/** Of each step's start, what the world makes of it. */
function performing(world: Record<string, () => Promise<void>>) {
  const begun: string[] = [];
  const executor: Executor = {
    kinds: ['workflow'],
    async start({ key }) {
      begun.push(key.step);
      await world[key.step]?.();
    },
    async stop() {},
    async forget() {},
    async sweep() {},
    async close() {},
  };
  const nothing = { acquire: async () => {}, release: async () => {}, follow: async () => {}, forget() {}, start() {} };
  const perform = createRunActions({
    executor,
    locks: { ...nothing, stop: async () => {} },
    cache: { ...nothing, lookUp: async () => {}, fill: async () => {}, stop: async () => {} },
    live: createLiveAttempts(createVirtualClock(0)),
    drains: () => false,
  });
  return { begun, performed: perform(Object.keys(world).map(start), lease, run) };
}

const full = new AttemptHeld('exceeded quota: few');
const away = new Error('the database is away');

test('while anything of a decision is under way, it is not over, whatever else failed', async () => {
  const slow = Promise.withResolvers<void>();
  const { begun, performed } = performing({ held: () => Promise.reject(full), slow: () => slow.promise });
  let over = false;
  const ended = performed.catch((error: unknown) => error).finally(() => (over = true));
  await new Promise(setImmediate);
  expect(over).toBe(false);
  slow.resolve();
  expect(await ended).toBe(full);
  expect(begun).toEqual(['held', 'slow']);
});

test.each([
  ['nothing fails', {}, undefined],
  ['one fails', { b: away }, away],
  ['one is held', { b: full }, full],
  ['one is held and another fails before it', { a: away, b: full }, full],
  ['several fail', { a: away, b: new Error('another') }, away],
])('each is begun once, and told is what a person can do something about: %s', async (_, failures, told) => {
  const fails: Record<string, Error> = failures;
  const world = ['a', 'b', 'c'].map((step) => [
    step,
    async () => {
      if (fails[step]) throw fails[step];
    },
  ]);
  const { begun, performed } = performing(Object.fromEntries(world));
  expect(await performed.catch((error: unknown) => error)).toBe(told);
  expect(begun).toEqual(['a', 'b', 'c']);
});
