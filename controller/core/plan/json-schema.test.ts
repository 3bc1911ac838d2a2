import { describe, expect, test } from 'vitest';
import type { JsonValue } from '../../../crds/json.ts';
import { compileSchema } from './json-schema.ts';

describe('schemas of users', () => {
  test.each([
    ['references, which could recurse', { $ref: '#' }, /"\$ref" is not supported/],
    ['references further in', { properties: { x: { items: { $ref: '#/$defs/y' } } }, type: 'object' }, /\$ref/],
    ['other dialects', { $schema: 'http://json-schema.org/draft-07/schema#' }, /\$schema/],
    ['unknown keywords', { type: 'string', maxLenght: 3 }, /unknown keyword: "maxLenght"/],
    ['unknown types', { type: 'text' }, /type must be one of array, boolean/],
    ['keywords of another type', { type: 'string', minimum: 1 }, /minimum/],
    ['patterns that RE2 cannot run in linear time', { type: 'string', pattern: '(a)\\1' }, /regexp/],
    ['what is no schema', 'string', /must be object or boolean/],
  ] as [string, JsonValue, RegExp][])('%s are refused', (_, schema, message) => {
    expect(() => compileSchema(schema)).toThrow(message);
  });

  test('fields may be named like keywords', () => {
    const { check } = compileSchema({ type: 'object', properties: { $ref: { const: 1 } }, default: { $ref: 1 } });
    expect(check({ $ref: 2 })).toEqual(['$ref must be 1']);
  });

  test('a pattern that would hang a backtracking engine does not', () => {
    const { check } = compileSchema({ type: 'string', pattern: '^(a+)+$' });
    expect(check(`${'a'.repeat(50_000)}!`)).toEqual(['must match pattern "^(a+)+$"']);
  });

  test('every pattern is its own', () => {
    const { check } = compileSchema({
      type: 'object',
      properties: { a: { type: 'string', pattern: '^a' }, b: { type: 'string', pattern: '^b' } },
    });
    expect(check({ a: 'a', b: 'b' })).toEqual([]);
    expect(check({ a: 'b', b: 'a' })).toEqual(['a must match pattern "^a"', 'b must match pattern "^b"']);
  });

  test('true allows anything, false nothing', () => {
    expect(compileSchema(true).check({ x: 1 })).toEqual([]);
    expect(compileSchema(false).check(1)).toHaveLength(1);
  });
});
