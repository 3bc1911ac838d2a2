import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hashShare, retryPauseMs } from './retry.ts';

const policy = { initialMs: 1000, factor: 2, maxMs: 60_000, jitter: 0 };
const key = { runId: 'r', step: 's', item: -1, attempt: 1 };

test('pauses grow by the factor, up to the longest', () => {
  expect([1, 2, 3, 6, 7, 500].map((n) => retryPauseMs(policy, key, n))).toEqual([
    1000, 2000, 4000, 32_000, 60_000, 60_000,
  ]);
  expect(retryPauseMs({ ...policy, initialMs: 0, factor: 100 }, key, 500)).toBe(0);
});

test.each([
  [90_000, 90_000],
  [10, 1000],
  [-5, 1000],
  [Number.NaN, 1000],
  [Number.POSITIVE_INFINITY, 86_400_000],
])('asked to pause %d ms: %d', (asked, expected) => {
  expect(retryPauseMs(policy, key, 1, asked)).toBe(expected);
});

test('jitter takes away its share at most, and the same for the same attempt', () => {
  fc.assert(
    fc.property(
      fc.uuid(),
      fc.integer({ min: 1, max: 20 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (runId, attempt, jitter) => {
        const at = { runId, step: 's', item: -1, attempt };
        const full = retryPauseMs(policy, at, attempt);
        const pause = retryPauseMs({ ...policy, jitter }, at, attempt);
        expect(pause).toBeLessThanOrEqual(full);
        expect(pause).toBeGreaterThanOrEqual(Math.floor(full * (1 - jitter)));
        expect(retryPauseMs({ ...policy, jitter }, at, attempt)).toBe(pause);
      },
    ),
  );
});

test('similar keys are spread over the whole range', () => {
  const tenths = new Array<number>(10).fill(0);
  for (let i = 0; i < 10_000; i++) {
    const tenth = Math.floor(hashShare(`run/step/${i}`) * 10);
    tenths[tenth] = (tenths[tenth] ?? 0) + 1;
  }
  for (const count of tenths) expect(count).toBeGreaterThan(800);
});
