import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDuration, parseDuration } from './duration.ts';

describe('durations', () => {
  test.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['1h30m', 5_400_000],
    ['7d', 604_800_000],
    ['0s', 0],
    ['1s1s', 2000],
  ])('%s is %d milliseconds', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', '5', 's', '1.5h', '-1s', '1h 30m', '1w', 'PT5M', '1h\n'])('%j is refused', (text) => {
    expect(() => parseDuration(text)).toThrow(RangeError);
  });

  test.each([
    [0, '0s'],
    [999, '999ms'],
    [5_400_000, '1h30m'],
    [90_061_001, '1d1h1m1s1ms'],
    [-1000, '-1s'],
  ])('%d milliseconds are written %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  test('what is written reads the same again', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 45), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
  });
});
