import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { quickstartRepository } from '../../test/fixtures/controller.ts';
import type { Environment } from '../../crds/environment.ts';
import type { WorkflowSource } from '../../crds/workflow-source.ts';
import { systemClock } from '../runtime/clock.ts';
import { FenceLost } from '../seams/lease.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { applyEnvironmentFiles } from './environment-files.ts';
import { retireProjections, syncProjections } from './environment-workflows.ts';
import { createMetrics } from './metrics.ts';
import { createRepositories, type Repositories } from './repositories.ts';
import { createKindStatusWriter } from './statuses.ts';
import { createSourceReconciler } from './workflow-source.ts';

let directory: string;
let store: Store;
let repositories: Repositories;
let source: WorkflowSource;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-leads-'));
  store = await openStore({ dataDir: join(directory, 'data') }, { clock: systemClock, home: 'test' });
  const secrets = { read: async () => null };
  repositories = createRepositories({
    directory: join(directory, 'mirrors'),
    home: 'laptop',
    secrets,
    env: { PATH: process.env['PATH'], HOME: directory },
  });
  const { url } = await quickstartRepository(join(directory, 'team'));
  source = await store.objects.create({
    kind: 'WorkflowSource',
    metadata: { name: 'repo', namespace: 'default' },
    spec: { url, branch: 'main' },
  });
});
afterAll(async () => {
  await repositories.close();
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

/** The store of a replica that was stopped for a while and does not know yet what it wakes up to. */
const replaced = () => ({ ...store, isLeader: () => false });

function sourcesOf(changed: Store) {
  const writer = { objects: store.objects, clock: systemClock, log: pino({ level: 'silent' }) };
  const statuses = createKindStatusWriter('WorkflowSource', writer);
  const sources = createSourceReconciler({
    ...writer,
    store: changed,
    repositories,
    statuses,
    metrics: createMetrics(new Registry()),
    environmentsPath: 'environments',
    onFetched: () => {},
  });
  return {
    async once() {
      await sources.start();
      await sources.loop.idle();
      await sources.stop();
      await statuses.close();
    },
  };
}

test('a replica that was replaced during a fetch says nothing about it, and applies no environments', async () => {
  const record = () => Promise.reject(new FenceLost('replaced'));
  await sourcesOf({ ...store, refs: { ...store.refs, record } }).once();
  let leads = true;
  await sourcesOf({
    ...store,
    isLeader: () => leads,
    refs: {
      ...store.refs,
      async record(...args) {
        const rows = await store.refs.record(...args);
        leads = false;
        return rows;
      },
    },
  }).once();
  expect(await store.objects.list('Environment')).toEqual([]);
  expect((await store.objects.get('WorkflowSource', 'default', 'repo'))?.status).toBeUndefined();

  const repository = await repositories.open(source, []);
  await expect(applyEnvironmentFiles({ store: replaced() }, source, 'environments', repository)).rejects.toThrow(
    FenceLost,
  );
  expect(await applyEnvironmentFiles({ store }, source, 'environments', repository)).toEqual([]);
  expect(await store.objects.list('Environment')).not.toEqual([]);
});

test('a replica that was replaced puts no workflow anywhere, and takes none away', async () => {
  const environment = { metadata: { name: 'dev', namespace: 'default' }, spec: {} } as unknown as Environment;
  const version = { workflow: 'report', digest: 'sha256:aa' };
  const spec = { steps: [{ name: 'check', run: 'true' }] };
  await store.versions.put([{ ...version, spec, files: {} }], new Map(), 1);
  const activate = [{ ...version, ref: 'v1', commit: 'c1', at: 1 }];
  const decision = { promotions: [], activate, names: [], events: [] };
  await store.promotions.commit({ project: 'default', name: 'dev', uid: 'u' }, decision, 1);
  await expect(syncProjections(replaced(), environment)).rejects.toThrow(FenceLost);
  expect(await store.objects.list('Workflow')).toEqual([]);

  await syncProjections(store, environment);
  await expect(retireProjections(replaced(), 'default', 'dev')).rejects.toThrow(FenceLost);
  expect(await store.objects.list('Workflow')).toHaveLength(1);
});
