import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { systemClock } from '../runtime/clock.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { createRunRetention } from './run-retention.ts';

const namespace = 'dev';
const day = 24 * 3_600_000;
let directory: string;
let store: Store;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-run-retention-'));
  store = await openStore({ dataDir: directory }, { clock: systemClock, home: 'test' });
}, 60_000);
afterAll(async () => {
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

async function createFinished(name: string, finishedAt: number): Promise<void> {
  const { metadata } = await store.objects.create({
    kind: 'WorkflowRun',
    metadata: { namespace, name },
    spec: { workflow: 'report' },
  });
  const at = new Date(finishedAt).toISOString();
  const condition = {
    type: 'Finished',
    status: 'True' as const,
    reason: 'Succeeded',
    message: '',
    lastTransitionTime: at,
  };
  await store.objects.writeStatus('WorkflowRun', metadata, {
    phase: 'Succeeded',
    finishedAt: at,
    conditions: [condition],
  });
}

test('a run that is retried while others are removed stays', async () => {
  const clock = createVirtualClock(systemClock.now());
  const names = Array.from({ length: 10 }, (_, i) => `run-${i}`);
  // The newest goes last.
  for (const [i, name] of names.entries()) await createFinished(name, clock.now() - 2 * day - i);

  const last = names.at(-1) ?? '';
  let retried = false;
  const remove: Store['objects']['delete'] = async (...of) => {
    if (!retried) {
      retried = true;
      await store.objects.update('WorkflowRun', namespace, last, ({ spec }) => ({
        spec: { ...spec, execution: { number: 2 } },
      }));
    }
    return await store.objects.delete(...of);
  };
  const watched = { ...store, objects: { ...store.objects, delete: remove } };
  const log = pino({ level: 'silent' });
  const retention = createRunRetention({ store: watched, clock, log, ttlMs: day, perWorkflow: null });
  await retention.start();
  clock.advance(1000);
  await expect.poll(async () => (await store.objects.list('WorkflowRun')).length).toBe(1);
  await retention.stop();
  expect((await store.objects.list('WorkflowRun')).map(({ metadata }) => metadata.name)).toEqual([last]);
});
