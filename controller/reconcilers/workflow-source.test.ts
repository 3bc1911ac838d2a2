import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ControllerWorld, quickstartRepository, startWorld } from '../../test/fixtures/controller.ts';
import type { WorkflowSource, WorkflowSourceStatus } from '../../crds/workflow-source.ts';
import { systemClock } from '../runtime/clock.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { createMetrics } from './metrics.ts';
import { createRepositories, type Repositories } from './repositories.ts';
import { createKindStatusWriter, type KindStatusWriter } from './statuses.ts';
import { createSourceReconciler, type SourceReconciler } from './workflow-source.ts';

describe('on a laptop', () => {
  let world: ControllerWorld;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(() => world.stop());

  test.each(['ftp://example.com/team.git', 'ext::sh -c id', '--upload-pack=id'])(
    'a source whose URL cannot be used (%s) says so in its status',
    async (url) => {
      const metadata = { namespace: 'default', name: 'bad' };
      await world.client.apply({ kind: 'WorkflowSource', metadata, spec: { url, branch: 'main' } });
      const { status } = await world.until(
        'it says what is wrong',
        () => world.client.get('WorkflowSource', metadata),
        (seen) =>
          seen.status?.observedGeneration === seen.metadata.generation && seen.status.conditions?.[0] !== undefined,
      );
      expect(status?.conditions).toMatchObject([
        { type: 'Ready', status: 'False', reason: 'UnsupportedUrl', message: expect.stringContaining(url) },
        { type: 'Stalled', status: 'True', reason: 'UnsupportedUrl' },
      ]);
    },
  );

  test('a mistake in its environment files changes no environment, and is told once for a commit', async () => {
    const repository = await quickstartRepository(join(world.directory, 'team'));
    await world.serve(repository);
    const before = await world.until(
      'all environments are there',
      () => world.client.environments(),
      ({ items }) => items.length === 3,
    );
    const prod = before.items.find(({ name }) => name === 'prod');
    const at = { namespace: 'default', name: 'repo' };
    await repository.commit({ 'environments/staging.yaml': null }, 'Without staging');
    const problem = 'environments/prod.yaml:';
    const ready = { type: 'Ready', status: 'False', reason: 'InvalidEnvironments' };
    await world.until(
      'prod says why',
      () => world.client.environment('prod'),
      ({ conditions }) => conditions.some(({ reason }) => reason === ready.reason),
    );
    await world.client.reconcileSource(at);
    const source = await world.until(
      'the request is handled',
      () => world.client.get('WorkflowSource', at),
      ({ metadata, status }) => status?.lastHandledReconcileAt === metadata.annotations['windlass.dev/requestedAt'],
    );
    expect(source.status?.conditions).toContainEqual(
      expect.objectContaining({ ...ready, message: expect.stringContaining(problem) }),
    );
    const after = await world.client.environments();
    expect(after.items.map(({ name, spec }) => [name, spec])).toEqual(
      before.items.map(({ name, spec }) => [name, spec]),
    );
    expect(after.items.find(({ name }) => name === 'prod')?.spec).toEqual(prod?.spec);
    const { items } = await world.client.events({ kind: 'WorkflowSource' });
    expect(items).toMatchObject([
      { type: 'Warning', reason: 'InvalidEnvironments', message: expect.stringContaining(problem) },
    ]);
  });
});

