import { describe, expect, test } from 'vitest';
import type { JsonValue } from '../crds/json.ts';
import { readValue, splitPair } from './inputs.ts';

describe('a value of --input', () => {
  test.each<[string, JsonValue | undefined, JsonValue]>([
    ['7', { type: 'string' }, '7'],
    ['true', { type: 'string' }, 'true'],
    ['', { type: 'string' }, ''],
    ['a: [', { type: 'string' }, 'a: ['],
    ['on', { enum: ['on', 'off'] }, 'on'],
    ['7', { type: 'integer' }, 7],
    ['1e3', { type: 'number' }, 1000],
    ['many', { type: 'integer' }, 'many'],
    ['false', { type: 'boolean' }, false],
    ['[a, 1]', { type: 'array' }, ['a', 1]],
    ['{a: {b: null}}', { type: 'object' }, { a: { b: null } }],
    ['7', undefined, 7],
    ['yes', undefined, 'yes'],
    ['2026-01-05', undefined, '2026-01-05'],
    ['', undefined, null],
  ])('%j with %j is %j', (text, schema, value) => {
    expect(readValue('--input x', text, schema)).toEqual(value);
  });

  test('what is no YAML is wrong usage, and says how to write it', () => {
    expect(() => readValue('--input x', 'a: [', undefined)).toThrow(/--input x: .*put it in quotes/);
  });

  test('a pair is split at its first =', () => {
    expect(splitPair('--input', 'a=b=c')).toEqual(['a', 'b=c']);
    expect(splitPair('--input', 'a=')).toEqual(['a', '']);
    expect(() => splitPair('--input', '=b')).toThrow('name=value');
  });
});
