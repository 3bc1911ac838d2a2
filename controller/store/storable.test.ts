import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { storable } from './storable.ts';

function nested(levels: number): unknown {
  return levels === 0 ? 'x' : [nested(levels - 1)];
}

describe('storable', () => {
  test.each([
    ['NUL', 'a\0b', 'a\ufffdb'],
    ['a lone surrogate', 'a\ud800b', 'a\ufffdb'],
    ['a surrogate pair', '😀', '😀'],
    ['keys', { 'k\0': 1, ok: 2 }, { 'k\ufffd': 1, ok: 2 }],
    ['what lies deep', { a: [{ b: ['\udc00'] }] }, { a: [{ b: ['\ufffd'] }] }],
  ])('%s', (_what, value, expected) => {
    expect(storable(value)).toEqual(expected);
  });

  test('64 levels are kept, the 65th is null', () => {
    expect(storable(nested(64))).toEqual(nested(64));
    expect(JSON.stringify(storable(nested(65)))).toBe(`${'['.repeat(64)}null${']'.repeat(64)}`);
  });

  test('a value that is fine comes back as it is, any other as a copy that is fine', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.string({ unit: 'binary' }), (value, text) => {
        const given = { value, text } as object;
        const copy = structuredClone(given);
        const kept = storable(given);
        expect(given).toEqual(copy);
        expect(storable(kept)).toBe(kept);
        expect(JSON.stringify(kept)).not.toMatch(/(?<!\\)(\\\\)*\\u(0000|d[89a-f])/);
        const fine = !/\\u(0000|d[89a-f])/.test(JSON.stringify(given));
        expect(kept === given || !fine).toBe(true);
      }),
    );
  });
});
