import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import { KubernetesClient } from '../../controller/kubernetes/client.ts';
import { createKubernetesObjects, type KubernetesObjects } from '../../controller/objects/kubernetes/objects.ts';
import { pathOf } from '../../controller/objects/kubernetes/raw.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import type { Clock } from '../../controller/seams/clock.ts';
import type { Draft } from '../../controller/seams/objects.ts';
import { install, kubectl, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { type ApiServer, startApiServer } from '../fixtures/kubernetes.ts';
import { type KubernetesProxy, startKubernetesProxy } from '../fixtures/kubernetes-proxy.ts';
import { recordWatch } from '../fixtures/object-watch.ts';

const started = await startApiServer();
const closing: (() => Promise<void>)[] = [];
let namespaces = 0;

beforeAll(async () => {
  if (started) await install(started, Object.values(kinds).map(crdManifest));
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(async () => {
  await started?.stop();
});

function server(): ApiServer {
  if (!started) throw new Error('there is no API server');
  return started;
}

async function freshNamespace(): Promise<string> {
  const name = `faults-${++namespaces}`;
  await install(server(), [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }]);
  return name;
}

interface Line {
  level: number;
  kind?: string;
  msg: string;
  err?: { message: string };
}

function open(kubeConfig = server().kubeConfig, more: { clock?: Clock; namespaces?: string[] } = {}) {
  const lines: Line[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line) as Line) });
  const client = new KubernetesClient(kubeConfig);
  const store = createKubernetesObjects({ client, fieldManager: 'tests', clock: systemClock, log, ...more });
  closing.push(async () => {
    store.close();
    client.close();
  });
  return { store, lines };
}

async function openBehindProxy(more: { clock?: Clock; kubeConfig?: ApiServer['kubeConfig'] } = {}) {
  const proxy = await startKubernetesProxy(more.kubeConfig ?? server().kubeConfig);
  closing.push(() => proxy.close());
  return { proxy, ...open(proxy.kubeConfig, more) };
}

function run(namespace: string, name: string, inputs = {}): Draft<'WorkflowRun'> {
  return { kind: 'WorkflowRun', metadata: { namespace, name }, spec: { workflow: 'report', inputs } };
}

async function phase(store: KubernetesObjects, namespace: string, name: string, value: string): Promise<void> {
  const object = await store.get('WorkflowRun', namespace, name);
  const uid = object?.metadata.uid ?? '';
  await store.writeStatus('WorkflowRun', { namespace, name, uid }, { phase: value });
}

const warnings = (lines: Line[]) => lines.filter(({ level }) => level >= 40);

