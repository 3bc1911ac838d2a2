import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { runRow, transition } from '../../test/fixtures/history.ts';
import { systemClock } from '../runtime/clock.ts';
import { openStore } from '../store/open.ts';
import type { RunHistory, Store } from '../store/types.ts';
import { createRunClaims } from './run-claims.ts';

let directory: string;
let store: Store;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-claims-'));
  store = await openStore({ dataDir: directory }, { clock: systemClock, home: 'test' });
}, 60_000);
afterAll(async () => {
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

/** Claims as a controller does, of a store whose runs answer otherwise. */
function claims(runs: RunHistory = store.runs) {
  const clock = createVirtualClock(0);
  const known = new Map<string, number>();
  const log = pino({ level: 'silent' });
  const told: string[] = [];
  const claiming = createRunClaims({
    store: { lease: store.lease, runs },
    clock,
    log,
    lost: () => {},
    claimed(id, { fence }) {
      known.set(id, fence);
      told.push(id);
    },
    has: (id, fence) => known.get(id) === fence,
  });
  return { claiming, clock, known, told };
}

test('a claim whose answer was lost with the connection is found when there is one again', async () => {
  const run = runRow('lost');
  await store.runs.create(run);
  let cut = true;
  const { claiming, known, told } = claims({
    ...store.runs,
    async claim(limit) {
      const found = await store.runs.claim(limit);
      if (!cut) return found;
      cut = false;
      throw new Error('the connection was cut');
    },
  });
  await claiming.soon();
  expect(known.has(run.id)).toBe(false);
  await claiming.soon();
  expect(known.has(run.id)).toBe(true);
  await claiming.soon();
  expect(told).toEqual([run.id]);
});

test('a run of this replica that it has forgotten is found within half a minute, one that has ended is not', async () => {
  const [run, over] = [runRow('forgotten'), runRow('over')];
  await store.runs.create(run);
  await store.runs.create(over);
  const { claiming, clock, known, told } = claims();
  await claiming.soon();
  const ended = { ...over, phase: 'Succeeded' as const, outcome: 'Succeeded' as const, finishedAt: 9_000 };
  await store.runs.commit(transition(ended), known.get(over.id) ?? 0);
  known.delete(run.id);
  known.delete(over.id);
  told.length = 0;
  clock.advance(29_999);
  await claiming.soon();
  expect(told).not.toContain(run.id);
  clock.advance(1);
  await claiming.soon();
  expect(told).toContain(run.id);
  expect(told).not.toContain(over.id);
});
