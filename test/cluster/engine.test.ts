import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Pod } from '../../controller/executors/pod/pod.ts';
import type { RunningController } from '../../controller/start.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';
import type { HandPods } from '../fixtures/hand-pods.ts';
import { manifest } from '../fixtures/kubectl.ts';

const started = await startClusterWorld();
afterAll(() => started?.stop());

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

const image = 'example.org/tools:1';

const shops = manifest('Workflow', 'shops', {
  steps: [
    {
      name: 'shop',
      image,
      run: 'count "$S"',
      env: { S: '${{ item }}' },
      forEach: { items: ['a', 'b', 'c'], failFast: false },
    },
    { name: 'sum', needs: ['shop'], image, run: 'sum' },
  ],
});
const guarded = manifest('Workflow', 'guarded', {
  steps: [
    {
      name: 'deploy',
      image,
      run: 'deploy',
      locks: [{ name: 'prod' }],
      retry: { limit: 1, backoff: { initial: '10ms' } },
    },
  ],
});
const parent = manifest('Workflow', 'parent', { steps: [{ name: 'nested', workflow: { name: 'middle' } }] });
const middle = manifest('Workflow', 'middle', { steps: [{ name: 'inner', workflow: { name: 'shops' } }] });

describe.skipIf(!started)('the engine with steps as Pods', () => {
  let controller: RunningController;
  let namespace: string;
  let pods: HandPods;
  const create = (name: string, workflow: string) =>
    world().kubectl(`create -n ${namespace} -f -`, manifest('WorkflowRun', name, { workflow }));
  const patch = (name: string, spec: object) =>
    world().kubectl(`patch wrun ${name} -n ${namespace} --type=merge -p ${JSON.stringify({ spec })}`);
  const row = async (name: string) =>
    (await world().kubectl(`get wrun ${name} -n ${namespace} --no-headers`)).trim().split(/\s+/).slice(0, 5);
  const phase = (name: string, value: string) => world().waitFor(namespace, name, '.status.phase', value);

  beforeAll(async () => {
    controller = await world().start(await world().database());
    namespace = await world().namespace();
    pods = await world().pods(namespace);
    for (const workflow of [shops, guarded, parent, middle]) {
      await world().kubectl(`apply -n ${namespace} -f -`, workflow);
    }
  });
  afterAll(() => controller.stop(0));

  test('a failed item of a forEach is retried alone by kubectl patch; what succeeded is kept', async () => {
    await create('fan', 'shops');
    await pods.until((all) => all.filter(isOf('fan')).length === 3);
    const items = pods.all().filter(isOf('fan'));
    expect(new Set(items.map(itemOf))).toEqual(new Set(['0', '1', '2']));
    for (const pod of items) await pods.ended(pod, itemOf(pod) === '1' ? 3 : 0);
    await phase('fan', 'Failed');
    expect(await row('fan')).toEqual(['fan', 'shops', 'Failed', 'Failed', '2/2']);
    expect((await world().run(namespace, 'fan'))?.status).toMatchObject({ failedSteps: ['shop'], execution: 1 });

    await patch('fan', { execution: { number: 2, onlyFailed: true } });
    await pods.until((all) => all.filter(isOf('fan')).length === 4);
    const again = pods.all().filter(isOf('fan')).at(-1) as Pod;
    expect(itemOf(again)).toBe('1');
    expect(await row('fan')).toEqual(['fan', 'shops', 'Running', 'Running', '0/2']);
    await pods.ended(again);
    await pods.ended(await pods.pod('fan', 'sum'));
    await phase('fan', 'Succeeded');
    expect(await row('fan')).toEqual(['fan', 'shops', 'Succeeded', 'Succeeded', '2/2']);
    expect((await world().run(namespace, 'fan'))?.status).toMatchObject({ execution: 2 });
    expect(pods.of('fan')).toHaveLength(5);
  });

  test('an execution that cannot be is refused, and says so; the run stays as it ended', async () => {
    await patch('fan', { execution: { number: 9 } });
    const refused = '.status.conditions[?(@.type=="ExecutionRefused")].status';
    await world().waitFor(namespace, 'fan', refused, 'True');
    expect(await row('fan')).toEqual(['fan', 'shops', 'Succeeded', 'ExecutionRefused', '2/2']);
    expect(pods.of('fan')).toHaveLength(5);
  });

  test("Pods of a child's child are owned by the object of the root, and end when that is deleted", async () => {
    await create('root', 'parent');
    await pods.until((all) => all.filter(ownedBy('root')).length === 3);
    const uid = (await world().run(namespace, 'root'))?.metadata.uid;
    const children = pods.all().filter(ownedBy('root'));
    expect(new Set(children.map((pod) => pod.metadata.ownerReferences?.[0]?.uid))).toEqual(new Set([uid]));
    // Children are rows, which no list of objects has.
    expect((await world().kubectl(`get wrun -n ${namespace} -o name`)).match(/root/g)).toHaveLength(1);
    for (const pod of children) await pods.running(pod);
    await world().kubectl(`delete wrun root -n ${namespace}`);
    const left = async () => {
      const names = (await world().kubectl(`get pods -n ${namespace} -o name`)).split('\n');
      return children.map(({ metadata }) => `pod/${metadata.name}`).filter((name) => names.includes(name));
    };
    await expect.poll(left, { timeout: 30_000 }).toEqual([]);
    expect(pods.all().filter(ownedBy('root'))).toHaveLength(3);
  });

  test('a lock is held through a retry: the second run begins when the first has ended', async () => {
    await create('first', 'guarded');
    const begun = await pods.pod('first', 'deploy');
    await create('second', 'guarded');
    await phase('second', 'Running');
    await pods.ended(begun, 1);
    const again = await pods.pod('first', 'deploy', 2);
    expect(pods.of('second')).toEqual([]);
    await pods.ended(again);
    await phase('first', 'Succeeded');
    await pods.ended(await pods.pod('second', 'deploy'));
    await phase('second', 'Succeeded');
    expect([pods.of('first'), pods.of('second')]).toEqual([['deploy/1', 'deploy/2'], ['deploy/1']]);
  });
});

function isOf(run: string): (pod: Pod) => boolean {
  return (pod) => pod.metadata.annotations?.['windlass.dev/run'] === run;
}

function ownedBy(run: string): (pod: Pod) => boolean {
  return (pod) => (pod.metadata.ownerReferences as { name?: string }[] | undefined)?.[0]?.name === run;
}

/** The item that a Pod is told to be. */
function itemOf(pod: Pod): string | undefined {
  const containers = pod.spec?.['containers'] as { env?: { name: string; value?: string }[] }[] | undefined;
  return containers?.[0]?.env?.find(({ name }) => name === 'WINDLASS_ITEM')?.value;
}
