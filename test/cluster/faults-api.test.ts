import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';
import { startKubernetesProxy } from '../fixtures/kubernetes-proxy.ts';

/* Faults of the API server, by the whole stack; what the object store makes of each is in faults.test.ts. */
const started = await startClusterWorld();
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => started?.stop());

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

const apiVersion = 'windlass.dev/v1alpha1';
const two = [
  { name: 'a', run: 'true' },
  { name: 'b', run: 'true', needs: ['a'] },
];

/** A controller behind a proxy, and a namespace with workflow `w`. */
async function ready(steps: object[] = two) {
  const proxy = await startKubernetesProxy(world().server.kubeConfig);
  closing.push(() => proxy.close());
  const options = { kubeConfig: proxy.kubeConfig, stepImage: 'example.org/tools:1' };
  const controller = await world().start(await world().database(), options);
  closing.push(() => controller.stop(0));
  const namespace = await world().namespace();
  const create = (kind: string, name: string, spec: object) =>
    world().kubectl(`create -n ${namespace} -f -`, { apiVersion, kind, metadata: { name }, spec });
  await create('Workflow', 'w', { steps });
  return {
    proxy,
    namespace,
    pods: await world().pods(namespace),
    run: () => create('WorkflowRun', 'r', { workflow: 'w' }),
    async finished() {
      await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/r`);
      return (await world().run(namespace, 'r'))?.status;
    },
    async reasons() {
      const events = await world().events(namespace, 'r');
      return events.map((event) => event.split(':')[0] ?? '').toSorted();
    },
  };
}

describe.skipIf(!started)('a run goes on, each Pod made once', () => {
  test('when the API server is restarted while a step ends', async () => {
    const { namespace, pods, run, finished, reasons } = await ready();
    await run();
    const a = await pods.pod('r', 'a');
    await pods.running(a);
    await pods.ended(a);
    await world().server.restart();
    await pods.ended(await pods.pod('r', 'b'));
    expect(await finished()).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    expect(pods.of('r')).toEqual(['a/1', 'b/1']);
    await world().event(namespace, 'r', 'RunSucceeded');
    expect(await reasons()).toEqual(['RunStarted', 'RunSucceeded']);
  });

  test('when the network is cut and a Pod ends meanwhile', async () => {
    const { proxy, pods, run, finished } = await ready();
    await run();
    const a = await pods.pod('r', 'a');
    await pods.running(a);
    proxy.cut(true);
    await pods.ended(a);
    proxy.cut(false);
    await pods.ended(await pods.pod('r', 'b'));
    expect(await finished()).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    expect(pods.of('r')).toEqual(['a/1', 'b/1']);
  });

  test('when watches are ended again and again', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const chain = names.map((name, i) => ({ name, run: 'true', ...(i > 0 ? { needs: [names[i - 1]] } : {}) }));
    const { proxy, pods, run, finished } = await ready(chain);
    await run();
    for (const name of names) {
      const pod = await pods.pod('r', name);
      proxy.endWatches();
      await pods.ended(pod);
      proxy.cut();
    }
    expect(await finished()).toMatchObject({ phase: 'Succeeded', progress: '4/4' });
    expect(pods.of('r')).toEqual(['a/1', 'b/1', 'c/1', 'd/1']);
  });

  test('when the API server is overloaded: each request is refused once', async () => {
    const { proxy, namespace, pods, run, finished, reasons } = await ready();
    const refused = new Set<string>();
    proxy.intercept(({ method, url }, answer) => {
      const key = `${method} ${url?.replace(/\?.*/, '')}`;
      if (refused.has(key)) return false;
      refused.add(key);
      answer.writeHead(429, { 'retry-after': '1', 'content-type': 'application/json' });
      answer.end('{"kind":"Status","code":429,"reason":"TooManyRequests","message":"slow down"}');
      return true;
    });
    await run();
    await pods.ended(await pods.pod('r', 'a'));
    await pods.ended(await pods.pod('r', 'b'));
    expect(await finished()).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    expect(pods.of('r')).toEqual(['a/1', 'b/1']);
    expect(refused).toContain(`POST /api/v1/namespaces/${namespace}/pods`);
    await world().event(namespace, 'r', 'RunSucceeded');
    expect(await reasons()).toEqual(['RunStarted', 'RunSucceeded']);
  });

  test('when it is overloaded for longer than a step may wait: it says so, and tries again', async () => {
    const { proxy, namespace, pods, run, finished } = await ready([two[0] as object]);
    let overloaded = true;
    proxy.intercept(({ method, url }, answer) => {
      if (!overloaded || method !== 'POST' || !/\/pods\?/.test(url ?? '')) return false;
      answer.writeHead(429, { 'retry-after': '60', 'content-type': 'application/json' });
      answer.end('{"kind":"Status","code":429,"reason":"TooManyRequests","message":"slow down"}');
      return true;
    });
    await run();
    await world().waitFor(namespace, 'r', '.status.conditions[?(@.type=="Reconciling")].reason', 'StepHeld');
    const said = 'step a cannot begin: slow down. It is tried again by itself';
    expect(await world().event(namespace, 'r', 'StepHeld')).toBe(said);
    overloaded = false;
    await pods.ended(await pods.pod('r', 'a'));
    expect(await finished()).toMatchObject({ phase: 'Succeeded' });
    expect(pods.of('r')).toEqual(['a/1']);
  });
});

describe.skipIf(!started)('a Pod that is deleted by hand', () => {
  test('is a failure like any other: tried again as the step says', async () => {
    const { namespace, pods, run, finished } = await ready([
      { name: 'a', run: 'true', retry: { limit: 1, backoff: { initial: '1ms' } } },
      { name: 'b', run: 'true', needs: ['a'] },
    ]);
    await run();
    const first = await pods.pod('r', 'a');
    await pods.running(first);
    await world().kubectl(`delete pod ${first.metadata.name} -n ${namespace} --wait=false`);
    await pods.ended(await pods.pod('r', 'a', 2));
    await pods.ended(await pods.pod('r', 'b'));
    expect(await finished()).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    expect(pods.of('r')).toEqual(['a/1', 'a/2', 'b/1']);
  });

  test('fails the run of a step that is tried once, and the Event says why', async () => {
    const { namespace, pods, run, finished } = await ready();
    await run();
    const first = await pods.pod('r', 'a');
    await pods.running(first);
    await world().kubectl(`delete pod ${first.metadata.name} -n ${namespace} --wait=false`);
    const status = await finished();
    expect(status).toMatchObject({ phase: 'Failed', failedSteps: ['a'] });
    const message = 'step a: its Pod was deleted by something other than this run';
    expect(status?.conditions?.find(({ type }) => type === 'Stalled')?.message).toBe(message);
    expect(await world().event(namespace, 'r', 'RunFailed')).toBe(`run r failed: ${message}`);
    expect(pods.of('r')).toEqual(['a/1']);
  });
});
