import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../controller/runtime/clock.ts';
import { openStore } from '../../controller/store/open.ts';
import type { CacheFill, LookUp } from '../../controller/store/cache-types.ts';
import type { Store } from '../../controller/store/types.ts';
import { attemptRow, runRow, stepRow } from '../fixtures/history.ts';
import { type Figure, median, quantile } from './figures.ts';

const rounds = 2_000;

async function withStore<T>(databaseUrl: string | null, measure: (store: Store) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-bench-'));
  const store = await openStore(databaseUrl ? { databaseUrl } : { dataDir: directory }, {
    clock: systemClock,
    home: 'bench',
  });
  try {
    return await measure(store);
  } finally {
    await store.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** What one decision costs until it is durable: a run, a step, an attempt; alone, one after the other. */
export async function stateCommit(databaseUrl: string | null): Promise<Figure> {
  return await withStore(databaseUrl, async (store) => {
    const run = runRow('run');
    await store.runs.create(run);
    const fence = (await store.runs.claim(1))[0]?.fence ?? 0;
    const samples: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const step = `s${i % 10}`;
      const number = 1 + Math.floor(i / 10);
      const transition = {
        run: { ...run, revision: i },
        steps: [stepRow(run.id, step, { attempts: number })],
        attempts: [attemptRow(run.id, step, { number })],
        events: [],
      };
      const begun = performance.now();
      await store.runs.commit(transition, fence);
      if (i >= rounds / 10) samples.push(performance.now() - begun);
    }
    const values = { p50: median(samples), p99: quantile(samples, 0.99) };
    const met = databaseUrl === null ? null : values.p50 <= 1;
    return { name: `state commit, ${store.driver}`, values, unit: 'ms', bar: 'p50 ≤1 ms on Postgres', met };
  });
}

function entryOf({ runId, step, item, namespace, workflow, cache, ttlMs }: LookUp): CacheFill {
  const unit = { runId, step, item, namespace, workflow, key: cache.key, ttlMs };
  return { ...unit, outputs: { text: 'x'.repeat(200) }, artifacts: {}, image: null, imageId: null };
}

/** A look-up in the step cache among 10,000 entries that finds one; alone, one after the other. */
export async function cacheLookUp(databaseUrl: string | null): Promise<Figure> {
  return await withStore(databaseUrl, async (store) => {
    const request = (n: number): LookUp => ({
      runId: 'run',
      step: 'a',
      item: n,
      namespace: 'bench',
      workflow: 'w',
      cache: { key: `sha256:${n}`, parts: { step: 'a', body: `sha256:${n}` } },
      ttlMs: 3_600_000,
      image: null,
    });
    const entries = Array.from({ length: 10_000 }, (_, n) => n);
    await Promise.all(entries.map((n) => store.cache.fill(entryOf(request(n)))));
    const samples: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const begun = performance.now();
      const { type } = await store.cache.lookUp(request((i * 7919) % 10_000));
      if (type !== 'hit') throw new Error(`entry ${i} was not found`);
      if (i >= rounds / 10) samples.push(performance.now() - begun);
    }
    const values = { p50: median(samples), p99: quantile(samples, 0.99) };
    const met = databaseUrl === null ? null : values.p50 <= 1;
    return { name: `cache look-up, ${store.driver}`, values, unit: 'ms', bar: 'p50 ≤1 ms on Postgres', met };
  });
}
