import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { runRow, stepRow, transition } from '../../test/fixtures/history.ts';
import type { RunAction, RunObservation, RunRow } from '../core/run/types.ts';
import { systemClock } from '../runtime/clock.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { createCacheRetention } from './cache-retention.ts';
import { createRunCache, type RunCache } from './run-cache.ts';

let directory: string;
let store: Store;
let names = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-run-cache-'));
  store = await openStore({ dataDir: directory }, { clock: systemClock, home: 'test' });
}, 60_000);
afterAll(async () => {
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

let run: RunRow;
let fence: number;
let told: string[];
let hits: boolean[];
let clock: ReturnType<typeof createVirtualClock>;
let cache: RunCache;
let createCache: (store: Pick<Store, 'cache' | 'artifacts'>) => RunCache;

beforeEach(async () => {
  run = runRow(`cached-${++names}`, { namespace: `ns-${names}` });
  await store.runs.create(run);
  fence = new Map((await store.runs.claim(200)).map((claim) => [claim.id, claim.fence])).get(run.id) ?? 0;
  told = [];
  hits = [];
  clock = createVirtualClock(systemClock.now());
  const post = (_: string, observation: RunObservation) => {
    if ('item' in observation) told.push(`${observation.type} ${observation.item}`);
  };
  const log = pino({ level: 'silent' });
  const metrics = { cached: (_: string, __: string, hit: boolean) => void hits.push(hit) };
  createCache = (its) => {
    const made = createRunCache({ store: its, post, clock, log, metrics });
    made.start();
    return made;
  };
  cache = createCache(store);
});

const ask = (item: number, key = 'k') =>
  cache.lookUp(
    {
      type: 'LookUp',
      runId: run.id,
      step: 's',
      item,
      namespace: run.namespace,
      cache: { key, parts: {} },
      ttlMs: 60_000,
      image: null,
    },
    run.workflow,
  );

const entryOfFirst = (
  more: Partial<Extract<RunAction, { type: 'Fill' }>> = {},
): Extract<RunAction, { type: 'Fill' }> => ({
  type: 'Fill',
  runId: run.id,
  step: 's',
  item: 0,
  namespace: run.namespace,
  workflow: run.workflow,
  key: 'k',
  ttlMs: 60_000,
  outputs: { x: 1 },
  artifacts: {},
  image: null,
  imageId: null,
  ...more,
});

const endItem = (item: number) =>
  store.runs.commit(
    transition(run, { steps: [stepRow(run.id, 's', { item, phase: 'Failed', finishedAt: 5 })] }),
    fence,
  );

test('of those that ask for the same, one makes the entry, and the others get it', async () => {
  await Promise.all([0, 1, 2].map((item) => ask(item)));
  expect(told).toEqual(['CacheMiss 0']);
  await cache.fill(entryOfFirst());
  await cache.stop();
  expect(told.toSorted()).toEqual(['CacheHit 1', 'CacheHit 2', 'CacheMiss 0']);
  expect(hits).toEqual([false, true, true]);
});

test('a database that goes away while the others are told costs nobody an answer', async () => {
  const artifacts = { orders: { digest: 'sha256:cc', bytes: 12, folder: false } };
  let away = true;
  let wasTried = () => {};
  const tried = new Promise<void>((resolve) => (wasTried = resolve));
  const note: Store['artifacts']['note'] = async (refs) => {
    wasTried();
    if (away) throw new Error('the database is away');
    await store.artifacts.note(refs);
  };
  await cache.stop();
  cache = createCache({ ...store, artifacts: { ...store.artifacts, note } });
  await Promise.all([0, 1, 2].map((item) => ask(item)));
  await cache.fill(entryOfFirst({ artifacts }));
  await tried;
  expect(told).toEqual(['CacheMiss 0']);
  away = false;
  while (told.length < 3) {
    clock.advance(2000);
    await new Promise(setImmediate);
  }
  await cache.stop();
  expect(told.toSorted()).toEqual(['CacheHit 1', 'CacheHit 2', 'CacheMiss 0']);
});

test('one that ends without making it leaves that to the next, within two seconds', async () => {
  await Promise.all([0, 1, 2].map((item) => ask(item)));
  await endItem(0);
  clock.advance(2000);
  await cache.stop();
  expect(told).toEqual(['CacheMiss 0', 'CacheMiss 1']);
});

test.each([
  ['the answer is one for who asked first', false, ['CacheMiss 1']],
  ['the answer is for all', true, ['CacheHit 1']],
  ['the database goes away', 'away' as const, ['CacheMiss 1']],
])(
  'one that asks while another that is let go of still waits is answered within two seconds: %s',
  async (_, how, answers) => {
    const [asked, letGo] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let first = true;
    const lookUp: Store['cache']['lookUp'] = async (request) => {
      if (!first) return await store.cache.lookUp(request);
      first = false;
      asked.resolve();
      await letGo.promise;
      if (how === 'away') throw new Error('the database is away');
      return await store.cache.lookUp(request);
    };
    await cache.stop();
    if (how === true) await cache.fill(entryOfFirst());
    cache = createCache({ ...store, cache: { ...store.cache, lookUp } });
    const before = ask(0).catch(() => {});
    await asked.promise;
    cache.forget(run.id);
    await ask(1);
    expect(told).toEqual([]);
    letGo.resolve();
    await before;
    // As its run has ended, it makes no entry.
    await endItem(0);
    clock.advance(2000);
    await cache.stop();
    expect(told).toEqual(answers);
  },
);

test('a run that is let go of hears nothing more; another key is another entry', async () => {
  await Promise.all([ask(0), ask(1), ask(2, 'other')]);
  expect(told.toSorted()).toEqual(['CacheMiss 0', 'CacheMiss 2']);
  cache.forget(run.id);
  await endItem(0);
  clock.advance(2000);
  await cache.stop();
  expect(told).toHaveLength(2);
});

test('entries that have expired are removed, once in a while; the others stay', async () => {
  const { entries } = store.cache;
  const keys = async () => (await entries(run.namespace, run.workflow, 's', 10)).map(({ key }) => key).toSorted();
  await cache.fill(entryOfFirst({ key: 'old', ttlMs: 0 }));
  await cache.fill(entryOfFirst());
  await cache.stop();
  expect(await keys()).toEqual(['k', 'old']);
  const log = pino({ level: 'silent' });
  const retention = createCacheRetention({ store, clock, log });
  retention.start();
  clock.advance(60_000);
  await retention.stop();
  expect(await keys()).toEqual(['k']);
});
