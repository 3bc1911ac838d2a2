import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import { KubernetesClient } from '../../controller/kubernetes/client.ts';
import { createKubernetesObjects, type KubernetesObjects } from '../../controller/objects/kubernetes/objects.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import type { Draft } from '../../controller/seams/objects.ts';
import { install, kubectl, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { type Cluster, findCluster } from '../fixtures/kubernetes.ts';
import { recordWatch } from '../fixtures/object-watch.ts';

const found = await findCluster();
const open = new Set<() => void>();
const spaces = Array.from({ length: 12 }, (_, i) => `windlass-owner-${i}`);
let used = 0;

beforeAll(async () => {
  if (!found) return;
  const namespaces = spaces.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }));
  await install(found, [...Object.values(kinds).map(crdManifest), ...namespaces]);
});
afterAll(async () => {
  for (const close of open) close();
  if (found) await kubectl(found, ['delete', 'namespace', '--wait=false', ...spaces]);
  await found?.stop();
});

function cluster(): Cluster {
  if (!found) throw new Error('there is no cluster');
  return found;
}

function freshNamespace(): string {
  const name = spaces[used++];
  if (name === undefined) throw new Error('too few namespaces');
  return name;
}

function storeOf(options: { namespaces?: string[]; user?: string; fieldManager?: string } = {}): KubernetesObjects {
  const { user, namespaces = null, fieldManager = 'windlass' } = options;
  const client = new KubernetesClient(user === undefined ? cluster().kubeConfig : cluster().login(user));
  const log = pino({ level: 'silent' });
  const store = createKubernetesObjects({ client, fieldManager, namespaces, clock: systemClock, log });
  open.add(() => (store.close(), client.close()));
  return store;
}

function source(namespace: string, spec = {}, metadata = {}): Draft<'WorkflowSource'> {
  return {
    kind: 'WorkflowSource',
    metadata: { namespace, name: 'team', ...metadata },
    spec: { url: 'https://git.example/team', branch: 'main', ...spec },
  };
}

const raw = async (namespace: string) =>
  JSON.parse(
    await kubectlOrThrow(cluster(), ['get', 'wsrc', 'team', '-n', namespace, '-o', 'json', '--show-managed-fields']),
  ) as { metadata: { annotations: Record<string, string>; managedFields: { manager: string; operation: string }[] } };

describe.skipIf(!found)('who owns which field', () => {
  test('apply takes away what it, or create and update of the same manager, wrote before', async () => {
    const namespace = freshNamespace();
    const store = storeOf();
    await store.create(source(namespace, { path: 'flows', tags: ['v*'] }, { labels: { a: '1', b: '2' } }));
    await store.update('WorkflowSource', namespace, 'team', ({ spec }) => ({ spec: { ...spec, interval: '5m' } }));
    const { object, changed } = await store.apply(source(namespace, { tags: ['v*'] }, { labels: { a: '1' } }));
    expect(changed).toBe(true);
    expect(object.spec).toEqual({ url: 'https://git.example/team', branch: 'main', tags: ['v*'] });
    expect(object.metadata.labels).toEqual({ a: '1' });
    const owners = (await raw(namespace)).metadata.managedFields.map(({ manager, operation }) => [manager, operation]);
    expect(owners).toEqual([['windlass', 'Apply']]);
  });

  test('what is applied with a check that nothing is there yet is taken away by the next apply like anything else', async () => {
    const namespace = freshNamespace();
    const store = storeOf();
    await store.apply(source(namespace, { path: 'flows' }), (present) => expect(present).toBeNull());
    const seen: (string | undefined)[] = [];
    const { object } = await store.apply(source(namespace), (present) => seen.push(present?.spec.path));
    expect(seen).toEqual(['flows']);
    expect(object.spec).toEqual({ url: 'https://git.example/team', branch: 'main' });
  });

  test('labels and annotations of others stay, and are no difference', async () => {
    const namespace = freshNamespace();
    const store = storeOf();
    await store.apply(source(namespace, {}, { labels: { ours: '1' } }));
    await kubectlOrThrow(cluster(), ['label', 'wsrc', 'team', '-n', namespace, 'theirs=2']);
    await kubectlOrThrow(cluster(), ['annotate', 'wsrc', 'team', '-n', namespace, 'theirs=3']);
    expect((await store.apply(source(namespace, {}, { labels: { ours: '1' } }))).changed).toBe(false);
    const { object } = await store.apply(source(namespace, { interval: '9m' }));
    expect(object.metadata).toMatchObject({ labels: { theirs: '2' }, annotations: { theirs: '3' } });
    expect(object.metadata.labels).not.toHaveProperty('ours');
  });

  test('what is applied is taken from whoever wrote it before', async () => {
    const namespace = freshNamespace();
    const text = JSON.stringify({ apiVersion: 'windlass.dev/v1alpha1', ...source(namespace, { branch: 'old' }) });
    await kubectlOrThrow(cluster(), ['apply', '--server-side', '-f', '-'], text);
    const { object, changed } = await storeOf().apply(source(namespace));
    expect(changed).toBe(true);
    expect(object.spec.branch).toBe('main');
  });

  test("kubectl's notes are not shown, and not lost by an update", async () => {
    const namespace = freshNamespace();
    const store = storeOf();
    const text = JSON.stringify({ apiVersion: 'windlass.dev/v1alpha1', ...source(namespace) });
    await kubectlOrThrow(cluster(), ['apply', '-f', '-'], text);
    expect((await store.get('WorkflowSource', namespace, 'team'))?.metadata.annotations).toEqual({});
    await store.update('WorkflowSource', namespace, 'team', () => ({ annotations: { note: 'x' } }));
    expect(Object.keys((await raw(namespace)).metadata.annotations).toSorted()).toEqual([
      'kubectl.kubernetes.io/last-applied-configuration',
      'note',
    ]);
  });

  test('two stores that apply by turns see what the other did', async () => {
    const namespace = freshNamespace();
    const [a, b] = [storeOf(), storeOf()];
    await a.ready();
    for (let i = 0; i < 5; i++) {
      await a.apply(source(namespace, { interval: `${2 * i + 1}m` }));
      const { changed, object } = await b.apply(source(namespace, { interval: `${2 * i + 2}m` }));
      expect(changed).toBe(true);
      expect(object.spec.interval).toBe(`${2 * i + 2}m`);
    }
  });
});

