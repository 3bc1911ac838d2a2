import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { JsonValue } from '../../../crds/json.ts';
import { jsonBytes, storableValue } from './storable.ts';

const json = fc.jsonValue({ stringUnit: 'binary' }) as fc.Arbitrary<JsonValue>;

test('a size is that of the JSON text in UTF-8', () => {
  fc.assert(
    fc.property(json, (value) => {
      expect(jsonBytes(value)).toBe(new TextEncoder().encode(JSON.stringify(value)).length);
    }),
  );
});

test('what can be stored stays the very same value', () => {
  const value = { a: ['x', { b: null }], __proto__: 1 };
  expect(storableValue(value)?.value).toBe(value);
});

test('what cannot be stored is replaced in keys and values alike', () => {
  expect(storableValue({ 'k\0': ['\uD800x'] })).toEqual({ value: { 'k\uFFFD': ['\uFFFDx'] } });
});