describe.skipIf(!started)('an object store whose API server fails', () => {
  test('a restart of the API server: reads fail with the cause, then the watch goes on, with one line each way', async () => {
    const namespace = await freshNamespace();
    const { store, lines } = open();
    const other = open().store;
    await store.create(run(namespace, 'before'));
    const seen = await recordWatch(store, 'WorkflowRun', namespace);
    await server().restart(async () => {
      const read = () => store.get('WorkflowRun', namespace, 'before').catch((error: unknown) => error);
      // Until it hears of the end, it answers with what it has seen.
      let failed: unknown;
      await expect.poll(async () => (failed = await read()) instanceof Error).toBe(true);
      expect(failed).toMatchObject({ cause: expect.anything() });
      expect(String(failed)).toContain('the Kubernetes API did not answer GET');
    });
    await other.create(run(namespace, 'after'));
    await seen.until(() => seen.last('after') !== undefined);
    await expect.poll(() => lines.some(({ level }) => level === 30)).toBe(true);
    expect(lines.map(({ level, kind, msg }) => [level, kind, msg.slice(0, 19)])).toEqual([
      [40, 'WorkflowRun', 'the watch broke off'],
      [30, 'WorkflowRun', 'the watch runs agai'],
    ]);
    expect(await store.get('WorkflowRun', namespace, 'after')).not.toBeNull();
  });

  test('what happens while the network is cut arrives afterwards, deletions and successors among it', async () => {
    const namespace = await freshNamespace();
    const { store, proxy } = await openBehindProxy();
    const other = open().store;
    const old = new Map<string, string>();
    for (const name of ['stays', 'changes', 'goes', 'comes-anew']) {
      old.set(name, (await other.create(run(namespace, name))).metadata.uid);
    }
    const seen = await recordWatch(store, 'WorkflowRun', namespace);
    proxy.cut(true);
    await phase(other, namespace, 'changes', 'Running');
    await other.delete('WorkflowRun', namespace, 'goes');
    await other.delete('WorkflowRun', namespace, 'comes-anew');
    await other.create(run(namespace, 'comes-anew'));
    await other.create(run(namespace, 'comes'));
    const before = seen.events.length;
    proxy.cut(false);
    await seen.until(() => seen.last('comes') !== undefined);
    const since = seen.events.slice(before);
    const brief = since.map(({ type, object }) => `${type} ${object.metadata.name}`).toSorted();
    expect(brief).toEqual([
      'Applied changes',
      'Applied comes',
      'Applied comes-anew',
      'Deleted comes-anew',
      'Deleted goes',
    ]);
    const [gone, anew] = since.filter(({ object }) => object.metadata.name === 'comes-anew');
    expect(gone).toMatchObject({ type: 'Deleted', object: { metadata: { uid: old.get('comes-anew') } } });
    expect(anew?.object.metadata.uid).not.toBe(old.get('comes-anew'));
  });

  test('watches that are cut again and again lose nothing of what is written meanwhile', async () => {
    const namespace = await freshNamespace();
    const { store, proxy } = await openBehindProxy();
    const other = open().store;
    const seen = await recordWatch(store, 'WorkflowRun', namespace);
    for (let i = 0; i < 40; i++) {
      await other.create(run(namespace, `r-${i}`));
      if (i % 8 === 3) proxy.cut();
      if (i % 8 === 7) proxy.endWatches();
    }
    await seen.until(() => new Set(seen.events.map(({ object }) => object.metadata.name)).size === 40);
    expect(seen.events.every(({ type }) => type === 'Applied')).toBe(true);
  });

  test('a watch whose history the API server has forgotten is begun anew, without a word', async () => {
    const namespace = await freshNamespace();
    const { store, proxy, lines } = await openBehindProxy();
    const other = open().store;
    await other.create(run(namespace, 'goes'));
    const seen = await recordWatch(store, 'WorkflowRun', namespace);
    let answers = '';
    proxy.intercept(async (asked) => {
      if (!asked.url?.includes('watch=true')) return false;
      proxy.intercept((again, answer) => {
        if (again.url?.includes('watch=true')) return false;
        answer.on('close', () => (answers += again.url));
        return false;
      });
      // The version that this watch asks for is gone with the memory of the API server.
      await server().restart();
      await other.delete('WorkflowRun', namespace, 'goes');
      await other.create(run(namespace, 'comes'));
      return false;
    });
    proxy.endWatches();
    await seen.until(() => seen.last('comes') !== undefined && seen.last('goes')?.type === 'Deleted');
    expect(answers, 'a new list was needed').toContain('limit=');
    expect(warnings(lines)).toEqual([]);
  });

  test('an error within a watch, and an answer that is no watch, begin it anew', async () => {
    const namespace = await freshNamespace();
    const { store, proxy, lines } = await openBehindProxy();
    const other = open().store;
    const seen = await recordWatch(store, 'WorkflowRun', namespace);
    const spoiled = [
      '{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError","message":"etcd is away"}}\n',
      '{"type":"MODIFIED","object":',
      'this is no JSON\n',
      '',
    ];
    proxy.intercept((asked, answer) => {
      const text = asked.url?.includes('watch=true') ? spoiled.shift() : undefined;
      if (text === undefined) return false;
      answer.writeHead(200, { 'content-type': 'application/json' });
      answer.end(text);
      return true;
    });
    proxy.endWatches();
    await other.create(run(namespace, 'comes'));
    await expect.poll(() => spoiled.length, { timeout: 10_000 }).toBe(0);
    await seen.until(() => seen.last('comes') !== undefined);
    // One for the answer 500, one for text that is no JSON.
    expect(warnings(lines).length).toBeLessThanOrEqual(2);
  });

  test('an overloaded API server is asked again when it says so, and nothing is done twice or lost', async () => {
    const namespace = await freshNamespace();
    const { store, proxy } = await openBehindProxy();
    const other = open().store;
    let refused = 0;
    const next = new Map<string, number>();
    proxy.intercept((asked, answer) => {
      const key = `${asked.method} ${asked.url?.replace(/\?.*/, '')}`;
      const times = next.get(key) ?? 0;
      next.set(key, times + 1);
      if (times >= 1) return false;
      refused += 1;
      answer.writeHead(429, { 'retry-after': '1', 'content-type': 'application/json' });
      answer.end('{"kind":"Status","code":429,"reason":"TooManyRequests","message":"slow down"}');
      return true;
    });
    const seen = await recordWatch(store, 'WorkflowRun', namespace);
    const created = await store.create(run(namespace, 'a'));
    await phase(store, namespace, 'a', 'Running');
    await store.update('WorkflowRun', namespace, 'a', ({ spec }) => ({ spec: { ...spec, desired: 'Paused' } }));
    await other.create(run(namespace, 'b'));
    await seen.until(() => seen.last('b') !== undefined);
    expect(await other.get('WorkflowRun', namespace, 'a')).toMatchObject({
      metadata: { uid: created.metadata.uid, generation: 2 },
      spec: { desired: 'Paused' },
      status: { phase: 'Running' },
    });
    expect(await store.delete('WorkflowRun', namespace, 'a')).toBe(true);
    expect(refused).toBeGreaterThan(5);
  });

  test('permissions taken away: refusals say what is missing, one line tells it, and all goes on when they are back', async () => {
    const namespace = await freshNamespace();
    const role = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'limited' },
      rules: [{ apiGroups: ['windlass.dev'], resources: ['*'], verbs: ['*'] }],
    };
    const binding = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'limited' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'limited' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'limited' }],
    };
    const may = async (answer: 'yes' | 'no') => {
      const ask = ['auth', 'can-i', 'list', 'workflowruns.windlass.dev', '-A', '--as=limited'];
      while ((await kubectl(server(), ask)).stdout.trim() !== answer);
    };
    await install(server(), [role, binding]);
    await may('yes');
    const { store, proxy, lines } = await openBehindProxy({ kubeConfig: server().login('limited') });
    const other = open().store;
    await store.create(run(namespace, 'before'));
    const seen = await recordWatch(store, 'WorkflowRun', namespace);

    await kubectlOrThrow(server(), ['delete', 'clusterrolebinding', 'limited']);
    await may('no');
    const refusal = { name: 'ObjectRefused', reason: 'Forbidden', message: expect.stringContaining('"limited"') };
    await expect(store.create(run(namespace, 'mine'))).rejects.toMatchObject(refusal);
    const cutAt = proxy.asked.length;
    proxy.cut();
    await other.create(run(namespace, 'gap'));
    // Three tries, so that a line for each would be seen.
    await expect.poll(() => proxy.asked.length, { timeout: 10_000 }).toBeGreaterThan(cutAt + 3);
    await expect(store.get('WorkflowRun', namespace, 'before')).rejects.toMatchObject(refusal);
    await expect(store.list('WorkflowRun', { namespace })).rejects.toMatchObject(refusal);
    const told = warnings(lines).map(({ err }) => err?.message ?? '');
    expect(told.filter((message) => message.includes('cannot list resource "workflowruns"'))).toHaveLength(1);

    await install(server(), [binding]);
    await seen.until(() => seen.last('gap') !== undefined);
    await store.create(run(namespace, 'mine'));
  });

  test('a lost event is found within ten minutes, as everything is listed anew', async () => {
    const namespace = await freshNamespace();
    let later = 0;
    const clock: Clock = { ...systemClock, monotonic: () => systemClock.monotonic() + later };
    const { store, proxy } = await openBehindProxy({ clock });
    const other = open().store;
    const seen = await recordWatch(store, 'WorkflowRun', namespace);
    let deaf = true;
    proxy.intercept((asked, answer) => {
      if (!deaf || !asked.url?.includes('watch=true')) return false;
      // A watch that is said to run, and never tells of anything.
      answer.writeHead(200, { 'content-type': 'application/json' });
      answer.flushHeaders();
      answer.write('{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"1"}}}\n');
      setImmediate(() => proxy.endWatches());
      later = 11 * 60_000;
      deaf = false;
      void other.create(run(namespace, 'lost')).then(() => answer.end());
      return true;
    });
    proxy.endWatches();
    await seen.until(() => seen.last('lost') !== undefined);
    expect(seen.last('lost')?.type).toBe('Applied');
  });

  test('a connection that has gone silent is given up', async () => {
    const { proxy } = await openBehindProxy();
    const client = new KubernetesClient(proxy.kubeConfig);
    closing.push(async () => client.close());
    const path = pathOf('Workflow', null);
    // A server that was restarted by the test before refuses for a moment; a request waits that out, a stream does not.
    await client.request('GET', path);
    const chunks = await client.stream(path, { watch: true }, new AbortController().signal, 500);
    const read = async () => {
      for await (const _ of chunks);
    };
    await expect(read()).rejects.toMatchObject({ code: 'UND_ERR_BODY_TIMEOUT' });
  });

  test('without CRDs it waits for them, and says what to do', async () => {
    const bare = await startApiServer();
    if (!bare) throw new Error('there is no API server');
    closing.push(() => bare.stop());
    const { store, lines } = open(bare.kubeConfig);
    const ready = store.ready();
    ready.catch(() => {}); // Should this test fail before it waits.
    await expect.poll(() => warnings(lines).length, { timeout: 20_000 }).toBe(Object.keys(kinds).length);
    for (const { kind, err } of warnings(lines)) {
      expect(err?.message).toContain(`the cluster does not serve ${kind} of windlass.dev/v1alpha1; install the CRDs`);
    }
    await expect(store.get('Workflow', 'default', 'a')).rejects.toThrow('does not serve Workflow');
    await expect(store.list('Workflow')).rejects.toThrow('does not serve Workflow');
    await install(bare, Object.values(kinds).map(crdManifest));
    await ready;
    expect(await store.list('Workflow')).toEqual([]);
  });

  test('closed, it ends what waits, and begins nothing', async () => {
    const { store, proxy } = await openBehindProxy();
    proxy.cut(true);
    const ready = store.ready().catch((error: unknown) => error);
    store.close();
    expect(String(await ready)).toContain('closed');
    await expect(store.watch('Workflow', () => {})).rejects.toThrow('closed');
  });
});

