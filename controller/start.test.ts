import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startWorld } from '../test/fixtures/controller.ts';
import { openDataDirectory } from './data-directory.ts';
import { systemClock } from './runtime/clock.ts';
import { openStore } from './store/open.ts';

const waiting = 50;

test('at the start, runs that wait for a workflow keep nothing else waiting', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-start-'));
  const data = await openDataDirectory(join(directory, '.windlass'));
  const store = await openStore({ dataDir: data.path }, { clock: systemClock, home: data.home });
  for (let i = 0; i < waiting; i++) {
    const metadata = { name: `waits-${i}`, namespace: 'here' };
    await store.objects.create({ kind: 'WorkflowRun', metadata, spec: { workflow: 'missing' } });
  }
  const key = { name: 'team', namespace: 'default' };
  await store.objects.create({ kind: 'WorkflowSource', metadata: key, spec: { url: 'ftp://x', branch: 'main' } });
  await store.close();

  const world = await startWorld({ dataDir: data.path });
  const versions = new Map<string, number>();
  const all = Promise.withResolvers<void>();
  for (const kind of ['WorkflowSource', 'WorkflowRun'] as const) {
    await world.controller.store.objects.watch(kind, ({ object: { metadata, status } }) => {
      if (status !== undefined) versions.set(metadata.name, Number(metadata.resourceVersion));
      if (versions.size === waiting + 1) all.resolve();
    });
  }
  await all.promise;
  const { team, ...runs } = Object.fromEntries(versions);
  expect(team).toBeLessThan(Math.min(...Object.values(runs)));
  await world.stop();
  await rm(directory, { recursive: true });
});
