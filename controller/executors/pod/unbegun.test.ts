import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { expect, test } from 'vitest';
import { KubernetesClient } from '../../kubernetes/client.ts';
import { createVirtualClock } from '../../../test/fixtures/clock.ts';
import { labels } from './names.ts';
import type { Pod } from './pod.ts';
import { isUnsent, Unbegun } from './unbegun.ts';

function podOf(hash: string, owner: string): Pod {
  const ownerReferences = [{ kind: 'WorkflowRun', uid: owner }];
  const names = { name: 'p', namespace: 'dev', uid: 'u', resourceVersion: '1', creationTimestamp: '' };
  return { metadata: { ...names, labels: { [labels.attempt]: hash }, ownerReferences } };
}

test('what was refused may begin at any age', () => {
  const unbegun = new Unbegun(createVirtualClock());
  expect(unbegun.has('a')).toBe(false);
  unbegun.add('a', 'run');
  expect(unbegun.has('a')).toBe(true);
});

test('what may have begun is asked for again by its name for a minute, then never, whatever is refused after that', () => {
  const clock = createVirtualClock();
  const unbegun = new Unbegun(clock);
  unbegun.add('a', 'run');
  unbegun.doubt('a', 'run');
  clock.advance(59_000);
  unbegun.doubt('a', 'run');
  unbegun.add('a', 'run');
  expect(unbegun.has('a')).toBe(true);
  clock.advance(1000);
  unbegun.add('a', 'run');
  expect(unbegun.has('a')).toBe(false);
});

test('a Pod that was in doubt and is seen has begun it', () => {
  const unbegun = new Unbegun(createVirtualClock());
  unbegun.doubt('a', 'run');
  unbegun.seen(podOf('a', 'run'));
  expect(unbegun.has('a')).toBe(false);
});

test('what is in doubt when the lease is lost is not begun under another', () => {
  const unbegun = new Unbegun(createVirtualClock());
  unbegun.add('a', 'run');
  unbegun.doubt('b', 'run');
  unbegun.clear();
  for (const hash of ['a', 'b']) unbegun.add(hash, 'run');
  expect(unbegun.has('a')).toBe(true);
  expect(unbegun.has('b')).toBe(false);
});

test('a Pod of it that was seen has begun it; one that another owns has not', () => {
  const unbegun = new Unbegun(createVirtualClock());
  unbegun.add('a', 'run');
  unbegun.seen(podOf('a', 'another'));
  expect(unbegun.has('a')).toBe(true);
  unbegun.seen(podOf('a', 'run'));
  expect(unbegun.has('a')).toBe(false);
});

test('a request that found no API server was not sent; one that was not answered may have been', async () => {
  const server = createServer((socket) => socket.once('data', () => socket.destroy()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: 'x', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }, { name: 'x' });
  const client = new KubernetesClient(config);
  const failure = () =>
    client.request('POST', '/api/v1/pods', { body: {} }).then(
      () => null,
      (error: unknown) => error,
    );
  expect(isUnsent(await failure())).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  expect(isUnsent(await failure())).toBe(true);
  client.close();
});
