import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningController } from '../../controller/start.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';

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

test.skipIf(started)('needs an API server and a Postgres of its own: set KUBEBUILDER_ASSETS', ({ skip }) => skip());

describe.skipIf(!started)('runs as resources', () => {
  let controller: RunningController;
  let namespace: string;
  beforeAll(async () => {
    controller = await world().start(await world().database());
    namespace = await world().namespace();
    await world().kubectl(`apply -n ${namespace} -f -`, greet);
    await world().kubectl(`apply -n ${namespace} -f -`, asks);
  });

  test('kubectl create, wait and get: a run goes to its end and says how it was', async () => {
    await world().kubectl(`create -n ${namespace} -f -`, runOf('first', 'greet'));
    await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/first`);
    const run = await world().run(namespace, 'first');
    expect(run?.status).toMatchObject({ phase: 'Succeeded', progress: '3/3', outputs: { text: 'Hello World' } });
    const table = await world().kubectl(`get wrun first -n ${namespace}`);
    expect(table).toMatch(/NAME\s+WORKFLOW\s+PHASE\s+PROGRESS\s+VERSION\s+AGE/);
    expect(table).toMatch(/first\s+greet\s+Succeeded\s+3\/3/);
  });
});
