import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runFinalizer } from '../../controller/seams/deletion.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';
import { manifest } from '../fixtures/kubectl.ts';

const started = await startClusterWorld();
afterAll(() => started?.stop());

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

const asks = { steps: [{ name: 'ok', approval: {} }] };
const hasFinally = (time: string) => ({ ...asks, finally: [{ name: 'bye', wait: { for: time } }] });

test.skipIf(started)('needs an API server and a Postgres of its own: set KUBEBUILDER_ASSETS', ({ skip }) => {
  expect(started).toBeNull();
  skip();
});

describe.skipIf(!started)('deleting a run that has something to do at its end', () => {
  let namespace: string;
  const finalizers = async (name: string) =>
    JSON.parse(await world().kubectl(`get wrun ${name} -n ${namespace} -o json`)).metadata.finalizers ?? [];
  const patch = (name: string, spec: object) =>
    world().kubectl(`patch wrun ${name} -n ${namespace} --type=merge -p ${JSON.stringify({ spec })}`);
  const gone = (name: string) => world().kubectl(`wait -n ${namespace} --for=delete --timeout=40s wrun/${name}`);
  const approved = (...steps: string[]) => ({
    approvals: steps.map((step) => ({ step, user: 'admin', decision: 'Approve' })),
  });

  /** A run of this workflow that waits for approval. */
  async function begin(name: string, spec: object): Promise<void> {
    await world().kubectl(`apply -n ${namespace} -f -`, manifest('Workflow', `${name}-flow`, spec));
    await world().kubectl(`create -n ${namespace} -f -`, manifest('WorkflowRun', name, { workflow: `${name}-flow` }));
    await world().waitFor(namespace, name, '.status.conditions[?(@.type=="WaitingForApproval")].status', 'True');
  }

  beforeAll(async () => {
    await world().start(await world().database());
    namespace = await world().namespace();
  });

  test('it stays until its finally steps have ended', async () => {
    await begin('one', hasFinally('5s'));
    expect(await finalizers('one')).toEqual([runFinalizer]);
    await world().kubectl(`delete wrun one -n ${namespace} --wait=false`);
    await world().waitFor(namespace, 'one', '.status.phase', 'Finalizing');
    await gone('one');
  });

  test('with force it goes at once', async () => {
    await begin('two', hasFinally('1h'));
    await world().kubectl(`delete wrun two -n ${namespace} --wait=false`);
    await world().waitFor(namespace, 'two', '.status.phase', 'Finalizing');
    await patch('two', { desired: 'Cancelled', force: true });
    await gone('two');
  });

  test('a run that has ended by itself is not kept any more', async () => {
    await begin('three', hasFinally('1ms'));
    await patch('three', approved('ok'));
    await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/three`);
    await expect.poll(() => finalizers('three'), { timeout: 20_000, interval: 200 }).toEqual([]);
  });

  test('one that has nothing to do is never kept', async () => {
    await begin('four', asks);
    expect(await finalizers('four')).toEqual([]);
  });

  test('in a namespace that is deleted it goes at once', async () => {
    await begin('five', hasFinally('1h'));
    await world().kubectl(`delete namespace ${namespace} --wait=false`);
    await world().kubectl(`delete wrun five -n ${namespace} --wait=false`);
    await gone('five');
  });
});
