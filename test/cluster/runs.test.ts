import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { crdManifest } from '../../crds/manifest.ts';
import { kinds } from '../../crds/kinds.ts';
import type { RunningController } from '../../controller/start.ts';
import { startCluster } from '../../controller/start-cluster.ts';
import { invoke } from '../fixtures/cli.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';
import { freePort } from '../fixtures/kubernetes.ts';

const started = await startClusterWorld();
afterAll(() => started?.stop());

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

const workflow = (name: string, steps: object[], more: object = {}) => ({
  apiVersion: 'windlass.dev/v1alpha1',
  kind: 'Workflow',
  metadata: { name },
  spec: { steps, ...more },
});
const runOf = (name: string, of: string, more: object = {}) => ({
  apiVersion: 'windlass.dev/v1alpha1',
  kind: 'WorkflowRun',
  metadata: { name },
  spec: { workflow: of, ...more },
});

const greet = workflow(
  'greet',
  [
    { name: 'text', template: { text: 'Hello {{ who }}', vars: { who: '${{ inputs.who }}' } } },
    { name: 'check', assert: [{ that: "steps.text.outputs.text == 'Hello World'" }] },
    { name: 'pause', needs: ['check'], wait: { for: '10ms' } },
  ],
  {
    inputs: { who: { type: 'string', default: 'World' } },
    outputs: { text: '${{ steps.text.outputs.text }}' },
  },
);
const asks = workflow('asks', [
  { name: 'ok', approval: {} },
  { name: 'after', needs: ['ok'], wait: { for: '1ms' } },
]);

