import { createHash, timingSafeEqual } from 'node:crypto';
import type { ObjectStore } from '../controller/seams/objects.ts';
import type { Access, Caller } from './access.ts';

export interface TokenAccessOptions {
  token: string;
  caller: { user: string; groups: string[] };
  objects: ObjectStore;
  allowedHosts: string[];
}

/** One token, one person who may do everything. Digests are compared, so that neither length nor content shows in the time. */
export function createTokenAccess({ token, caller, objects, allowedHosts }: TokenAccessOptions): Access {
  const expected = sha256(token);
  const holder: Caller = { ...caller, objects, may: () => Promise.resolve(true) };
  return {
    allowedHosts,
    hint: 'On a laptop the token is in .windlass/token.',
    authenticate: (given) => Promise.resolve(timingSafeEqual(sha256(given), expected) ? holder : null),
  };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
