import { afterAll, expect, test } from 'vitest';
import { serveEnvironment } from '../fixtures/cluster-environment.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';
import { install, manifest } from '../fixtures/kubectl.ts';

const started = await startClusterWorld();
afterAll(() => started?.stop());

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

interface Owned {
  items: { metadata: { managedFields: { manager: string; operation: string; subresource?: string }[] } }[];
}

/** Who wrote the objects of a resource, and which part of them: `manager operation part`. */
async function writers(resource: string, namespace: string): Promise<string[]> {
  const args = `get ${resource} -n ${namespace} -o json --show-managed-fields`;
  const { items } = JSON.parse(await world().kubectl(args)) as Owned;
  const all = items.flatMap(({ metadata }) =>
    metadata.managedFields.map(({ manager, operation, subresource = 'object' }) => [manager, operation, subresource]),
  );
  // People write by kubectl.
  const ours = all.filter(([manager = '']) => manager.startsWith('windlass'));
  return [...new Set(ours.map((words) => words.join(' ')))].toSorted();
}

const title = 'each reconciler writes by a name of its own, and no part of an object has two writers';
test.skipIf(!started)(title, { timeout: 90_000 }, async () => {
  const environment = await serveEnvironment(world());
  const { project, namespace } = environment;
  await world().start(await world().database(), { stepImage: 'example.org/tools:1' });
  await environment.merge('one');
  // Put back by the reconciler of workflows, as what it is.
  await world().kubectl(`patch wwf w -n ${namespace} --type=merge -p {"spec":{"description":"two"}}`);
  await world().kubectl(`wait wwf/w -n ${namespace} --for=jsonpath={.spec.description}=one --timeout=40s`);
  const seen = await world().pods(namespace);
  await install(world().server, [manifest('WorkflowRun', 'r', { workflow: 'w' }, namespace)]);
  const pod = await seen.pod('r', 'a');
  expect(await writers('pods', namespace)).toEqual(['windlass-workflow-run Update object']);
  await seen.ended(pod);
  await world().waitFor(namespace, 'r', '.status.phase', 'Succeeded');

  expect(await writers('wrun', namespace)).toEqual(['windlass-workflow-run Update status']);
  expect(await writers('wwf', namespace)).toEqual([
    'windlass-environment Apply object',
    'windlass-workflow Update status',
  ]);
  expect(await writers('wenv', project)).toEqual(['windlass-environment Update status']);
  expect(await writers('wsrc', project)).toEqual(['windlass-workflow-source Update status']);
  expect(await writers('wpro', project)).toEqual([
    'windlass-environment Update object',
    'windlass-environment Update status',
  ]);
  await environment.close();
});
