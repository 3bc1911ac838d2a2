import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { createClient } from '../../api/client.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';
import type { ControllerProcess } from '../fixtures/controller-process.ts';
import { type KubernetesProxy, startKubernetesProxy } from '../fixtures/kubernetes-proxy.ts';

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

/** A database, and a namespace with a workflow of these steps, each a Pod that needs the one before. */
async function ready(...names: string[]) {
  const steps = names.map((name, i) => ({ name, run: 'true', ...(i > 0 ? { needs: [names[i - 1]] } : {}) }));
  const namespace = await world().namespace();
  const workflow = { apiVersion: 'windlass.dev/v1alpha1', kind: 'Workflow', metadata: { name: 'w' }, spec: { steps } };
  await world().kubectl(`apply -n ${namespace} -f -`, workflow);
  return {
    namespace,
    database: await world().database(),
    pods: await world().pods(namespace),
    create: (name: string) =>
      world().kubectl(`create -n ${namespace} -f -`, {
        apiVersion: 'windlass.dev/v1alpha1',
        kind: 'WorkflowRun',
        metadata: { name },
        spec: { workflow: 'w' },
      }),
    finished: async (name: string) => {
      await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/${name}`);
      return (await world().run(namespace, name))?.status;
    },
  };
}

/** Ended with its test: it serves every namespace. */
async function spawn(...args: Parameters<ClusterWorld['spawn']>): Promise<ControllerProcess> {
  const controller = await world().spawn(...args);
  closing.push(() => killed(controller));
  return controller;
}

async function behindProxy(database: string): Promise<{ proxy: KubernetesProxy; controller: ControllerProcess }> {
  const proxy = await startKubernetesProxy(world().server.kubeConfig);
  closing.push(() => proxy.close());
  return { proxy, controller: await spawn(database, { kubeConfig: proxy.kubeConfig }) };
}

/** Resolves with the body of the next request to create a Pod, which gets no answer. */
function holdPodCreation(proxy: KubernetesProxy): Promise<string> {
  const held = Promise.withResolvers<string>();
  proxy.intercept(async (asked) => {
    if (!createsPod(asked)) return false;
    held.resolve(await bodyOf(asked));
    return true;
  });
  return held.promise;
}

function createsPod({ method, url }: IncomingMessage): boolean {
  return method === 'POST' && /\/pods\?/.test(url ?? '');
}

async function bodyOf(asked: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of asked) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** How the API server answered who asked it to create Pods, sorted. */
async function podCreations(namespace: string): Promise<number[]> {
  const lines = (await readFile(world().server.auditLog, 'utf8')).trim().split('\n');
  return lines
    .map((line) => JSON.parse(line) as AuditLine)
    .filter(({ verb, objectRef }) => verb === 'create' && objectRef?.resource === 'pods' && !objectRef.subresource)
    .filter(({ objectRef }) => objectRef?.namespace === namespace)
    .map(({ responseStatus }) => responseStatus?.code ?? 0)
    .toSorted((a, b) => a - b);
}

interface AuditLine {
  verb: string;
  objectRef?: { resource: string; namespace?: string; subresource?: string };
  responseStatus?: { code: number };
}

/** Every attempt that is recorded of a run, as `step/attempt phase`. */
async function recorded({ url }: ControllerProcess, namespace: string, name: string): Promise<string[]> {
  const token = world().server.kubeConfig.getCurrentUser()?.token ?? '';
  const { steps } = await createClient({ server: url, token }).run({ namespace, name });
  return steps.map(({ name: step, attempts, phase }) => `${step}/${attempts.length} ${phase}`);
}

async function killed(controller: ControllerProcess): Promise<void> {
  controller.kill('SIGKILL');
  await controller.exited;
}

describe.skipIf(!started)('a controller that is killed', () => {
  test('between the commit and the Pod: the next one begins the same attempt, once', async () => {
    const { namespace, database, pods, create, finished } = await ready('a', 'b');
    const first = await behindProxy(database);
    const held = holdPodCreation(first.proxy);
    await create('r');
    await held;
    await killed(first.controller);
    expect(pods.all()).toEqual([]);

    const second = await spawn(database);
    await pods.ended(await pods.pod('r', 'a'));
    await pods.ended(await pods.pod('r', 'b'));
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    expect(pods.of('r')).toEqual(['a/1', 'b/1']);
    expect(await recorded(second, namespace, 'r')).toEqual(['a/1 Succeeded', 'b/1 Succeeded']);
  });

  test('between the Pod and its answer: the next one adopts the Pod, and records its end', async () => {
    const { namespace, database, pods, create, finished } = await ready('a', 'b');
    const first = await behindProxy(database);
    const held = holdPodCreation(first.proxy);
    await create('r');
    const body = await held;
    await world().kubectl(`create -n ${namespace} -f -`, body);
    await killed(first.controller);

    const pod = await pods.pod('r', 'a');
    await pods.running(pod);
    const second = await spawn(database);
    await pods.ended(pod);
    await pods.ended(await pods.pod('r', 'b'));
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    expect(pods.of('r')).toEqual(['a/1', 'b/1']);
    expect(await recorded(second, namespace, 'r')).toEqual(['a/1 Succeeded', 'b/1 Succeeded']);
  });

  test('between the end of a Pod and its record: the next one records it, and goes on', async () => {
    const { namespace, database, pods, create, finished } = await ready('a', 'b');
    const first = await behindProxy(database);
    await create('r');
    const pod = await pods.pod('r', 'a');
    await pods.running(pod);
    first.proxy.cut(true);
    await pods.ended(pod, 0);
    await killed(first.controller);

    const second = await spawn(database);
    await pods.ended(await pods.pod('r', 'b'));
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    expect(pods.of('r')).toEqual(['a/1', 'b/1']);
    expect(await recorded(second, namespace, 'r')).toEqual(['a/1 Succeeded', 'b/1 Succeeded']);
  });
});

describe.skipIf(!started)('a replica that stalls for longer than its lease', () => {
  test('wakes up to find its runs taken over: it makes no second Pod, and no step is lost or doubled', async () => {
    const { namespace, database, pods, create, finished } = await ready('a', 'b', 'c');
    const stalled = await spawn(database);
    await create('r');
    await pods.running(await pods.pod('r', 'a'));
    const other = await spawn(database);
    stalled.kill('SIGSTOP');
    await pods.ended(await pods.pod('r', 'a'));
    const b = await pods.pod('r', 'b');
    // What it sees first when it wakes up is the end of a Pod whose run is another's.
    stalled.kill('SIGCONT');
    await stalled.logged('the lease is lost');
    await stalled.logged('a new lease was taken');
    await pods.ended(b);
    await pods.ended(await pods.pod('r', 'c'));
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded', progress: '3/3' });
    expect(pods.of('r')).toEqual(['a/1', 'b/1', 'c/1']);
    expect(await recorded(other, namespace, 'r')).toEqual(['a/1 Succeeded', 'b/1 Succeeded', 'c/1 Succeeded']);
    await world().event(namespace, 'r', 'RunSucceeded');
    expect(told(await world().events(namespace, 'r'))).toEqual(['RunStarted', 'RunSucceeded']);

    // It is a replica like any other again.
    await killed(other);
    await create('next');
    for (const step of ['a', 'b', 'c']) await pods.ended(await pods.pod('next', step));
    expect(await finished('next')).toMatchObject({ phase: 'Succeeded' });
  });

  test('in the middle of creating a Pod: what it asked for arrives late, and finds the Pod of the other', async () => {
    const { namespace, database, pods, create, finished } = await ready('a', 'b');
    const { proxy, controller: stalled } = await behindProxy(database);
    const late = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    proxy.intercept(async (request, answer) => {
      if (!createsPod(request)) return false;
      asked.resolve();
      await late.promise;
      answer.once('finish', () => arrived.resolve());
      return false;
    });
    await create('r');
    await asked.promise;
    stalled.kill('SIGSTOP');
    const other = await spawn(database);
    const a = await pods.pod('r', 'a');
    late.resolve();
    // Awake, it would give up what it asked for before that has arrived.
    await arrived.promise;
    stalled.kill('SIGCONT');
    await stalled.logged('a new lease was taken');
    await pods.ended(a);
    await pods.ended(await pods.pod('r', 'b'));
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    expect(pods.of('r')).toEqual(['a/1', 'b/1']);
    expect(await recorded(other, namespace, 'r')).toEqual(['a/1 Succeeded', 'b/1 Succeeded']);
    expect(await podCreations(namespace)).toEqual([201, 201, 409]);
    await world().event(namespace, 'r', 'RunSucceeded');
    expect(told(await world().events(namespace, 'r'))).toEqual(['RunStarted', 'RunSucceeded']);
  });
});

/** The reasons, in the order of their names. */
function told(events: string[]): string[] {
  return events.map((event) => event.split(':')[0] ?? '').toSorted();
}

describe.skipIf(!started)('a rolling update', () => {
  test('every replica is replaced while runs go on: no step is lost, none is doubled, and Events are told once', async () => {
    const { namespace, database, pods, create, finished } = await ready('a', 'b', 'c', 'd');
    const names = Array.from({ length: 12 }, (_, i) => `r${i}`);
    const podsOf = async (step: string) => {
      for (const name of names) await pods.pod(name, step);
      return Promise.all(names.map((name) => pods.pod(name, step)));
    };
    const old = [await spawn(database), await spawn(database)];
    for (const name of names) await create(name);
    for (const pod of await podsOf('a')) await pods.ended(pod);

    for (const [index, step] of (['b', 'c'] as const).entries()) {
      const all = await podsOf(step);
      const begins = spawn(database);
      const half = all.splice(0, 6);
      old[index]?.kill('SIGTERM');
      // While one goes and another comes.
      await Promise.all(half.map((pod) => pods.ended(pod)));
      expect(await old[index]?.exited).toBe(0);
      for (const pod of all) await pods.ended(pod);
      await begins;
    }
    for (const pod of await podsOf('d')) await pods.ended(pod);
    for (const name of names) {
      expect(await finished(name)).toMatchObject({ phase: 'Succeeded', progress: '4/4' });
      expect(pods.of(name)).toEqual(['a/1', 'b/1', 'c/1', 'd/1']);
    }
    for (const name of names) await world().event(namespace, name, 'RunSucceeded');
    for (const name of names) {
      expect(told(await world().events(namespace, name))).toEqual(['RunStarted', 'RunSucceeded']);
    }
  });
});