describe('what is kept of a source', () => {
  const metadata = { namespace: 'default', name: 'team' };
  let directory: string;
  let store: Store;
  let repositories: Repositories;
  let statuses: KindStatusWriter<WorkflowSourceStatus>;
  let sources: SourceReconciler;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'windlass-sources-'));
    store = await openStore({ dataDir: join(directory, 'data') }, { clock: systemClock, home: 'test' });
  });
  afterEach(async () => {
    await end();
    await store.close();
    await rm(directory, { recursive: true, force: true });
  });

  async function end(): Promise<void> {
    await sources.stop();
    await statuses.close();
    await repositories.close();
  }

  function begin(change: Partial<Repositories> = {}): Promise<void> {
    const writer = { objects: store.objects, clock: systemClock, log: pino({ level: 'silent' }) };
    const env = { PATH: process.env['PATH'], HOME: directory };
    const secrets = { read: async () => null };
    const made = createRepositories({ directory: join(directory, 'mirrors'), home: 'laptop', secrets, env });
    repositories = { ...made, ...change };
    statuses = createKindStatusWriter('WorkflowSource', writer);
    sources = createSourceReconciler({
      ...writer,
      store,
      repositories,
      statuses,
      metrics: createMetrics(new Registry()),
      environmentsPath: null,
      onFetched: () => {},
    });
    return sources.start();
  }

  async function repository(name: string) {
    const made = await quickstartRepository(join(directory, name));
    await made.commit({ 'NAME.md': name }, `This is ${name}`);
    return { url: made.url, tagged: await made.tag('v1.0.0') };
  }

  const mirrors = () => readdir(join(directory, 'mirrors'));

  /** Applies the source and resolves once it was fetched. */
  async function serve(url: string): Promise<WorkflowSource> {
    const spec = { url, branch: 'main' };
    const { object: source } = await store.objects.apply({ kind: 'WorkflowSource', metadata, spec });
    const fetched = Promise.withResolvers<WorkflowSource>();
    const stop = await store.objects.watch('WorkflowSource', ({ object }) => {
      if (object.status?.observedGeneration === source.metadata.generation) fetched.resolve(object);
    });
    const seen = await fetched.promise;
    stop();
    await sources.loop.idle();
    return seen;
  }

  async function refsOf(table: Store['refs'], mirror: string) {
    return (await table.list(mirror)).map(({ ref, commit, movedTo }) => [ref, commit, movedTo]);
  }

  test('another repository under the same source has tags of its own, and nothing of the earlier one is kept', async () => {
    const [one, other] = [await repository('one'), await repository('other')];
    await begin();
    await serve(one.url);
    const [before = ''] = await mirrors();
    expect(await refsOf(store.refs, before)).toContainEqual(['refs/tags/v1.0.0', one.tagged, null]);
    const verdict = { ok: false as const, reason: 'NoWorkflows' as const, diagnostics: [] };
    await store.versions.putContent(before, one.tagged, 'workflows', verdict);

    const source = await serve(other.url);
    expect(source.status?.conditions).toMatchObject([{ type: 'Ready', status: 'True' }]);
    const [after = '', ...more] = await mirrors();
    expect(more).toEqual([]);
    expect(after).not.toBe(before);
    expect(await refsOf(store.refs, after)).toEqual([
      ['refs/heads/main', other.tagged, null],
      ['refs/tags/v1.0.0', other.tagged, null],
    ]);
    expect(await refsOf(store.refs, before)).toEqual([]);
    expect(await store.versions.content(before, one.tagged, 'workflows')).toBeNull();
  });

  test('a repository that cannot be fetched takes nothing from the one before it', async () => {
    const one = await repository('one');
    await begin();
    await serve(one.url);
    const [before = ''] = await mirrors();
    const source = await serve(join(directory, 'missing'));
    expect(source.status?.conditions).toMatchObject([
      { type: 'Ready', status: 'False' },
      { type: 'Reconciling', status: 'True' },
    ]);
    expect(await mirrors()).toContain(before);
    await serve(`${one.url}/`);
    expect(await mirrors()).toEqual([before]);
    expect(await refsOf(store.refs, before)).toContainEqual(['refs/tags/v1.0.0', one.tagged, null]);
  });

  test('a deleted source leaves nothing on disk and no refs', async () => {
    const { url } = await repository('one');
    await begin();
    await serve(url);
    const [mirror = ''] = await mirrors();
    expect(await store.refs.list(mirror)).not.toEqual([]);
    await store.objects.delete('WorkflowSource', metadata.namespace, metadata.name);
    await sources.stop();
    expect(await mirrors()).toEqual([]);
    expect(await store.refs.list(mirror)).toEqual([]);
  });

  test('a source that is deleted during its first fetch leaves nothing on disk either', async () => {
    const { url } = await repository('one');
    const begun = Promise.withResolvers<void>();
    const deleted = Promise.withResolvers<void>();
    await begin({
      async open(...given) {
        begun.resolve();
        await deleted.promise;
        return await createOpened(...given);
      },
    });
    const createOpened = createRepositories({
      directory: join(directory, 'mirrors'),
      home: 'laptop',
      secrets: { read: async () => null },
      env: { PATH: process.env['PATH'], HOME: directory },
    }).open;
    await store.objects.apply({ kind: 'WorkflowSource', metadata, spec: { url, branch: 'main' } });
    await begun.promise;
    const gone = Promise.withResolvers<void>();
    await store.objects.watch('WorkflowSource', ({ type }) => {
      if (type === 'Deleted') gone.resolve();
    });
    await store.objects.delete('WorkflowSource', metadata.namespace, metadata.name);
    await gone.promise;
    deleted.resolve();
    await sources.loop.idle();
    expect(await mirrors()).toEqual([]);
  });

  test('what was left of a source that went while nobody looked is removed at the start', async () => {
    const { url } = await repository('one');
    await mkdir(join(directory, 'mirrors', 'gone-0123456789abcdef', 'objects'), { recursive: true });
    await begin();
    await serve(url);
    expect(await mirrors()).toHaveLength(1);
    await end();
    const kept = await mirrors();
    await begin();
    expect(await mirrors()).toEqual(kept);
  });
});
