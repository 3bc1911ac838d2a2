import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatTable } from './table.ts';
import { formatAge, formatSpan, oneLine, printable, shortDigest, shortRef } from './text.ts';

describe('tables', () => {
  test('columns are as wide as their widest cell; colours have no width', () => {
    const rows = [
      ['a', '\u001b[32mSucceeded\u001b[39m', 'x'],
      ['longer', 'Failed', ''],
    ];
    expect(formatTable(['NAME', 'PHASE', 'WHY'], rows)).toBe(
      'NAME     PHASE       WHY\na        \u001b[32mSucceeded\u001b[39m   x\nlonger   Failed\n',
    );
  });

  test('every column begins at the same place in every line', () => {
    const cell = fc.stringMatching(/^[a-z]{1,20}$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 20 }), (rows) => {
        const lines = formatTable(['A', 'B'], rows).trimEnd().split('\n');
        const start = lines[0]?.indexOf('B') ?? -1;
        for (const [i, row] of rows.entries()) expect(lines[i + 1]?.slice(start)).toBe(row[1]);
      }),
    );
  });
});

test.each([
  [0, '0ms'],
  [450, '450ms'],
  [3249, '3.2s'],
  [10_999, '10s'],
  [60_000, '1m'],
  [80_000, '1m20s'],
  [7_500_000, '2h5m'],
  [273_600_000, '3d4h'],
])('%i ms is %s', (ms, text) => {
  expect(formatSpan(ms)).toBe(text);
});

test.each([
  ['2026-01-01T00:00:00.000Z', '0s'],
  ['2025-12-31T23:59:15.400Z', '44s'],
  ['2025-12-31T23:55:00.500Z', '4m59s'],
  ['2025-12-31T21:30:00.000Z', '2h30m'],
  ['2026-01-01T00:00:09.000Z', '0s'],
  [null, '-'],
])('the age of %s is %s', (at, text) => {
  expect(formatAge(at, Date.UTC(2026, 0, 1))).toBe(text);
});

test('names are cut where people stop reading', () => {
  expect(shortRef('0123456789abcdef0123456789abcdef01234567')).toBe('0123456789ab');
  expect(shortRef('v1.2.3')).toBe('v1.2.3');
  expect(shortDigest(`sha256:${'ab'.repeat(32)}`)).toBe('sha256:abababababab');
  expect(oneLine('first\nsecond')).toBe('first');
  expect(oneLine('abcdef', 4)).toBe('abc…');
  expect(printable('a\u001b[2Jb\u0000\nc\t')).toBe('a\ufffd[2Jb\ufffd\nc\t');
});
