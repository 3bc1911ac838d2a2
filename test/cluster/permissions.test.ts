import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { findHelm } from '../../scripts/chart.ts';
import type { RunningController } from '../../controller/start.ts';
import { runFinalizer } from '../../controller/seams/deletion.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';
import { render } from '../fixtures/helm.ts';
import { install, kubectl, manifest } from '../fixtures/kubectl.ts';
import { startKubernetesProxy } from '../fixtures/kubernetes-proxy.ts';

/*
 * The controller with exactly the rights of the chart, which are then taken away as a person does it: one binding is
 * deleted, and nothing else happens. No connection breaks, so that every watch goes on.
 */

const started = await startClusterWorld();
afterAll(() => started?.stop());

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

interface Manifest {
  kind: string;
  metadata: { name: string };
}

/** What the chart renders by itself, as far as it gives the controller rights. */
function roles(
  text = readFileSync(join(import.meta.dirname, '../../deploy/kustomize/windlass.yaml'), 'utf8'),
): Manifest[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((found) => found !== null)
    .filter(({ kind }) =>
      ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding'].includes(kind),
    );
}

const login = () => world().server.login('system:serviceaccount:windlass:windlass');

/** Why a controller is not ready; empty when it is. */
async function reasonsOf({ url }: RunningController): Promise<string[]> {
  return ((await (await fetch(`${url}/readyz`)).json()) as { reasons: string[] }).reasons;
}

const some = 'installed for some namespaces: it may do all it must there, and says of which one the binding is gone';
test.skipIf(!started || findHelm() === null)(some, { timeout: 90_000 }, async () => {
  const namespaces = [await world().namespace(), await world().namespace()];
  const [one = '', two = ''] = namespaces;
  await install(world().server, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'windlass' } }]);
  await install(world().server, roles(await render([`namespaces={${namespaces.join(',')}}`])));
  const controller = await world().start(await world().database(), { kubeConfig: login(), namespaces });
  await expect.poll(() => reasonsOf(controller), { timeout: 20_000 }).toEqual([]);
  await install(world().server, [
    manifest('Workflow', 'w', { steps: [{ name: 'a', wait: { for: '1ms' } }] }, one),
    manifest('WorkflowRun', 'r', { workflow: 'w' }, one),
  ]);
  await world().waitFor(one, 'r', '.status.phase', 'Succeeded');

  await world().kubectl(`delete rolebinding windlass.windlass -n ${two}`);
  const said = `cannot patch workflowruns/status of windlass.dev in namespace ${two}; give the controller its role back`;
  await expect.poll(() => reasonsOf(controller), { timeout: 20_000 }).toEqual([said]);
  await controller.stop(0);
});

const gone = 'a namespace of those is deleted, with the binding in it: the others go on, also after a restart';
test.skipIf(!started || findHelm() === null)(gone, { timeout: 180_000 }, async () => {
  const home = 'windlass';
  const [one, two] = [await world().namespace(), await world().namespace()];
  await install(world().server, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: home } }]);
  const rights = roles(await render([`namespaces={${one},${two}}`]));
  await install(world().server, rights);
  const database = await world().database();
  const start = (name: string) =>
    world().start(database, { kubeConfig: login(), namespaces: [one, two], pod: { namespace: home, name, uid: name } });
  const works = async (namespace: string, name: string) => {
    await install(world().server, [
      manifest('Workflow', 'w', { steps: [{ name: 'a', wait: { for: '1ms' } }] }, namespace),
      manifest('WorkflowRun', name, { workflow: 'w' }, namespace),
    ]);
    await world().waitFor(namespace, name, '.status.phase', 'Succeeded');
  };
  const first = await start('gone-0');
  await works(one, 'before');
  await install(world().server, [
    manifest('Workflow', 'long', { steps: [{ name: 'a', wait: { for: '1h' } }] }, one),
    manifest('WorkflowRun', 'long', { workflow: 'long' }, one),
  ]);
  await world().waitFor(one, 'long', '.status.phase', 'Running');
  const unfinished = async ({ store }: RunningController) => {
    const { items } = await store.runs.list({ namespace: one }, { limit: 10 });
    return items.filter(({ finishedAt }) => finishedAt === null).map(({ name }) => name);
  };
  expect(await unfinished(first)).toEqual(['long']);
  await first.stop(0); // What becomes of the run is for who comes after.

  // As the namespace controller does it, which is not here: the binding may go before the runs.
  await world().kubectl(`delete namespace ${one} --wait=false`);
  await world().kubectl(`delete rolebinding,role --all -n ${one}`);
  const second = await start('gone-1');
  expect(await world().event(home, 'gone-1', 'NamespaceMissing')).toContain(`namespace ${one} is being deleted`);
  await works(two, 'while-it-goes');
  await expect.poll(() => reasonsOf(second), { timeout: 20_000 }).toEqual([]);

  await world().kubectl(`delete wwf,wrun --all -n ${one}`);
  const finalized = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: one }, spec: { finalizers: [] } };
  await world().kubectl(`replace --raw /api/v1/namespaces/${one}/finalize -f -`, finalized);
  await world().kubectl(`wait --for=delete namespace/${one} --timeout=20s`);
  const third = await start('gone-2');
  expect(await world().event(home, 'gone-2', 'NamespaceMissing')).toContain(`namespace ${one} does not exist`);
  await works(two, 'without-it');
  const reasons = () => Promise.all([reasonsOf(second), reasonsOf(third)]);
  await expect.poll(reasons, { timeout: 20_000 }).toEqual([[], []]);
  await expect.poll(() => unfinished(third), { timeout: 20_000 }).toEqual([]);

  await install(world().server, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: one } }]);
  const without = expect.arrayContaining([expect.stringContaining(`in the namespace "${one}"; give the controller`)]);
  await expect.poll(() => reasonsOf(third), { timeout: 30_000 }).toEqual(without);
  await install(world().server, rights);
  await works(one, 'again');
  await expect.poll(reasons, { timeout: 30_000 }).toEqual([[], []]);
  await Promise.all([second.stop(0), third.stop(0)]);
});

