import { expect, test } from 'vitest';
import { hostsOf, reachableHost } from './hosts.ts';

const loopback = ['127.0.0.1', 'localhost', '[::1]'];
const machine = {
  name: 'crane',
  addresses: ['127.0.0.1', '192.0.2.7', '::1', '2001:db8::7', 'fe80::1', 'fe80::1%eth0'],
};
const all = [...loopback, 'crane', '192.0.2.7', '[2001:db8::7]'];

test.each([
  ['127.0.0.1', loopback, '127.0.0.1'],
  ['localhost', loopback, 'localhost'],
  ['::1', loopback, '[::1]'],
  ['192.0.2.7', [...loopback, '192.0.2.7'], '192.0.2.7'],
  ['Crane.example', [...loopback, 'crane.example'], 'crane.example'],
  ['2001:DB8::0:7', [...loopback, '[2001:db8::7]'], '[2001:db8::7]'],
  ['0.0.0.0', all, '127.0.0.1'],
  ['0', all, '127.0.0.1'],
  ['::', all, '[::1]'],
  ['0:0:0:0:0:0:0:0', all, '[::1]'],
])('a server that listens on %s is called by %j, and at its own machine by %s', (host, names, own) => {
  expect(hostsOf(host, machine)).toEqual(names);
  expect(reachableHost(host)).toBe(own);
});
