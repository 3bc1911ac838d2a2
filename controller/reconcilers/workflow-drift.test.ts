import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Workflow } from '../../crds/workflow.ts';
import { type ControllerWorld, quickstartRepository, startWorld } from '../../test/fixtures/controller.ts';

let world: ControllerWorld;
beforeAll(async () => {
  world = await startWorld();
  await world.serve(await quickstartRepository(join(world.directory, 'team')));
});
afterAll(() => world.stop());

const name = 'nightly-report';
const reasonOf = ({ status }: Workflow, type: string) =>
  status?.conditions?.find((condition) => condition.type === type)?.reason;
const workflow = (namespace: string, isSo: (seen: Workflow) => boolean) =>
  world.until(`Workflow ${namespace}/${name}`, () => world.client.get('Workflow', { namespace, name }), isSo);

test('a promoted workflow that is edited by hand is put back, and says so', async () => {
  const before = await workflow('dev', (seen) => reasonOf(seen, 'Ready') === 'Promoted');
  // The API refuses this; whoever writes past it is put back.
  await world.controller.store.objects.update('Workflow', 'dev', name, ({ spec }) => ({
    spec: { ...spec, description: 'mine' },
  }));
  const after = await workflow('dev', (seen) => reasonOf(seen, 'Drifted') === 'Reverted');
  expect(after.spec).toEqual(before.spec);
  expect(after.metadata).toMatchObject({ labels: before.metadata.labels, annotations: before.metadata.annotations });
  const drifted = after.status?.conditions?.find(({ type }) => type === 'Drifted');
  expect(drifted).toMatchObject({ status: 'False', message: expect.stringContaining('spec.description') });
});

test('a workflow that was there before an environment of its name is left, until it is deleted', async () => {
  const { client } = world;
  await client.apply({
    kind: 'Workflow',
    metadata: { namespace: 'shared', name },
    spec: { steps: [{ name: 'mine', run: 'true' }] },
  });
  const { spec } = await client.get('Environment', { namespace: 'default', name: 'dev' });
  await client.apply({ kind: 'Environment', metadata: { namespace: 'default', name: 'shared' }, spec });
  const taken = await workflow('shared', (seen) => reasonOf(seen, 'Stalled') === 'NameTaken');
  expect(taken.spec.steps[0]?.name).toBe('mine');
  await client.delete('Workflow', { namespace: 'shared', name });
  const promoted = await workflow('shared', (seen) => reasonOf(seen, 'Ready') === 'Promoted');
  expect(promoted.spec.steps[0]?.name).not.toBe('mine');
});
