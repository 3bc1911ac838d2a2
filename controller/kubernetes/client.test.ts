import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig, type User } from '@kubernetes/client-node';
import { afterEach, expect, test } from 'vitest';
import { KubernetesClient } from './client.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** A server that answers everything with `{}`, and a client with this login. */
async function connect(user: Omit<User, 'name'>) {
  const seen: { headers: IncomingHttpHeaders; port: number | undefined }[] = [];
  const server = createServer(({ headers, socket }, answer) => {
    seen.push({ headers, port: socket.remotePort });
    answer.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const config = new KubeConfig();
  const cluster = { name: 'c', server: `http://127.0.0.1:${port}`, skipTLSVerify: true };
  config.loadFromClusterAndUser(cluster, { name: 'own', ...user });
  const client = new KubernetesClient(config);
  closing.push(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });
  return { client, seen };
}

test.each<[string, Omit<User, 'name'>]>([
  ['a token', { token: 'own' }],
  ['a name and a password', { username: 'own', password: 'secret' }],
  ['somebody else', { token: 'own', impersonateUser: 'other' }],
  ['a program that is not there', { exec: { command: '/none', apiVersion: 'client.authentication.k8s.io/v1' } }],
])('whoever calls shares nothing of a login by %s', async (_, user) => {
  const { client, seen } = await connect(user);
  await client.as('theirs').request('GET', '/version');
  const [first] = seen;
  expect(first?.headers.authorization).toBe('Bearer theirs');
  expect(first?.headers).not.toHaveProperty('impersonate-user');
});

test('all callers share connections, which are not those of the own login', async () => {
  const { client, seen } = await connect({ token: 'own' });
  const callers = Array.from({ length: 20 }, (_, i) => client.as(`caller-${i}`));
  for (const who of [client, ...callers, client.as('one').as('other'), client]) await who.request('GET', '/version');
  const own = ({ headers }: (typeof seen)[number]) => headers.authorization === 'Bearer own';
  const others = new Set(seen.filter((one) => !own(one)).map(({ port }) => port));
  expect(others.size).toBeLessThan(4); // A connection that was just used may not be free yet.
  expect(seen.filter(own).filter(({ port }) => others.has(port))).toEqual([]);
});