const kept =
  'a namespace is on its way out, the binding in it first: a run kept for its end stays known, and is let go';
test.skipIf(!started || findHelm() === null)(kept, { timeout: 120_000 }, async () => {
  const [one, two] = [await world().namespace(), await world().namespace()];
  await install(world().server, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'windlass' } }]);
  await install(world().server, roles(await render([`namespaces={${one},${two}}`])));
  const proxy = await startKubernetesProxy(login());
  const options = { kubeConfig: proxy.kubeConfig, namespaces: [one, two] };
  const controller = await world().start(await world().database(), options);
  const wait = { steps: [{ name: 'a', wait: { for: '1h' } }], finally: [{ name: 'bye', wait: { for: '1h' } }] };
  await install(world().server, [
    manifest('Workflow', 'w', wait, one),
    manifest('WorkflowRun', 'r', { workflow: 'w' }, one),
  ]);
  await world().waitFor(one, 'r', '.status.phase', 'Running');

  await world().kubectl(`delete namespace ${one} --wait=false`);
  await world().kubectl(`delete rolebinding,role --all -n ${one}`);
  await world().kubectl(`delete wrun r -n ${one} --wait=false`);
  const lists = `GET /apis/windlass.dev/v1alpha1/namespaces/${one}/workflowruns?limit=500`;
  const before = proxy.asked.length;
  proxy.cut();
  const again = () => proxy.asked.slice(before).filter((asked) => asked === lists).length;
  await expect.poll(again, { timeout: 20_000 }).toBeGreaterThan(2);
  expect((await world().run(one, 'r'))?.metadata).toMatchObject({ finalizers: [runFinalizer] });
  expect(await reasonsOf(controller)).toEqual([]);
  await install(world().server, [
    manifest('Workflow', 'w', { steps: [{ name: 'a', wait: { for: '1ms' } }] }, two),
    manifest('WorkflowRun', 'r', { workflow: 'w' }, two),
  ]);
  await world().waitFor(two, 'r', '.status.phase', 'Succeeded');

  const binding = 'create clusterrolebinding all --clusterrole=cluster-admin --serviceaccount=windlass:windlass';
  await world().kubectl(binding);
  await world().kubectl(`wait -n ${one} --for=delete --timeout=40s wrun/r`);
  await world().kubectl('delete clusterrolebinding all');
  await controller.stop(0);
  await proxy.close();
});

const title = 'the binding is deleted while a run runs: every replica says so at once, and all goes on when it is back';
test.skipIf(!started)(title, { timeout: 120_000 }, async () => {
  const home = 'windlass';
  await install(world().server, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: home } }, ...roles()]);
  const [database, namespace] = [await world().database(), await world().namespace()];
  const controllers: RunningController[] = [];
  for (const name of ['windlass-0', 'windlass-1']) {
    const pod = { namespace: home, name, uid: name };
    controllers.push(await world().start(database, { kubeConfig: login(), stepImage: 'example.org/tools:1', pod }));
  }
  const reasons = () => Promise.all(controllers.map(reasonsOf));
  await expect.poll(reasons, { timeout: 20_000 }).toEqual([[], []]);

  const seen = await world().pods(namespace);
  const steps = [
    { name: 'a', run: 'true' },
    { name: 'b', run: 'true', needs: ['a'] },
  ];
  await install(world().server, [manifest('Workflow', 'w', { steps }, namespace)]);
  await install(world().server, [manifest('WorkflowRun', 'r', { workflow: 'w' }, namespace)]);
  const pod = await seen.pod('r', 'a');
  await world().kubectl('delete clusterrolebinding windlass.windlass');
  const may = ['auth', 'can-i', 'create', 'pods', '-A', '--as=system:serviceaccount:windlass:windlass'];
  while ((await kubectl(world().server, may)).stdout.trim() !== 'no');
  await seen.ended(pod);

  // Both of them, whichever has the run: the other has nothing to write.
  const without = expect.stringMatching(
    /^cannot patch workflowruns\/status of windlass.dev in .*; give the controller its role back$/,
  );
  const each = expect.arrayContaining([without]);
  await expect.poll(reasons, { timeout: 15_000 }).toEqual([each, each]);
  const owner = expect.arrayContaining([expect.stringContaining(`cannot create pods in namespace ${namespace}`)]);
  await expect.poll(reasons, { timeout: 15_000 }).toContainEqual(owner);
  for (const name of ['windlass-0', 'windlass-1']) {
    expect(await world().event(home, name, 'NotReady')).toContain('; give the controller its role back');
  }

  await install(world().server, roles());
  await expect.poll(reasons, { timeout: 30_000 }).toEqual([[], []]);
  await seen.ended(await seen.pod('r', 'b'));
  await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=60s wrun/r`);
  expect(seen.of('r')).toEqual(['a/1', 'b/1']);
  expect((await world().run(namespace, 'r'))?.status).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
});