describe.skipIf(!started)('runs as resources', () => {
  let controller: RunningController;
  let namespace: string;
  const create = (name: string, of: string, more?: object) =>
    world().kubectl(`create -n ${namespace} -f -`, runOf(name, of, more));
  const finished = (name: string) =>
    world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/${name}`);
  const patch = (name: string, spec: object) =>
    world().kubectl(`patch wrun ${name} -n ${namespace} --type=merge -p ${JSON.stringify({ spec })}`);

  beforeAll(async () => {
    controller = await world().start(await world().database());
    namespace = await world().namespace();
    await world().kubectl(`apply -n ${namespace} -f -`, greet);
    await world().kubectl(`apply -n ${namespace} -f -`, asks);
  });
  afterAll(() => controller.stop(0));

  test('kubectl create, wait and get: a run goes to its end and says how it was', async () => {
    await create('first', 'greet');
    await finished('first');
    const run = await world().run(namespace, 'first');
    expect(run?.status).toMatchObject({ phase: 'Succeeded', progress: '3/3', outputs: { text: 'Hello World' } });
    const table = await world().kubectl(`get wrun first -n ${namespace}`);
    expect(table).toMatch(/NAME\s+WORKFLOW\s+PHASE\s+REASON\s+PROGRESS\s+VERSION\s+AGE/);
    expect(table).toMatch(/first\s+greet\s+Succeeded\s+Succeeded\s+3\/3\s+sha256:[0-9a-f]{12}\s/);
  });

  test('kubectl patch pauses, resumes and cancels', async () => {
    await create('patched', 'asks');
    await world().waitFor(namespace, 'patched', '.status.conditions[?(@.type=="WaitingForApproval")].status', 'True');
    const row = () => world().kubectl(`get wrun patched -n ${namespace} --no-headers`);
    expect(await row()).toMatch(/Running\s+WaitingForApproval/);
    await patch('patched', { desired: 'Paused', reason: 'lunch' });
    await world().waitFor(namespace, 'patched', '.status.conditions[?(@.type=="Paused")].message', 'lunch');
    expect(await row()).toMatch(/Running\s+Paused/);
    await patch('patched', { approvals: [{ step: 'ok', user: 'admin', decision: 'Approve' }] });
    await world().waitFor(namespace, 'patched', '.status.observedGeneration', '3');
    expect((await world().run(namespace, 'patched'))?.status?.phase).toBe('Running');
    await patch('patched', { desired: 'Running', reason: null });
    await finished('patched');
    expect((await world().run(namespace, 'patched'))?.status?.phase).toBe('Succeeded');

    await create('unwanted', 'asks');
    await world().waitFor(namespace, 'unwanted', '.status.phase', 'Running');
    await patch('unwanted', { desired: 'Cancelled', reason: 'unwanted' });
    await finished('unwanted');
    expect((await world().run(namespace, 'unwanted'))?.status?.phase).toBe('Cancelled');
  });

  test('a step whose Secret may not be read: the run says that its log may show it; and which image ran', async () => {
    const secrets = { TOKEN: { name: 'kept', key: 'token' } };
    const uses = workflow('uses', [{ name: 'a', image: 'example.org/tools:1', run: 'echo "$TOKEN"', secrets }]);
    await world().kubectl(`create secret generic kept -n ${namespace} --from-literal=token=hunter2`);
    await world().kubectl(`apply -n ${namespace} -f -`, uses);
    const pods = await world().pods(namespace);
    await create('shown', 'uses');
    const pod = await pods.pod('shown', 'a');
    await pods.running(pod);
    const message = '.status.conditions[?(@.type=="LogsUnmasked")].status';
    await world().waitFor(namespace, 'shown', message, 'True');
    await pods.ended(pod);
    await finished('shown');
    const run = await world().run(namespace, 'shown');
    expect(run?.status?.conditions).toContainEqual(
      expect.objectContaining({ type: 'LogsUnmasked', message: expect.stringMatching(/log of step a .*: kept$/) }),
    );
    const token = world().server.kubeConfig.getCurrentUser()?.token ?? '';
    const argv = ['describe', 'run', 'shown', '-n', namespace, '--server', controller.url];
    const described = invoke(argv, { cwd: tmpdir(), env: { WINDLASS_TOKEN: token } });
    expect(await described.exitCode).toBe(0);
    expect(described.stdout()).toMatch(/Images:\n +STEP +ATTEMPT +IMAGE\n +a +1 +x\n/);
    expect(described.stdout()).toMatch(/LogsUnmasked +True/);
  });

  test('a status of a finished run that somebody else writes is put right, once', async () => {
    await create('forged', 'greet');
    await finished('forged');
    const before = await world().run(namespace, 'forged');
    const writes = async () =>
      (await readFile(world().server.auditLog, 'utf8'))
        .split('\n')
        .filter((line) => line.includes('/workflowruns/forged/status') && line.includes('"userAgent":"windlass"'))
        .length;
    const written = await writes();
    expect(written).toBeGreaterThan(0);
    const forged = { phase: 'Failed', progress: '0/9', version: 'v6.6.6' };
    await world().kubectl(
      `patch wrun forged -n ${namespace} --subresource=status --type=merge -p ${JSON.stringify({ status: forged })}`,
    );
    await world().waitFor(namespace, 'forged', '.status.progress', '3/3');
    expect((await world().run(namespace, 'forged'))?.status).toEqual(before?.status);
    await create('after', 'greet');
    await finished('after');
    expect(await writes()).toBe(written + 1);
  });

  test('deleting a run cancels it; its history stays', async () => {
    await create('deleted', 'asks');
    await world().waitFor(namespace, 'deleted', '.status.phase', 'Running');
    const ended = new Promise<void>((resolve) => {
      const look = async () => {
        const row = await controller.store.runs.getByName(namespace, 'deleted');
        if (row?.phase === 'Cancelled') resolve();
      };
      controller.store.events.onAppend(() => void look());
    });
    await world().kubectl(`delete wrun deleted -n ${namespace}`);
    await ended;
    expect(await controller.store.runs.getByName(namespace, 'deleted')).toMatchObject({
      reason: 'the run was deleted',
    });
  });

  test('kubectl describe shows what happened, and what a person has to do', async () => {
    await create('told', 'greet');
    await finished('told');
    await world().event(namespace, 'told', 'RunSucceeded');
    await create('asked', 'asks');
    expect(await world().event(namespace, 'asked', 'RunWaiting')).toBe('run asked: step ok waits for 1 more approval');
    await patch('asked', { approvals: [{ step: 'okay', user: 'admin', decision: 'Approve' }] });
    expect(await world().event(namespace, 'asked', 'NoSuchApproval')).toContain('approvals for step okay');
    await patch('asked', { desired: 'Cancelled' });
    await create('astray', 'nowhere');
    await world().event(namespace, 'astray', 'WorkflowNotFound');
    const astray = await world().kubectl(`describe wrun astray -n ${namespace}`);
    expect(astray).toMatch(/Warning\s+WorkflowNotFound.*there is no workflow nowhere/);
    await world().kubectl(`delete wrun astray -n ${namespace}`);
  });

  test('a run goes on through a restart of the API server', async () => {
    await create('through', 'asks');
    await world().waitFor(namespace, 'through', '.status.phase', 'Running');
    await world().server.restart();
    await patch('through', { approvals: [{ step: 'ok', user: 'admin', decision: 'Approve' }] });
    await finished('through');
    expect((await world().run(namespace, 'through'))?.status?.phase).toBe('Succeeded');
  });
});

describe.skipIf(!started)('several controllers', () => {
  test('what one began goes on with another when it is stopped', async () => {
    const database = await world().database();
    const namespace = await world().namespace();
    await world().kubectl(`apply -n ${namespace} -f -`, asks);
    const controllers = [await world().start(database), await world().start(database)];
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) await world().kubectl(`create -n ${namespace} -f -`, runOf(name, 'asks'));
    for (const name of names) await world().waitFor(namespace, name, '.status.phase', 'Running');
    await controllers[0]?.stop(0);
    const spec = { approvals: [{ step: 'ok', user: 'admin', decision: 'Approve' }] };
    for (const name of names) {
      await world().kubectl(`patch wrun ${name} -n ${namespace} --type=merge -p ${JSON.stringify({ spec })}`);
    }
    for (const name of names) {
      await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/${name}`);
      expect((await world().run(namespace, name))?.status).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    }
    await controllers[1]?.stop(0);
  });
});

