import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { pino } from 'pino';
import { afterEach, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import type { Listed } from './list.ts';
import { listWatch } from './list-watch.ts';
import { createPermissions } from './permissions.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const path = '/api/v1/namespaces/a/pods';

/** Follows the Pods of namespace `a`, one of those that are served, at an API server that answers as `world` is. */
async function follow(world: { namespace: 'there' | 'going' | 'gone'; mayRead: boolean; pods: string[] }) {
  const watches = new Set<ServerResponse>();
  const server = createServer(({ url = '' }, answer) => {
    const { pathname, searchParams } = new URL(url, 'http://x');
    const going = world.namespace === 'going' ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {};
    const namespaces = world.namespace === 'gone' ? [] : [{ metadata: { name: 'a', ...going } }];
    const pods = world.pods.map((name) => ({ metadata: { name, uid: name, resourceVersion: '1' } }));
    const list = (items: object[]) => answer.end(JSON.stringify({ metadata: { resourceVersion: '7' }, items }));
    if (pathname === '/api/v1/namespaces') return list(namespaces);
    if (!world.mayRead) {
      const message = 'pods is forbidden: User "windlass" cannot list resource "pods" in the namespace "a"';
      return answer.writeHead(403).end(JSON.stringify({ kind: 'Status', reason: 'Forbidden', message }));
    }
    if (!searchParams.has('watch')) return list(pods);
    watches.add(answer);
    return answer.flushHeaders();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromClusterAndUser(
    { name: 'c', server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
    { name: 'u' },
  );
  const clock = createVirtualClock();
  const log = pino({ level: 'silent' });
  const { client, problems, stop } = createPermissions({ kubeConfig, namespaces: ['a'], clock, log });
  const stopping = new AbortController();
  const told: string[] = [];
  const troubles: string[] = [];
  let watching = 0;
  void listWatch<Listed>({
    client,
    path,
    clock,
    onList: (objects) => void told.push(objects.map(({ metadata }) => metadata.name).join() || 'nothing'),
    onChange: () => {},
    onWatching: () => void (watching += 1),
    onError: (error) => void troubles.push(String(error)),
    signal: stopping.signal,
  });
  const turning = setInterval(() => clock.next(), 1);
  closing.push(() => {
    clearInterval(turning);
    stopping.abort();
    stop();
    server.closeAllConnections();
    server.close();
  });
  return {
    client,
    problems,
    told,
    troubles,
    /** Watches are ended in good order, and it is tried to go on at least three times. */
    async again() {
      for (const watch of watches) watch.end();
      watches.clear();
      const before = watching;
      await expect.poll(() => watching).toBeGreaterThan(before + 3);
    },
  };
}

test('what is left in a namespace on its way out stays known: it is told as gone when the namespace is', async () => {
  const world = { namespace: 'there' as 'there' | 'going' | 'gone', mayRead: true, pods: ['p'] };
  const { told, troubles, problems, again } = await follow(world);
  await expect.poll(() => told).toEqual(['p']);
  Object.assign(world, { namespace: 'going', mayRead: false });
  await again();
  expect([told, troubles, problems()]).toEqual([['p'], [], []]);
  Object.assign(world, { namespace: 'gone' });
  await expect.poll(() => told).toEqual(['p', 'nothing']);
});

test.each([
  ['when the rights in it are back', { mayRead: true }, 'p'],
  ['when it is gone', { namespace: 'gone' as const }, 'nothing'],
])('a start while a namespace goes begins with nothing there, and lists anew %s', async (_, change, then) => {
  const world = { namespace: 'going' as 'going' | 'gone', mayRead: false, pods: ['p'] };
  const { told, troubles, again } = await follow(world);
  await again();
  expect([told, troubles]).toEqual([['nothing'], []]);
  Object.assign(world, change);
  await expect.poll(() => told).toEqual(['nothing', then]);
  expect(troubles).toEqual([]);
});

test('whoever asks for one Pod there is not told that there is none, nor whoever watches that nothing happens', async () => {
  const { client } = await follow({ namespace: 'going', mayRead: false, pods: ['p'] });
  const found = client.request('GET', path, { query: { fieldSelector: 'metadata.name=p' } });
  await expect(found).rejects.toThrow('namespace a is being deleted');
  const watched = client.stream(path, { watch: true }, new AbortController().signal);
  await expect(watched).rejects.toThrow('namespace a is being deleted');
});

test('a namespace that is there without the rights in it is trouble', async () => {
  const { told, troubles } = await follow({ namespace: 'there', mayRead: false, pods: ['p'] });
  await expect.poll(() => troubles.join()).toContain('cannot list resource');
  expect(told).toEqual([]);
});
