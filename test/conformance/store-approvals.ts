import { describe, expect, test } from 'vitest';
import type { Store } from '../../controller/store/types.ts';

let names = 0;

function fresh(): string {
  return `approvals-${++names}`;
}

/** What the store promises about looks at approvals, on either driver. */
export function describeApprovalLooks(driver: string, opened: () => Store): void {
  describe(`looks at approvals: ${driver}`, () => {
    test('a policy is first seen once, whoever sees it again', async () => {
      const identity = fresh();
      const seen = await Promise.all([1000, 2000, 3000].map((at) => opened().approvals.policySeen(identity, at)));
      expect(new Set(seen).size).toBe(1);
      expect(await opened().approvals.policySeen(identity, 9000)).toBe(seen[0]);
      expect(await opened().approvals.policySeen(fresh(), 9000)).toBe(9000);
    });

    test('a look is kept as it is, by its object', async () => {
      const [one, other] = [fresh(), fresh()];
      const look = { policy: null, entries: { aa: true, bb: false } };
      expect(await opened().approvals.get(one)).toBeNull();
      expect(await opened().approvals.put(one, look, 0)).toBe(true);
      expect(await opened().approvals.get(one)).toEqual({ look, revision: 1 });
      expect(await opened().approvals.get(other)).toBeNull();
      const next = { policy: 'p', entries: {} };
      expect(await opened().approvals.put(one, next, 1)).toBe(true);
      expect(await opened().approvals.get(one)).toEqual({ look: next, revision: 2 });
    });

    test('of looks that were made at once, one is kept', async () => {
      const uid = fresh();
      const at = (after: number) =>
        Promise.all(['p', 'q', 'r'].map((policy) => opened().approvals.put(uid, { policy, entries: {} }, after))).then(
          (kept) => kept.filter((was) => was),
        );
      expect(await at(0)).toEqual([true]);
      expect(await at(1)).toEqual([true]);
      expect(await at(0)).toEqual([]);
      expect(await opened().approvals.get(uid)).toMatchObject({ revision: 2 });
    });

    test('what is forgotten is gone, and nothing else is', async () => {
      const [one, two, kept] = [fresh(), fresh(), fresh()];
      for (const uid of [one, two, kept]) await opened().approvals.put(uid, { policy: 'p', entries: {} }, 0);
      await opened().approvals.forget([one, two]);
      await opened().approvals.forget([]);
      expect(await opened().approvals.get(one)).toBeNull();
      expect(await opened().approvals.get(two)).toBeNull();
      expect(await opened().approvals.get(kept)).not.toBeNull();
    });
  });
}
