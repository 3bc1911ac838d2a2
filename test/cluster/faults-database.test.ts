import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type ClusterEnvironment, serveEnvironment } from '../fixtures/cluster-environment.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';
import type { ControllerProcess } from '../fixtures/controller-process.ts';

const started = await startClusterWorld();
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => started?.stop());

const apiVersion = 'windlass.dev/v1alpha1';
const two = [
  { name: 'a', run: 'true' },
  { name: 'b', run: 'true', needs: ['a'] },
];

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

/** Ended with its test: it serves every namespace. */
async function spawn(database: string, env: Record<string, string> = {}): Promise<ControllerProcess> {
  const controller = await world().spawn(database, { env });
  closing.push(async () => {
    controller.kill('SIGKILL');
    await controller.exited;
  });
  return controller;
}

async function stopped(controller: ControllerProcess): Promise<void> {
  controller.kill('SIGTERM');
  expect(await controller.exited).toBe(0);
}

const apply = (namespace: string, name: string, steps: object[]) =>
  world().kubectl(`apply -n ${namespace} -f -`, { apiVersion, kind: 'Workflow', metadata: { name }, spec: { steps } });
const run = (namespace: string, name: string, workflow: string) =>
  world().kubectl(`create -n ${namespace} -f -`, {
    apiVersion,
    kind: 'WorkflowRun',
    metadata: { name },
    spec: { workflow },
  });
const finished = async (namespace: string, name: string) => {
  await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/${name}`);
  return (await world().run(namespace, name))?.status;
};

describe.skipIf(!started)('a database that is away while runs run', () => {
  const title = 'for longer than a lease: not ready, and it says why; afterwards all goes on, nothing lost or doubled';
  test(title, { timeout: 120_000 }, async () => {
    const namespace = await world().namespace();
    await apply(namespace, 'w', two);
    const pods = await world().pods(namespace);
    // As the chart names its Pod.
    const pod = { WINDLASS_POD_NAMESPACE: namespace, WINDLASS_POD_NAME: 'windlass-0', WINDLASS_POD_UID: 'u' };
    const controller = await spawn(await world().database(), pod);
    await run(namespace, 'r', 'w');
    const a = await pods.pod('r', 'a');
    await pods.running(a);
    const readiness = async () => {
      const response = await fetch(`${controller.url}/readyz`);
      return `${response.status} ${((await response.json()) as { reasons: string[] }).reasons.join()}`;
    };
    await expect.poll(readiness, { timeout: 20_000 }).toBe('200 ');
    await world().postgres.restart(async () => {
      await expect.poll(readiness, { timeout: 20_000 }).toMatch(/^503 the database at \S+ does not answer;/);
      expect((await fetch(`${controller.url}/healthz`)).status).toBe(200);
      await pods.ended(a);
      await run(namespace, 'meanwhile', 'w');
      await controller.logged('the lease is lost');
      const told = await world().event(namespace, 'windlass-0', 'NotReady');
      expect(told).toMatch(/^the database at \S+ does not answer; runs go on by themselves when it is back$/);
    });
    await controller.logged('a new lease was taken');
    await pods.ended(await pods.pod('r', 'b'));
    for (const step of ['a', 'b']) await pods.ended(await pods.pod('meanwhile', step));
    for (const name of ['r', 'meanwhile']) {
      expect(await finished(namespace, name)).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
      expect(pods.of(name)).toEqual(['a/1', 'b/1']);
    }
    await expect.poll(readiness, { timeout: 20_000 }).toBe('200 ');
    expect(await world().events(namespace, 'windlass-0')).toHaveLength(1);
  });
});

describe.skipIf(!started)('a database that was restored from an older backup', () => {
  const condition = async (environment: ClusterEnvironment, type: string) =>
    (await environment.read('wenv')).status?.conditions?.find((one) => one.type === type);

  test('runs and environments that have come further do nothing until a person decides, and say how', async () => {
    const environment = await serveEnvironment(world());
    closing.push(() => environment.close());
    const { project } = environment;
    const namespace = await world().namespace();
    await apply(namespace, 'w', two);
    const pods = await world().pods(namespace);
    const database = await world().database();

    const first = await spawn(database);
    await environment.merge('one');
    await run(namespace, 'half', 'w');
    await pods.running(await pods.pod('half', 'a'));
    await world().waitFor(namespace, 'half', '.status.phase', 'Running');
    await stopped(first);
    const backup = await world().postgres.copy(database, 'backup');

    const second = await spawn(database);
    await environment.merge('two');
    await pods.ended(await pods.pod('half', 'a'));
    await pods.pod('half', 'b');
    await world().waitFor(namespace, 'half', '.status.progress', '1/2');
    await stopped(second);
    const before = await environment.read('wwf');

    await spawn(backup);
    await world().waitFor(namespace, 'half', '.status.conditions[?(@.type=="Stalled")].reason', 'HistoryLost');
    const said = await world().event(namespace, 'half', 'HistoryLost');
    expect(said).toContain('nothing is started');
    expect(said).toContain('Set spec.desired to Cancelled, or delete the run, and create another');
    const stalled = '--for=jsonpath={.status.conditions[?(@.type=="Stalled")].reason}=HistoryLost';
    await world().kubectl(`wait wenv/dev -n ${project} ${stalled} --timeout=40s`);
    const lost = await condition(environment, 'Stalled');
    const go = `kubectl patch environment dev -n ${project} --subresource=status --type=merge`;
    expect(lost?.message).toContain(go);
    expect(await world().event(project, 'dev', 'HistoryLost')).toBe(lost?.message);
    await environment.fetch();
    await world().kubectl(
      `wait wsrc/team -n ${project} --for=jsonpath={.status.lastHandledReconcileAt}=3 --timeout=40s`,
    );
    expect((await environment.read('wwf')).metadata.generation).toBe(before.metadata.generation);
    expect(pods.of('half')).toEqual(['a/1', 'b/1']);

    // What the messages say.
    await world().kubectl(`patch wrun half -n ${namespace} --type=merge -p {"spec":{"desired":"Cancelled"}}`);
    expect(await finished(namespace, 'half')).toMatchObject({ phase: 'Cancelled' });
    await world().kubectl(`${go.slice('kubectl '.length)} -p {"status":{"revision":0}}`);
    await world().kubectl(`annotate wenv dev -n ${project} --overwrite windlass.dev/requestedAt=go`);
    const on = '--for=jsonpath={.spec.description}=two';
    await world().kubectl(`wait wwf/w -n ${environment.namespace} ${on} --timeout=40s`);
    expect(pods.of('half')).toEqual(['a/1', 'b/1']);
  });
});