describe.skipIf(!started)('what it costs', () => {
  async function counted(proxy: KubernetesProxy, work: () => Promise<unknown>): Promise<string[]> {
    const from = proxy.asked.length;
    await work();
    return proxy.asked.slice(from).map((line) => line.split(' ')[0] ?? '');
  }

  test('requests of each operation, with and without a watch', async () => {
    const namespace = await freshNamespace();
    const { store, proxy } = await openBehindProxy();
    const get = () => store.get('WorkflowRun', namespace, 'a');
    expect(await counted(proxy, () => store.create(run(namespace, 'a')))).toEqual(['POST']);
    expect(await counted(proxy, get)).toEqual(['GET']);
    expect(await counted(proxy, () => store.list('WorkflowRun', { namespace }))).toEqual(['GET']);
    await store.watch('WorkflowRun', () => {});
    expect(await counted(proxy, get)).toEqual([]);
    expect(await counted(proxy, () => store.list('WorkflowRun'))).toEqual([]);
    expect(await counted(proxy, () => store.get('WorkflowRun', namespace, 'absent'))).toEqual(['GET']);
    expect(await counted(proxy, () => phase(store, namespace, 'a', 'Running'))).toEqual(['PATCH']);
    expect(await counted(proxy, () => phase(store, namespace, 'a', 'Running'))).toEqual([]);
    const pause = () =>
      store.update('WorkflowRun', namespace, 'a', ({ spec }) => ({ spec: { ...spec, desired: 'Paused' } }));
    expect(await counted(proxy, pause)).toEqual(['GET', 'PUT']);
    expect(await counted(proxy, pause)).toEqual(['GET']);
    expect(await counted(proxy, () => store.apply(run(namespace, 'b')))).toEqual(['GET', 'PATCH']);
    expect(await counted(proxy, () => store.apply(run(namespace, 'b')))).toEqual(['GET']);
    expect(await counted(proxy, () => store.delete('WorkflowRun', namespace, 'a'))).toEqual(['DELETE']);
  });

  test('many requests at once go over few connections, which are kept', async () => {
    const namespace = await freshNamespace();
    const { store, proxy } = await openBehindProxy();
    await Promise.all(Array.from({ length: 200 }, (_, i) => store.create(run(namespace, `r-${i}`))));
    await Promise.all(Array.from({ length: 200 }, (_, i) => store.get('WorkflowRun', namespace, `r-${i}`)));
    // 32 at a time; one is free again only some ticks after its answer.
    expect(proxy.connections()).toBeLessThanOrEqual(64);
  });
});