describe.skipIf(!started)('several controllers that see the same trouble', () => {
  test('tell of it by one Event for each reason', async () => {
    const database = await world().database();
    const namespace = await world().namespace();
    const controllers = [await world().start(database), await world().start(database), await world().start(database)];
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) await world().kubectl(`create -n ${namespace} -f -`, runOf(name, 'late'));
    for (const name of names) await world().event(namespace, name, 'WorkflowNotFound');
    const circle = [
      { name: 'x', needs: ['y'], wait: { for: '1ms' } },
      { name: 'y', needs: ['x'], wait: { for: '1ms' } },
    ];
    await world().kubectl(`apply -n ${namespace} -f -`, workflow('late', circle));
    for (const name of names) await world().event(namespace, name, 'WorkflowInvalid');
    await world().kubectl(`apply -n ${namespace} -f -`, workflow('late', [{ name: 'x', wait: { for: '1ms' } }]));
    for (const name of names) {
      await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/${name}`);
    }
    for (const controller of controllers) await controller.stop(0);
    const told = await world().kubectl(
      `get events.v1.events.k8s.io -n ${namespace} --field-selector type=Warning -o jsonpath={range.items[*]}{.regarding.name}:{.reason}:{.series.count},{end}`,
    );
    const runs = told.split(',').filter((one) => /^[abcd]:/.test(one));
    expect(runs.toSorted()).toEqual(names.flatMap((name) => [`${name}:WorkflowInvalid:`, `${name}:WorkflowNotFound:`]));
  });
});

describe.skipIf(!started)('finished runs', () => {
  test('the newest of a workflow stay, and nothing of the others but their history', async () => {
    const controller = await world().start(await world().database(), { retention: { ttlMs: null, perWorkflow: 1 } });
    const namespace = await world().namespace();
    await world().kubectl(`apply -n ${namespace} -f -`, greet);
    for (const name of ['one', 'two']) {
      await world().kubectl(`create -n ${namespace} -f -`, runOf(name, 'greet'));
      await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/${name}`);
    }
    await world().kubectl(`wait -n ${namespace} --for=delete --timeout=40s wrun/one`);
    expect(await world().run(namespace, 'two')).not.toBeNull();
    expect(await controller.store.runs.getByName(namespace, 'one')).toMatchObject({ phase: 'Succeeded', reason: null });
    await controller.stop(0);
  });

  test('they are gone when their time is over', async () => {
    const controller = await world().start(await world().database(), { retention: { ttlMs: 1, perWorkflow: null } });
    const namespace = await world().namespace();
    await world().kubectl(`apply -n ${namespace} -f -`, greet);
    await world().kubectl(`create -n ${namespace} -f -`, runOf('brief', 'greet'));
    await world().kubectl(`wait -n ${namespace} --for=delete --timeout=40s wrun/brief`);
    expect(await controller.store.runs.getByName(namespace, 'brief')).toMatchObject({ phase: 'Succeeded' });
    await controller.stop(0);
  });
});

