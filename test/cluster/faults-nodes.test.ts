import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import type { Pod } from '../../controller/executors/pod/pod.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import type { RunningController } from '../../controller/start.ts';
import { startCluster } from '../../controller/start-cluster.ts';
import { watchHandPods } from '../fixtures/hand-pods.ts';
import { install, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { type Cluster, findCluster } from '../fixtures/kubernetes.ts';
import { nodesOf } from '../fixtures/pod-world.ts';
import { type PostgresServer, startPostgres } from '../fixtures/postgres.ts';

const cluster = process.env['KUBECONFIG'] ? await findCluster() : null;
const nodes = await nodesOf(cluster);

/** What takes a scheduler, nodes and a namespace controller, by the whole stack; nodes only pretend. */
describe.skipIf(nodes !== 'kwok')('a whole controller on nodes that come and go (on kwok)', () => {
  const here = cluster as Cluster;
  const k = (...args: string[]) => kubectlOrThrow(here, args);
  const unique = `${process.pid}-${Date.now().toString(36)}`;
  const [lasting, going] = [`faults-lasting-${unique}`, `faults-going-${unique}`];
  const node = `silent-${unique}`;
  let controller: RunningController;
  let postgres: PostgresServer;
  let folder = '';

  beforeAll(async () => {
    const server = await startPostgres();
    if (!server) throw new Error('there is no PostgreSQL on this machine');
    postgres = server;
    folder = await mkdtemp(join(tmpdir(), 'windlass-faults-'));
    const namespaces = [lasting, going];
    await install(here, [
      ...Object.values(kinds).map(crdManifest),
      ...namespaces.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
    ]);
    const options = {
      kubeConfig: here.kubeConfig,
      databaseUrl: await postgres.database('faults'),
      dataDir: folder,
      namespaces,
      allowPrivilegedSteps: new Set<string>(),
      allowPrivateHttp: new Set<string>(),
      stepImage: 'example.org/tools:1',
      pod: null,
      artifacts: null,
      retention: { ttlMs: null, perWorkflow: null },
      listen: { host: '127.0.0.1', port: 0 },
      env: { PATH: process.env['PATH'], HOME: folder },
      clock: systemClock,
      log: pino({ level: 'silent' }),
      version: 'test',
    };
    const running = await startCluster(options, new AbortController().signal);
    if (!running) throw new Error('the controller was told to stop');
    controller = running;
  });
  afterAll(async () => {
    await controller?.stop(0);
    await k('delete', 'namespace', lasting, going, '--ignore-not-found', '--wait=false');
    await k('delete', 'node', node, '--ignore-not-found');
    await postgres?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** A Pod that pretends to run for so long. */
  const fake = (name: string, duration: string, more: object = {}) => ({
    name,
    run: 'true',
    podTemplate: {
      metadata: { annotations: { 'fake.cluster/duration': duration } },
      spec: { terminationGracePeriodSeconds: 1 },
    },
    ...more,
  });

  async function run(namespace: string, name: string, steps: object[]): Promise<string> {
    const apiVersion = 'windlass.dev/v1alpha1';
    await install(here, [
      { apiVersion, kind: 'Workflow', metadata: { name, namespace }, spec: { steps } },
      { apiVersion, kind: 'WorkflowRun', metadata: { name, namespace }, spec: { workflow: name } },
    ]);
    return await k('get', 'wrun', name, '-n', namespace, '-o', 'jsonpath={.metadata.uid}');
  }

  async function firstPod(namespace: string, name: string, is: (pod: Pod) => boolean): Promise<void> {
    const pods = await watchHandPods(here, namespace);
    try {
      await pods.pod(name, 'a');
      await pods.until((seen) => seen.some(is));
    } finally {
      pods.stop();
    }
  }

  test('a node is lost: the step begins again on another, as it was not its doing', { timeout: 150_000 }, async () => {
    const pool = `example.org/pool`;
    // Nobody plays this node: what is bound to it never says a word.
    await install(here, [
      { apiVersion: 'v1', kind: 'Node', metadata: { name: node, labels: { [pool]: unique } }, spec: {} },
    ]);
    const allocatable = { cpu: '10', memory: '10Gi', pods: '10' };
    const at = new Date().toISOString();
    const conditions = [
      { type: 'Ready', status: 'True', reason: 'x', message: 'x', lastHeartbeatTime: at, lastTransitionTime: at },
    ];
    const status = JSON.stringify({ status: { allocatable, capacity: allocatable, conditions } });
    await k('patch', 'node', node, '--subresource=status', '--type=merge', '-p', status);
    const taints = (list: object[]) => JSON.stringify({ spec: { taints: list } });
    await k('patch', 'node', node, '--type=merge', '-p', taints([]));
    const tolerations = [
      { operator: 'Exists', effect: 'NoSchedule' },
      { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
      { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
    ];
    const step = fake('a', '0s', { nodeSelector: { [pool]: unique }, tolerations });
    const uid = await run(lasting, 'moves', [step, fake('b', '0s', { needs: ['a'] })]);
    await firstPod(lasting, 'moves', ({ spec }) => spec?.['nodeName'] === node);
    const [other] = (await k('get', 'nodes', '-l', 'type=kwok', '-o', 'name')).split('\n');
    await k('label', '--overwrite', other ?? '', `${pool}=${unique}`);
    await k('patch', 'node', node, '--type=merge', '-p', taints([{ key: 'x.org/lost', effect: 'NoExecute' }]));
    await k('wait', 'wrun/moves', '-n', lasting, '--for=condition=Finished', '--timeout=100s');
    const { phase, error } = (await controller.store.runs.get(uid)) ?? {};
    expect({ phase, error }).toEqual({ phase: 'Succeeded', error: null });
    const attempts = await controller.store.runs.attempts(uid);
    expect(attempts.map((one) => [one.step, one.number, one.error?.type ?? null])).toEqual([
      ['a', 1, 'infrastructure/nodeLost'],
      ['a', 2, null],
      ['b', 1, null],
    ]);
  });

  test('a namespace is deleted with a run in it: it goes, the end of the run is recorded, others go on', async () => {
    const uid = await run(going, 'doomed', [fake('a', '600s'), fake('b', '0s', { needs: ['a'] })]);
    await firstPod(going, 'doomed', ({ status }) => status?.phase === 'Running');
    await k('delete', 'namespace', going, '--timeout=50s');
    // Whichever of the two it deletes first: the run, or its Pod.
    const recorded = async () => (await controller.store.runs.get(uid))?.phase;
    await expect.poll(recorded, { timeout: 30_000 }).toMatch(/Cancelled|Failed/);
    const [attempt, ...more] = await controller.store.runs.attempts(uid);
    expect(attempt).toMatchObject({ step: 'a', phase: expect.stringMatching(/Cancelled|Failed/) });
    expect(more).toEqual([]);
    await run(lasting, 'next', [fake('a', '0s')]);
    await k('wait', 'wrun/next', '-n', lasting, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=40s');
  });
});
