import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, describe, expect, test } from 'vitest';
import { KubernetesClient } from '../../controller/kubernetes/client.ts';
import type { StartAction } from '../../controller/seams/executor.ts';
import { RecordingSink, startAction } from '../conformance/executor.ts';
import { type Cluster, findCluster } from '../fixtures/kubernetes.ts';
import { type KubernetesProxy, startKubernetesProxy } from '../fixtures/kubernetes-proxy.ts';
import { nodesOf, PodWorld } from '../fixtures/pod-world.ts';

const cluster = process.env['KUBECONFIG'] ? await findCluster() : null;
const nodes = await nodesOf(cluster);

describe.skipIf(nodes !== 'kubelet')('step Pods when the API server is hard to reach (on a kubelet)', () => {
  const disposals: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const dispose of disposals.splice(0).toReversed()) await dispose();
  });

  async function ready() {
    if (!cluster) throw new Error('there is no cluster');
    const sink = new RecordingSink();
    const world = await PodWorld.create(cluster, sink);
    const proxy = await startKubernetesProxy(await tokenConfig(cluster, world));
    disposals.push(
      () => proxy.close(),
      () => world.dispose(),
    );
    const executor = world.executor({ client: new KubernetesClient(proxy.kubeConfig) });
    const given = (body: StartAction['body']) => world.owned(startAction(body));
    return { sink, world, proxy, executor, given };
  }

  test('a step costs a Pod, a log and a removal: three requests', { timeout: 90_000 }, async () => {
    const { sink, world, proxy, executor, given } = await ready();
    await executor.sweep(async () => []);
    const first = await given(world.script('true'));
    await executor.start(first);
    await sink.end(first.key);
    await executor.forget(first.key);
    const before = proxy.asked.length;
    const action = await given(world.script('echo hello; echo a=1 > "$WINDLASS_OUTPUT"'));
    await executor.start(action);
    await sink.end(action.key);
    await executor.forget(action.key);
    const endedAt = Date.now();
    await world.until(() => world.pods.size === 0);
    // There is time to look at it with kubectl.
    expect(Date.now() - endedAt).toBeGreaterThan(25_000);
    const asked = proxy.asked.slice(before).filter((one) => !one.includes('watch=true'));
    expect(asked.map((one) => one.replace(/\?.*/, '').replaceAll(/nightly-\d+-work-\w+/g, 'POD')).toSorted()).toEqual([
      `DELETE ${world.path('pods', 'POD')}`,
      `DELETE ${world.path('pods', 'POD')}`,
      `GET ${world.path('pods', 'POD')}/log`,
      `POST ${world.path('pods')}`,
    ]);
  });

  test('a Pod whose creation was not answered is adopted, not created again', async () => {
    const { sink, world, proxy, executor, given } = await ready();
    const action = await given(world.script('echo a=1 > "$WINDLASS_OUTPUT"'));
    proxy.intercept(async (asked, answer) => {
      if (asked.method !== 'POST') return false;
      const chunks: Buffer[] = [];
      for await (const chunk of asked) chunks.push(chunk as Buffer);
      await world.create(world.path('pods'), JSON.parse(Buffer.concat(chunks).toString()));
      answer.destroy();
      return true;
    });
    await expect(executor.start(action)).rejects.toThrow('cannot create the Pod of step work');
    proxy.intercept(null);
    await executor.start(action);
    expect(await sink.end(action.key)).toEqual({ outcome: 'Succeeded', outputs: { text: 'a=1\n' } });
    expect(proxy.asked.filter((one) => one.startsWith('POST'))).toHaveLength(2);
  });

  test('a creation that hangs is given up after two seconds', async () => {
    const { world, proxy, executor, given } = await ready();
    const action = await given(world.script('true'));
    proxy.intercept((asked) => asked.method === 'POST');
    const from = performance.now();
    await expect(executor.start(action)).rejects.toThrow('cannot create');
    expect(performance.now() - from).toBeLessThan(4000);
  });

  test('permissions taken away are tried again, however long that lasts', async () => {
    const { sink, world, proxy, executor, given } = await ready();
    const action = await given(world.script('true'));
    const message = 'pods is forbidden: User "windlass" cannot create resource "pods" in API group ""';
    proxy.intercept((asked, answer) => {
      if (asked.method !== 'POST') return false;
      answer.writeHead(403, { 'content-type': 'application/json' });
      answer.end(JSON.stringify({ kind: 'Status', code: 403, reason: 'Forbidden', message }));
      return true;
    });
    await expect(executor.start(action)).rejects.toThrow('cannot create resource');
    expect(sink.ends).toEqual([]);
    proxy.intercept(null);
    await executor.start({ ...action, startedAt: Date.now() - 3_600_000 });
    expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded' });
  });

  test('a log that breaks off goes on, no line lost and none doubled', async () => {
    const { sink, world, proxy, executor, given } = await ready();
    const lines = 60;
    const action = await given(
      world.script(`i=0; while [ $i -lt ${lines} ]; do echo "line $i"; i=$((i+1)); sleep 0.05; done; exit 5`),
    );
    await executor.start(action);
    for (const seen of [5, 20, 40]) {
      await sink.until(() => sink.text(action.key).includes(`line ${seen}\n`));
      proxy.cut();
    }
    await sink.end(action.key);
    expect(sink.text(action.key)).toBe(Array.from({ length: lines }, (_, i) => `line ${i}\n`).join(''));
  });

  test('an end that came while nobody could see it is found', async () => {
    const { sink, world, proxy, executor, given } = await ready();
    const action = await given(world.script('echo begun; sleep 1; echo a=1 > "$WINDLASS_OUTPUT"'));
    await executor.start(action);
    await world.until(() => world.began.size > 0);
    proxy.cut(true);
    await world.pod((pod) => pod.status?.phase === 'Succeeded');
    proxy.cut(false);
    expect(await sink.end(action.key)).toEqual({ outcome: 'Succeeded', outputs: { text: 'a=1\n' } });
    expect(sink.text(action.key)).toBe('begun\n');
  });

  test('a Pod that went while nobody could see it is missed', async () => {
    const { sink, world, proxy, executor, given } = await ready();
    const action = await given(world.script('echo begun; sleep 1000'));
    await executor.start(action);
    await sink.until(() => sink.text(action.key) === 'begun\n');
    proxy.cut(true);
    const name = [...world.pods.values()][0]?.metadata.name;
    await world.client.request('DELETE', world.path('pods', name), { body: { gracePeriodSeconds: 0 } });
    await world.until(() => world.pods.size === 0);
    proxy.cut(false);
    expect(await sink.end(action.key)).toMatchObject({ error: { type: 'podDeleted', retryable: true } });
  });

  describe('a log that cannot be read', { timeout: 120_000 }, () => {
    function unreadable(proxy: KubernetesProxy) {
      proxy.intercept((asked, answer) => {
        if (!asked.url?.includes('/log')) return false;
        answer.writeHead(500, { 'content-type': 'application/json' });
        answer.end(JSON.stringify({ kind: 'Status', code: 500, message: 'the node is busy' }));
        return true;
      });
    }

    test('does not keep a step from ending, and says so after half a minute', async () => {
      const { sink, world, proxy, executor, given } = await ready();
      unreadable(proxy);
      const action = await given(world.script('echo hello; echo a=1 > "$WINDLASS_OUTPUT"'));
      await executor.start(action);
      expect(await sink.end(action.key)).toEqual({ outcome: 'Succeeded', outputs: { text: 'a=1\n' } });
      expect(sink.text(action.key)).toBe('');
      await sink.until(() => sink.text(action.key) !== '');
      expect(sink.text(action.key)).toMatch(/^\[windlass\] the log could not be read .*: the node is busy\n$/);
    });

    test('because its node never answers is asked for by one step at a time; the others end at once', async () => {
      const { sink, world, proxy, executor, given } = await ready();
      proxy.intercept((asked) => asked.url?.includes('/log') ?? false);
      const [first, ...more] = await Promise.all(Array.from({ length: 4 }, () => given(world.script('true'))));
      await executor.start(first as StartAction);
      expect(await sink.end((first as StartAction).key)).toMatchObject({ outcome: 'Succeeded' });
      await Promise.all(more.map((action) => executor.start(action)));
      for (const { key } of more) expect(await sink.end(key)).toMatchObject({ outcome: 'Succeeded' });
      // The second try at most; each of the three would have asked for its own.
      expect(proxy.asked.filter((one) => one.includes('/log')).length).toBeLessThan(4);
      await sink.until(() => sink.text((first as StartAction).key) !== '');
      expect(sink.text((first as StartAction).key)).toMatch(/could not be read .*: .*its node does not answer\n$/);
    });

    test("with outputs in it loses them, which is not the step's doing", async () => {
      const { sink, world, proxy, executor, given } = await ready();
      unreadable(proxy);
      const action = await given(world.script('head -c 9000 /dev/zero | tr "\\0" x > "$WINDLASS_OUTPUT"'));
      await executor.start(action);
      expect(await sink.end(action.key)).toMatchObject({
        error: { type: 'infrastructure/outputLost', retryable: true },
      });
    });
  });
});

/** A login by token, as the proxy cannot hand on a client's certificate. */
async function tokenConfig(cluster: Cluster, world: PodWorld): Promise<KubeConfig> {
  const name = 'controller';
  await world.create(world.path('serviceaccounts'), { metadata: { name } });
  await world.create('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: world.namespace },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', name, namespace: world.namespace }],
  });
  const { status } = await world.client.request<{ status: { token: string } }>(
    'POST',
    `${world.path('serviceaccounts', name)}/token`,
    { body: { spec: {} } },
  );
  const config = new KubeConfig();
  const target = cluster.kubeConfig.getCurrentCluster();
  if (!target) throw new Error('the kubeconfig has no current context');
  config.loadFromClusterAndUser(target, { name, token: status.token });
  return config;
}