describe.skipIf(!found)('what the API server refuses', () => {
  test('is told apart: the schema, a permission, a missing namespace', async () => {
    const namespace = freshNamespace();
    const store = storeOf();
    const invalid = (text: string) => ({
      name: 'ObjectRefused',
      reason: 'Invalid',
      message: expect.stringContaining(text),
    });
    await expect(store.create(source(namespace, { colour: 'red' }))).rejects.toMatchObject(invalid('"spec.colour"'));
    await expect(store.apply(source(namespace, { colour: 'red' }))).rejects.toMatchObject(invalid('.spec.colour'));
    await expect(store.create(source(namespace, { interval: 'soon' }))).rejects.toMatchObject(invalid('spec.interval'));
    await store.create(source(namespace));
    const change = (spec: object) =>
      store.update('WorkflowSource', namespace, 'team', (object) => ({ spec: { ...object.spec, ...spec } }));
    await expect(change({ interval: 'soon' })).rejects.toMatchObject(invalid('spec.interval'));
    const { metadata } = (await store.get('WorkflowSource', namespace, 'team')) ?? {};
    const key = { namespace, name: 'team', uid: metadata?.uid ?? '' };
    await expect(store.writeStatus('WorkflowSource', key, { colour: 'red' } as object)).rejects.toMatchObject(
      invalid('unknown field "status.colour"'),
    );
    await expect(store.create(source('windlass-nowhere'))).rejects.toMatchObject({
      name: 'ObjectConflict',
      reason: 'NotFound',
      message: 'there is no namespace windlass-nowhere',
    });
    await expect(storeOf({ user: 'nobody' }).list('Workflow')).rejects.toMatchObject({
      name: 'ObjectRefused',
      reason: 'Forbidden',
      message: expect.stringContaining('User "nobody" cannot list resource "workflows"'),
    });
  });
});

describe.skipIf(!found)('a store of some namespaces', () => {
  test('asks for no more than it may see: watches, lists and reads are of its namespaces', async () => {
    const [mine, also, foreign] = [freshNamespace(), freshNamespace(), freshNamespace()];
    const user = 'windlass-namespaced';
    const role = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: user } };
    await install(
      cluster(),
      [mine, also].flatMap((namespace) => [
        {
          ...role,
          kind: 'Role',
          metadata: { name: user, namespace },
          rules: [{ apiGroups: ['windlass.dev'], resources: ['*'], verbs: ['*'] }],
        },
        {
          ...role,
          kind: 'RoleBinding',
          metadata: { name: user, namespace },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: user },
          subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
        },
      ]),
    );
    const store = storeOf({ namespaces: [mine, also], user });
    const admin = storeOf();
    for (const namespace of [mine, foreign]) await admin.create(source(namespace));
    const names = async () => (await store.list('WorkflowSource')).map(({ metadata }) => metadata.namespace);
    expect(await names(), 'by requests').toEqual([mine]);
    await store.ready();
    expect(await names(), 'by watches').toEqual([mine]);
    const seen = await recordWatch(store, 'WorkflowSource', also);
    await admin.create(source(also));
    await seen.until(() => seen.last('team') !== undefined);
    expect(await names()).toEqual([mine, also]);
    await expect(store.get('WorkflowSource', foreign, 'team')).rejects.toMatchObject({ reason: 'Forbidden' });
  });
});