describe.skipIf(!started)('a database that was restored from an older copy', () => {
  test('what was under way stands still until a person decides; what had ended is recorded again', async () => {
    const namespace = await world().namespace();
    await world().kubectl(`apply -n ${namespace} -f -`, greet);
    await world().kubectl(`apply -n ${namespace} -f -`, asks);
    const before = await world().start(await world().database());
    await world().kubectl(`create -n ${namespace} -f -`, runOf('done', 'greet'));
    await world().kubectl(`create -n ${namespace} -f -`, runOf('half', 'asks'));
    await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/done`);
    await world().waitFor(namespace, 'half', '.status.conditions[?(@.type=="WaitingForApproval")].status', 'True');
    await before.stop(0);
    const revision = (await world().run(namespace, 'half'))?.status?.revision;

    const after = await world().start(await world().database(), { retention: { ttlMs: null, perWorkflow: 100 } });
    await world().waitFor(namespace, 'half', '.status.conditions[?(@.type=="Stalled")].reason', 'HistoryLost');
    const half = await world().run(namespace, 'half');
    expect(half?.status).toMatchObject({ phase: 'Running', revision });
    expect(await after.store.runs.get(half?.metadata.uid ?? '')).toBeNull();
    await world().event(namespace, 'half', 'HistoryLost');
    await world().kubectl(`patch wrun half -n ${namespace} --type=merge -p {"spec":{"desired":"Cancelled"}}`);
    await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/half`);
    for (const [name, phase] of [
      ['done', 'Succeeded'],
      ['half', 'Cancelled'],
    ] as const) {
      const recorded = async () => (await after.store.runs.getByName(namespace, name))?.phase ?? null;
      await expect.poll(recorded, { timeout: 20_000 }).toBe(phase);
    }
    await after.stop(0);
  });
});

describe.skipIf(!started)('a controller that cannot serve yet', () => {
  const get = async (port: number, path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: response.status, body: (await response.json()) as { reasons?: string[] } };
  };

  test('a database that is down at the start is waited for: alive, not ready, and it says why', async () => {
    const port = await freePort();
    const stopped = new AbortController();
    const listen = { host: '127.0.0.1', port };
    const nobody = `postgres://windlass@127.0.0.1:${await freePort()}/none`;
    const starting = startCluster(world().options(nobody, { listen }), stopped.signal);
    const ready = async () => {
      const { status, body } = await get(port, '/readyz').catch(() => ({ status: 0, body: { reasons: [] } }));
      return `${status} ${body.reasons?.join()}`;
    };
    await expect
      .poll(ready, { timeout: 30_000 })
      .toMatch(/^503 the database of DATABASE_URL cannot be used: .*ECONNREFUSED/);
    expect((await get(port, '/healthz')).status).toBe(200);
    stopped.abort();
    expect(await starting).toBeNull();
  });

  test('it serves as soon as the database is there', async () => {
    const port = await freePort();
    const name = `late_${port}`;
    const url = new URL(world().postgres.url);
    url.pathname = `/${name}`;
    const starting = startCluster(
      world().options(url.href, { listen: { host: '127.0.0.1', port } }),
      new AbortController().signal,
    );
    const ready = async () => {
      const { status, body } = await get(port, '/readyz').catch(() => ({ status: 0, body: { reasons: [] } }));
      return `${status} ${body.reasons?.join()}`;
    };
    await expect.poll(ready, { timeout: 30_000 }).toContain(`database "${name}" does not exist`);
    await world().postgres.database(name);
    const controller = await starting;
    await expect.poll(ready, { timeout: 30_000 }).toBe('200 ');
    await controller?.stop(0);
  });

  test('older CRDs than it needs: not ready, and it says which one lacks what', async () => {
    const crd = 'workflowruns.windlass.dev';
    const controller = await world().start(await world().database());
    const reasons = async () => {
      const response = await fetch(`${controller.url}/readyz`);
      return ((await response.json()) as { reasons: string[] }).reasons.join('; ');
    };
    await expect.poll(reasons, { timeout: 30_000 }).toBe('');
    await controller.stop(0);

    const path = '/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/revision';
    const lack = JSON.stringify([{ op: 'remove', path }]);
    await world().kubectl(`patch crd ${crd} --type=json -p ${lack}`);
    const late = await world().start(await world().database());
    const lateReasons = async () => {
      const response = await fetch(`${late.url}/readyz`);
      return ((await response.json()) as { reasons: string[] }).reasons.join('; ');
    };
    await expect
      .poll(lateReasons, { timeout: 30_000 })
      .toContain(`the CRD ${crd} is older than this program: it lacks .status.revision`);
    await world().kubectl(`apply --server-side --force-conflicts -f -`, crdManifest(kinds.WorkflowRun));
    await expect.poll(lateReasons, { timeout: 30_000 }).toBe('');
    await late.stop(0);
  });
});
