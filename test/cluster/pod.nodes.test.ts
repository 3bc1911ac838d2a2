import { afterEach, describe, expect, test } from 'vitest';
import { RecordingSink, startAction } from '../conformance/executor.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import { findCluster } from '../fixtures/kubernetes.ts';
import { nodesOf, PodWorld } from '../fixtures/pod-world.ts';

const cluster = process.env['KUBECONFIG'] ? await findCluster() : null;
const nodes = await nodesOf(cluster);

/** Nodes that only pretend, as losing a real one loses the machine. */
describe.skipIf(nodes !== 'kwok')('step Pods when nodes come and go (on kwok)', () => {
  const worlds: PodWorld[] = [];
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.dispose();
  });

  async function ready() {
    if (!cluster) throw new Error('there is no cluster');
    const sink = new RecordingSink();
    const world = await PodWorld.create(cluster, sink);
    worlds.push(world);
    const executor = world.executor();
    return { sink, world, executor };
  }

  /** A step that pretends to run for so long on this node. */
  function fake(world: PodWorld, duration: string, node: string | null = null, spec = {}) {
    return world.script(
      'true',
      {},
      {
        nodeSelector: node === null ? {} : { 'kubernetes.io/hostname': node },
        podTemplate: { metadata: { annotations: { 'fake.cluster/duration': duration } }, spec },
      },
    );
  }

  test('a script that ends well on a node without logs has ended well, at once', async () => {
    const { sink, world, executor } = await ready();
    const action = await world.owned(startAction(fake(world, '0s')));
    const from = performance.now();
    await executor.start(action);
    expect(await sink.end(action.key)).toEqual({ outcome: 'Succeeded', outputs: { text: '' } });
    expect(performance.now() - from).toBeLessThan(10_000);
  });

  test('a Pod of higher priority takes its place', async () => {
    const { sink, world, executor } = await ready();
    const priority = `high-${Date.now().toString(36)}`;
    await world.create('/apis/scheduling.k8s.io/v1/priorityclasses', { metadata: { name: priority }, value: 1000 });
    const big = { requests: { cpu: '900' } };
    const victim = await world.owned(
      startAction({ ...fake(world, '600s', 'node-1'), pod: { ...fake(world, '600s', 'node-1').pod, resources: big } }),
    );
    await executor.start(victim);
    await world.until(() => world.began.size > 0);
    await world.create(world.path('pods'), {
      metadata: { name: 'higher' },
      spec: {
        priorityClassName: priority,
        nodeSelector: { 'kubernetes.io/hostname': 'node-1' },
        containers: [{ name: 'x', image: 'x', resources: big }],
      },
    });
    expect(await sink.end(victim.key)).toMatchObject({
      error: { type: 'infrastructure/preempted', retryable: true, message: expect.stringContaining('higher priority') },
    });
    await world.client.request('DELETE', `/apis/scheduling.k8s.io/v1/priorityclasses/${priority}`);
  });

  test('its node is drained', async () => {
    const { sink, world, executor } = await ready();
    const action = await world.owned(startAction(fake(world, '600s')));
    await executor.start(action);
    await world.until(() => world.began.size > 0);
    const name = [...world.pods.values()][0]?.metadata.name ?? '';
    await world.create(`${world.path('pods', name)}/eviction`, {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name, namespace: world.namespace },
    });
    expect(await sink.end(action.key)).toMatchObject({ error: { type: 'infrastructure/evicted', retryable: true } });
  });

  test('no node takes it, as the error says when the patience is over', async () => {
    const { sink, world } = await ready();
    // A clock that is far ahead: what the scheduler says is ten minutes old at once.
    const ahead = { ...systemClock, now: () => Date.now() + 11 * 60_000 };
    const executor = world.executor({ clock: ahead });
    const action = await world.owned({ ...startAction(fake(world, '0s', 'no-such-node')), startedAt: ahead.now() });
    await executor.start(action);
    expect(await sink.end(action.key)).toMatchObject({
      error: { type: 'unschedulable', retryable: true, message: expect.stringContaining('nodes are available') },
    });
    await world.until(() => world.pods.size === 0);
  });

  test('its node is lost: it does not answer, and the Pod is taken off the API', { timeout: 120_000 }, async () => {
    const { sink, world, executor } = await ready();
    // Nobody plays this node: what is bound to it never says a word.
    const node = `silent-${Date.now().toString(36)}`;
    await world.create('/api/v1/nodes', { metadata: { name: node, labels: { 'kubernetes.io/hostname': node } } });
    const toNode = (path: string, body: object) =>
      world.client.request('PATCH', `/api/v1/nodes/${node}${path}`, {
        body,
        contentType: 'application/merge-patch+json',
      });
    const allocatable = { cpu: '10', memory: '10Gi', pods: '10' };
    await toNode('/status', {
      status: {
        allocatable,
        capacity: allocatable,
        conditions: [
          {
            type: 'Ready',
            status: 'True',
            reason: 'x',
            message: 'x',
            lastHeartbeatTime: new Date().toISOString(),
            lastTransitionTime: new Date().toISOString(),
          },
        ],
      },
    });
    await toNode('', { spec: { taints: [] } });
    const spec = {
      terminationGracePeriodSeconds: 1,
      tolerations: [
        { operator: 'Exists', effect: 'NoSchedule' },
        { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
      ],
    };
    const action = await world.owned(startAction(fake(world, '600s', node, spec)));
    await executor.start(action);
    await world.pod((pod) => pod.spec?.['nodeName'] === node);
    await toNode('', { spec: { taints: [{ key: 'example.org/lost', value: 'x', effect: 'NoExecute' }] } });
    expect(await sink.end(action.key)).toMatchObject({ error: { type: 'infrastructure/nodeLost', retryable: true } });
    await world.until(() => world.pods.size === 0);
    await world.client.request('DELETE', `/api/v1/nodes/${node}`);
  });
});
