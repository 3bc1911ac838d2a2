import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { labels } from '../../controller/executors/pod/names.ts';
import type { Pod } from '../../controller/executors/pod/pod.ts';
import { KubernetesClient } from '../../controller/kubernetes/client.ts';
import type { Executor, StartAction } from '../../controller/seams/executor.ts';
import { RecordingSink, startAction, stopAction } from '../conformance/executor.ts';
import { createVirtualClock } from '../fixtures/clock.ts';
import { kubectl } from '../fixtures/kubectl.ts';
import { startApiServer } from '../fixtures/kubernetes.ts';
import { startKubernetesProxy } from '../fixtures/kubernetes-proxy.ts';
import { PodWorld } from '../fixtures/pod-world.ts';

const server = await startApiServer();
const hour = 3_600_000;

describe.skipIf(!server)(
  'step Pods that cannot begin, change hands or are missed (no node)',
  { timeout: 60_000 },
  () => {
    const disposals: (() => Promise<void>)[] = [];
    afterEach(async () => {
      for (const dispose of disposals.splice(0).toReversed()) await dispose();
    });
    afterAll(() => server?.stop());

    async function ready() {
      if (!server) throw new Error('there is no API server');
      const sink = new RecordingSink();
      const world = await PodWorld.create(server, sink);
      const proxy = await startKubernetesProxy(server.kubeConfig);
      disposals.push(
        () => proxy.close(),
        () => world.dispose(),
      );
      const client = new KubernetesClient(proxy.kubeConfig);
      const given = () => world.owned({ ...startAction(world.script('true')), startedAt: Date.now() });
      const asked = (what: string) => proxy.asked.filter((one) => one.startsWith(what));
      const patch = (pod: Pod, status: object) =>
        world.client.request('PATCH', `${world.path('pods', pod.metadata.name)}/status`, {
          body: { status },
          contentType: 'application/merge-patch+json',
        });
      return { sink, world, proxy, executor: world.executor({ client }), client, given, asked, patch };
    }

    /** As the loop of its run does it, long after it was recorded. */
    async function later(executor: Executor, action: StartAction): Promise<string> {
      const begun = executor.start({ ...action, startedAt: Date.now() - hour });
      return begun.then(
        () => 'begun',
        (error: Error) => error.name,
      );
    }

    const fullQuota = { reason: 'Forbidden', message: 'pods "x" is forbidden: exceeded quota: few, requested: pods=1' };
    const status = (code: number, more: object = {}) => JSON.stringify({ kind: 'Status', code, ...more });

    describe('held', () => {
      test('a quota that has no room for the files of its version: held for as long, then begun, once', async () => {
        const { sink, world, executor, given, asked } = await ready();
        world.files.set('query.sql', Buffer.from('select 1'));
        const hard = { 'count/configmaps': '0' };
        await world.create(world.path('resourcequotas'), { metadata: { name: 'few' }, spec: { hard } });
        // There is no controller that would count.
        const counted = JSON.stringify({ status: { hard, used: hard } });
        const target = ['quota', 'few', '-n', world.namespace, '--subresource=status', '--type=merge', '-p', counted];
        if (server) await kubectl(server, ['patch', ...target]);
        let made = 0;
        const another = () =>
          world.create(world.path('configmaps'), { metadata: { name: `another-${++made}` } }).then(
            () => 'made',
            (error: Error) => error.message,
          );
        await expect.poll(another, { timeout: 20_000 }).toContain('exceeded quota');
        const action = await given();
        const held = {
          name: 'AttemptHeld',
          message: expect.stringMatching(/exceeded quota: few.*ConfigMaps have been/),
        };
        await expect(executor.start(action)).rejects.toMatchObject(held);
        expect(await later(executor, action)).toBe('AttemptHeld');
        expect(sink.ends).toEqual([]);
        await world.client.request('DELETE', world.path('resourcequotas', 'few'));
        await expect.poll(() => later(executor, action), { timeout: 20_000 }).toBe('begun');
        await world.pod(() => true);
        expect(sink.ends).toEqual([]);
        expect(asked(`POST ${world.path('pods')}`)).toHaveLength(1);
      });

      test('whatever fails before its Pod is asked for does not count as its beginning', async () => {
        const { sink, world, proxy, executor, given } = await ready();
        world.files.set('query.sql', Buffer.from('select 1'));
        proxy.intercept((asked, answer) => {
          if (!asked.url?.includes('/configmaps')) return false;
          answer.destroy();
          return true;
        });
        const action = await given();
        await expect(executor.start(action)).rejects.toThrow('did not answer');
        proxy.intercept(null);
        expect(await later(executor, action)).toBe('begun');
        await world.pod(() => true);
        expect(sink.ends).toEqual([]);
      });

      test('a Pod that was asked for without an answer is asked for by the same name for a minute, then never again', async () => {
        const { sink, world, proxy, client, given, asked } = await ready();
        const clock = createVirtualClock(Date.now());
        const executor = world.executor({ client, clock });
        let requests = 0;
        proxy.intercept((request, answer) => {
          if (request.method !== 'POST') return false;
          requests += 1;
          if (requests === 1) answer.destroy();
          else answer.writeHead(403, { 'content-type': 'application/json' }).end(status(403, fullQuota));
          return true;
        });
        const action = await given();
        await expect(executor.start(action)).rejects.toThrow('cannot create the Pod');
        clock.advance(59_000);
        expect(await later(executor, action)).toBe('AttemptHeld');
        proxy.intercept(null);
        clock.advance(1000);
        expect(await later(executor, action)).toBe('begun');
        expect(await sink.end(action.key)).toMatchObject({ error: { type: 'infrastructure/lost' } });
        expect(asked(`POST ${world.path('pods')}`)).toHaveLength(2);
      });

      test('one that another replica has begun meanwhile is not begun again, though its Pod is gone', async () => {
        const { world, proxy, client, given } = await ready();
        const sink = new RecordingSink();
        const executor = world.executor({ client, sink });
        proxy.intercept((request, answer) => {
          if (request.method !== 'POST') return false;
          answer.writeHead(403, { 'content-type': 'application/json' }).end(status(403, fullQuota));
          return true;
        });
        const action = await given();
        await expect(executor.start(action)).rejects.toMatchObject({ name: 'AttemptHeld' });
        await world.executor().start(action);
        const pod = await world.pod(() => true);
        await world.client.request('DELETE', world.path('pods', pod.metadata.name));
        await expect.poll(() => later(executor, action), { timeout: 20_000 }).toBe('begun');
        // By whether its end was heard of before or while it was to begin.
        const types = /^(infrastructure\/lost|podDeleted)$/;
        expect(await sink.end(action.key)).toMatchObject({ error: { type: expect.stringMatching(types) as unknown } });
        expect(world.pods.size).toBe(0);
      });
    });

    test("the Pod of a child run's step, which the first run's object owns, is found after a restart, to follow or stop", async () => {
      const { sink, world, executor, given, patch } = await ready();
      const owned = await given();
      const action = { ...owned, key: { ...owned.key, runId: '00000000-0000-4000-8000-000000000001' } };
      await executor.start(action);
      const pod = await world.pod(() => true);
      await executor.close();
      const next = world.executor();
      expect(await later(next, action)).toBe('begun');
      expect(sink.ends).toEqual([]);
      await next.close();
      await patch(pod, { phase: 'Pending' });
      await world.executor().stop(stopAction(action, 1000));
      await world.until(() => world.pods.size === 0);
      expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    });

    test('who has lost the lease deletes nothing and says nothing; the next owner counts anew and says why', async () => {
      const { world, client, given, asked, patch } = await ready();
      const first = { sink: new RecordingSink(), clock: createVirtualClock(Date.now()), lease: new AbortController() };
      const second = { sink: new RecordingSink(), clock: createVirtualClock(Date.now()) };
      const { signal } = first.lease;
      const a = world.executor({ client, sink: first.sink, clock: first.clock, lost: () => signal });
      const action = await given();
      await a.start(action);
      const pod = await world.pod(() => true);
      const waiting = { reason: 'ErrImagePull', message: 'registry.invalid: no such host' };
      const container = { name: 'step', image: 'x', imageID: '', ready: false, restartCount: 0, state: { waiting } };
      await patch(pod, { phase: 'Pending', containerStatuses: [container] });
      await first.sink.until(() => first.sink.waits.length > 0);
      first.lease.abort();
      const b = world.executor({ sink: second.sink, clock: second.clock });
      expect(await later(b, action)).toBe('begun');
      await second.sink.until(() => second.sink.waits.length > 0);
      first.clock.advance(10 * 60_000);
      second.clock.advance(60_000);
      // Time enough for a request of the first: that of the second is answered.
      await expect(a.start(action)).rejects.toThrow('the lease is lost');
      await world.client.request('GET', world.path('pods', pod.metadata.name));
      expect(second.sink.ends).toEqual([]);
      second.clock.advance(60_001);
      expect(await second.sink.end(action.key)).toMatchObject({ error: { type: 'imagePull' } });
      expect(asked('DELETE')).toEqual([]);
      expect(first.sink.ends).toEqual([]);
    });

    test('a Pod that a list does not hold is asked for until that is answered', async () => {
      const { sink, world, proxy, executor, given } = await ready();
      const action = await given();
      await executor.start(action);
      const { metadata } = await world.pod(() => true);
      proxy.cut(true);
      await world.client.request('DELETE', world.path('pods', metadata.name), { body: { gracePeriodSeconds: 0 } });
      await world.until(() => world.pods.size === 0);
      let lost = 0;
      proxy.intercept((request, answer) => {
        if (lost > 0 || !request.url?.includes('fieldSelector=metadata.name')) return false;
        lost += 1;
        answer.writeHead(503, { 'content-type': 'application/json' }).end(status(503));
        return true;
      });
      proxy.cut(false);
      expect(await sink.end(action.key)).toMatchObject({ error: { type: 'podDeleted' } });
      expect(lost).toBe(1);
    });

    test('what is left over goes while the controller runs: files at once, a Pod when two sweeps have seen it', async () => {
      const { world, client, executor, given, asked, patch, sink } = await ready();
      const action = await given();
      await executor.start(action);
      const pod = await world.pod(() => true);
      const terminated = { exitCode: 0, finishedAt: '2026-01-05T12:00:00Z' };
      const container = { name: 'step', image: 'x', imageID: '', ready: false, restartCount: 0, state: { terminated } };
      await patch(pod, { phase: 'Succeeded', containerStatuses: [container] });
      await sink.end(action.key);
      const running = await given();
      await executor.start(running);
      const clock = createVirtualClock(Date.now());
      const sweeper = world.executor({ client, clock });
      await sweeper.sweep(async () => [action.key, running.key]);
      const annotations = { 'windlass.dev/used-at': new Date(clock.now() - 2 * hour).toISOString() };
      const metadata = { name: 'windlass-files-old', labels: { [labels.files]: 'old' }, annotations };
      await world.create(world.path('configmaps'), { metadata });
      const sweep = async () => {
        await sweeper.sweep(async () => []);
        clock.advance(60_000);
      };
      await sweep();
      expect(asked('DELETE').map((one) => one.split('/').at(-1))).toEqual(['windlass-files-old']);
      await sweep();
      await world.until(() => world.pods.size === 1);
      expect(asked('DELETE')).toEqual([expect.any(String), `DELETE ${world.path('pods', pod.metadata.name)}`]);
    });
  },
);
