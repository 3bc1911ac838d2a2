import { describe, expect, test } from 'vitest';
import { refusedAddress } from './addresses.ts';

const strict = { allowLoopback: false, allowPrivate: false };
const open = { allowLoopback: true, allowPrivate: true };

describe('addresses a step may reach', () => {
  test.each(['8.8.8.8', '1.1.1.1', '2606:4700::1111', '::ffff:8.8.8.8', '64:ff9b::808:808'])(
    '%s is public',
    (address) => {
      expect(refusedAddress(address, strict)).toBeNull();
    },
  );

  test.each([
    '169.254.169.254',
    '169.254.1.1',
    '0.0.0.0',
    '::',
    'fe80::1',
    'fe80::1%eth0',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '0:0:0:0:0:ffff:a9fe:a9fe',
    '::169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '2002:a9fe:a9fe::1',
    'fd00:ec2::254',
    '100.100.100.200',
    '168.63.129.16',
    '224.0.0.1',
    'ff02::1',
    '255.255.255.255',
    'not an address',
  ])('%s is refused whatever is allowed', (address) => {
    expect(refusedAddress(address, open)).not.toBeNull();
  });

  test.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1'])('%s is loopback', (address) => {
    expect(refusedAddress(address, { allowLoopback: false, allowPrivate: true })).toBe('loopback');
    expect(refusedAddress(address, { allowLoopback: true, allowPrivate: false })).toBeNull();
  });

  test.each(['10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', 'fd12::1', '::ffff:10.0.0.1'])(
    '%s is private',
    (address) => {
      expect(refusedAddress(address, { allowLoopback: true, allowPrivate: false })).toBe('a private range');
      expect(refusedAddress(address, { allowLoopback: false, allowPrivate: true })).toBeNull();
    },
  );

  test.each(['172.32.0.1', '11.0.0.1', '100.128.0.1', '192.169.0.1'])('%s only looks private', (address) => {
    expect(refusedAddress(address, strict)).toBeNull();
  });
});
