import { BlockList, isIPv4, isIPv6 } from 'node:net';

export interface AddressPolicy {
  /** The machine itself: on a laptop only. */
  allowLoopback: boolean;
  /** Addresses that are not on the public internet. */
  allowPrivate: boolean;
}

const loopback = list(['127.0.0.0/8'], ['::1/128']);
/** Never reached, whatever the operator allows: link-local (cloud metadata), unspecified, multicast, reserved, metadata. */
const never = list(
  [
    '0.0.0.0/8',
    '169.254.0.0/16',
    '192.0.0.0/24',
    '192.0.2.0/24',
    '192.88.99.0/24',
    '198.51.100.0/24',
    '203.0.113.0/24',
    '224.0.0.0/4',
    '240.0.0.0/4',
    // Metadata services of Alibaba Cloud and Azure, outside of link-local.
    '100.100.100.200/32',
    '168.63.129.16/32',
  ],
  ['::/128', 'fe80::/10', 'ff00::/8', '2001:db8::/32', '100::/64', 'fd00:ec2::/32', 'fd20:ce::/32'],
);
const privateRanges = list(
  ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', '198.18.0.0/15'],
  ['fc00::/7', 'fec0::/10'],
);

/** Why an address must not be connected to, in words for a person; null when it may. */
export function refusedAddress(address: string, policy: AddressPolicy): string | null {
  const plain = address.replace(/%.*$/, '');
  const inner = isIPv6(plain) ? embeddedIPv4(plain) : null;
  if (inner !== null) return refusedAddress(inner, policy);
  const family = isIPv4(plain) ? 'ipv4' : 'ipv6';
  if (family === 'ipv6' && !isIPv6(plain)) return 'not an address';
  if (loopback.check(plain, family)) return policy.allowLoopback ? null : 'loopback';
  if (never.check(plain, family)) return 'link-local, metadata or reserved';
  if (privateRanges.check(plain, family)) return policy.allowPrivate ? null : 'a private range';
  return null;
}

/** IPv4 addresses written as IPv6 (mapped, compatible, NAT64, 6to4) reach the IPv4 address: that one is judged. */
function embeddedIPv4(address: string): string | null {
  const words = expand(address);
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0, w4 = 0, w5 = 0, w6 = 0, w7 = 0] = words;
  const zeros = w0 === 0 && w1 === 0 && w2 === 0 && w3 === 0 && w4 === 0;
  if (zeros && (w5 === 0xffff || (w5 === 0 && w6 !== 0))) return dotted(w6, w7);
  if (w0 === 0 && w1 === 0 && w2 === 0 && w3 === 0 && w4 === 0xffff && w5 === 0) return dotted(w6, w7);
  if (w0 === 0x64 && w1 === 0xff9b) return dotted(w6, w7);
  if (w0 === 0x2002) return dotted(w1, w2);
  return null;
}

function dotted(high: number, low: number): string {
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/** The eight words of an IPv6 address. */
function expand(address: string): number[] {
  const hex = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
    [Number(a) * 256 + Number(b), Number(c) * 256 + Number(d)].map((word) => word.toString(16)).join(':'),
  );
  const [left = '', right] = hex.split('::');
  const head = words(left);
  const tail = right === undefined ? [] : words(right);
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => 0);
  return [...head, ...zeros, ...tail];
}

function words(part: string): number[] {
  return part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
}

function list(ipv4: string[], ipv6: string[]): BlockList {
  const ranges = new BlockList();
  for (const [family, subnets] of [['ipv4', ipv4] as const, ['ipv6', ipv6] as const]) {
    for (const subnet of subnets) {
      const [network = '', bits] = subnet.split('/');
      ranges.addSubnet(network, Number(bits), family);
    }
  }
  return ranges;
}
