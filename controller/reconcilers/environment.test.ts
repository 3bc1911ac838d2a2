import { join } from 'node:path';
import pino from 'pino';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { laptopGovernance } from '../home-laptop.ts';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { type ControllerWorld, quickstartRepository, startWorld } from '../../test/fixtures/controller.ts';
import { createEnvironmentReconciler } from './environment.ts';
import { createMetrics } from './metrics.ts';
import { createRepositories } from './repositories.ts';
import { createKindStatusWriter } from './statuses.ts';

let world: ControllerWorld;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

const key = (name: string) => ({ namespace: 'default', name });

test('a promotion into an environment that is not there says so, and goes on once it is', async () => {
  const { client, until } = world;
  const get = () => client.get('Promotion', key('lost'));
  await client.apply({
    kind: 'Promotion',
    metadata: key('lost'),
    spec: { environment: 'later', ref: 'v1.0.0' },
  });
  const waiting = await until('it says what is missing', get, ({ status }) => status !== undefined);
  expect(waiting.status).toMatchObject({
    phase: 'Pending',
    observedGeneration: 1,
    conditions: [
      {
        type: 'Ready',
        status: 'Unknown',
        reason: 'EnvironmentNotFound',
        message: 'There is no Environment later in default; apply it, or delete this Promotion.',
      },
      { type: 'Reconciling' },
    ],
  });
  const url = (await quickstartRepository(join(world.directory, 'later'))).url;
  await client.apply({ kind: 'WorkflowSource', metadata: key('later'), spec: { url, branch: 'main' } });
  await client.apply({
    kind: 'Environment',
    metadata: key('later'),
    spec: { source: { name: 'later' }, track: { branch: 'main' } },
  });
  const judged = await until('it is judged', get, ({ status }) => status?.finishedAt !== undefined);
  expect(judged.status).toMatchObject({ phase: 'Rejected', conditions: [{ reason: 'UnknownRef' }, {}] });
});

test('an environment that is deleted and made again begins anew, and comes to what the branch holds', async () => {
  const { client, until } = world;
  const spec = { source: { name: 'again' }, track: { branch: 'main' } };
  const beside = (name: string) =>
    JSON.stringify({ apiVersion: 'windlass.dev/v1alpha1', kind: 'Environment', metadata: { name }, spec });
  const { url } = await quickstartRepository(join(world.directory, 'again'), {
    'environments/dev.yaml': beside('beside-1'),
    'environments/staging.yaml': beside('beside-2'),
    'environments/prod.yaml': beside('beside-3'),
  });
  const environment = { kind: 'Environment' as const, metadata: key('again'), spec };
  const actives = () => client.environment('again').then(({ active }) => active);
  await client.apply({ kind: 'WorkflowSource', metadata: key('again'), spec: { url, branch: 'main' } });
  await client.apply(environment);
  const before = await until('it has workflows', actives, (active) => active.length > 0);
  await client.delete('Environment', key('again'));
  await client.apply(environment);
  const after = await until('it has them again', actives, (active) =>
    active.some(({ since }) => since !== before[0]?.since),
  );
  const what = ({ workflow, digest }: (typeof after)[number]) => ({ workflow, digest });
  expect(after.map(what)).toEqual(before.map(what));
  const { items } = await client.promotions({ environment: 'again' });
  expect(items.map(({ phase }) => phase)).toEqual(['Succeeded', 'Succeeded']);
});

test('an environment that moves to another namespace takes its workflows along', async () => {
  const { client, until } = world;
  const repository = await quickstartRepository(join(world.directory, 'team'));
  await world.serve(repository);
  const { items } = await until(
    'dev has workflows',
    () => client.list('Workflow', 'dev'),
    (page) => page.items.length > 0,
  );
  const { spec } = await client.get('Environment', key('dev'));
  const moved = { apiVersion: 'windlass.dev/v1alpha1', kind: 'Environment', metadata: { name: 'dev' } };
  await repository.commit(
    { 'environments/dev.yaml': JSON.stringify({ ...moved, spec: { ...spec, namespace: 'moved' } }) },
    'Move dev',
  );
  const names = items.map((item) => item.metadata.name);
  const [there] = await until(
    'they are no longer here',
    async () => [await client.list('Workflow', 'moved'), await client.list('Workflow', 'dev')] as const,
    // One list is older than the other.
    ([there, here]) => there.items.length > 0 && here.items.length === 0,
  );
  expect(there.items.map((item) => item.metadata.name)).toEqual(names);
});

test('an environment that has come further than is recorded does nothing until a person decides', async () => {
  const { objects } = world.controller.store;
  const environment = await objects.get('Environment', 'default', 'again');
  const metadata = environment?.metadata ?? { ...key('none'), uid: '' };
  const recorded = environment?.status?.revision ?? 0;
  const stalled = (reason: string | undefined) =>
    world.until(
      `stalled for ${reason}`,
      async () => (await objects.get('Environment', 'default', metadata.name))?.status,
      (status) => status?.conditions?.find(({ type }) => type === 'Stalled')?.reason === reason,
    );
  await stalled(undefined);
  const lookAgain = (at: string) =>
    objects.update('Environment', 'default', metadata.name, ({ metadata: { annotations } }) => ({
      annotations: { ...annotations, 'windlass.dev/requestedAt': at },
    }));
  await objects.writeStatus('Environment', metadata, { ...environment?.status, revision: recorded + 100 });
  await lookAgain('once');
  const lost = await stalled('HistoryLost');
  expect(lost?.revision).toBe(recorded + 100);
  await objects.writeStatus('Environment', metadata, { ...lost, revision: 0 });
  await lookAgain('twice');
  expect((await stalled(undefined))?.revision).toBeLessThanOrEqual(recorded);
});

test('runs that end by the hundred are looked at once, and once more when a second has passed', async () => {
  const { store } = world.controller;
  const spec = { source: { name: 'none' }, track: { upstream: true as const } };
  await store.objects.apply({
    kind: 'Environment',
    metadata: key('counts'),
    spec: { ...spec, after: ['counted'] },
  });
  const clock = createVirtualClock();
  const log = pino({ level: 'silent' });
  let looks = 0;
  const objects: typeof store.objects = {
    ...store.objects,
    get(kind, namespace, name) {
      if (kind === 'Environment' && name === 'counts') looks++;
      return store.objects.get(kind, namespace, name);
    },
  };
  const writer = { objects, clock, log };
  const environments = createEnvironmentReconciler({
    store: { ...store, objects },
    repositories: createRepositories({
      directory: world.directory,
      home: 'laptop',
      secrets: { read: async () => null },
      env: {},
    }),
    statuses: createKindStatusWriter('Environment', writer),
    promotionStatuses: createKindStatusWriter('Promotion', writer),
    governance: laptopGovernance,
    onNamespace: () => {},
    clock,
    log,
    metrics: createMetrics(new Registry()),
  });
  await environments.start();
  await environments.loop.idle();
  const looksAfter = async (count: number, ms: number) => {
    const before = looks;
    for (let i = 0; i < count; i++) {
      environments.runFinished('counted');
      await environments.loop.idle();
    }
    clock.advance(ms);
    await environments.loop.idle();
    return looks - before;
  };
  expect(await looksAfter(100, 0)).toBe(1);
  expect(await looksAfter(100, 999)).toBe(0);
  expect(await looksAfter(0, 1)).toBe(1);
  expect(await looksAfter(0, 1000)).toBe(0);
  expect(await looksAfter(1, 0)).toBe(1);
  await environments.stop();
});
