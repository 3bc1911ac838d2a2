import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JsonObject, JsonValue } from '../../crds/json.ts';
import { canonicalJson, sha256Hex, workflowDigest } from './digest.ts';

/** The same value with the keys of every map the other way round. */
function reversed(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, item]) => [key, reversed(item)]),
  );
}

const json = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value)) as JsonValue);
const storable = json.filter((value) => {
  try {
    canonicalJson(value);
    return true;
  } catch {
    return false;
  }
});

describe('canonical JSON', () => {
  test('RFC 8785, section 3.2.2', () => {
    const value: JsonValue = {
      numbers: [Number('333333333.33333329'), 1e21 / 1e3 / 1e9, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '\u20ac$\u000f\nA\'B"\\\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1000000000,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  test('keys are in the order of their UTF-16 units, as RFC 8785, section 3.2.3 wants', () => {
    const keys = ['\u20ac', '\r', '\ufb33', '1', '\ud83d\ude00', '\u0080', '\u00f6'];
    const text = canonicalJson(Object.fromEntries(keys.map((key) => [key, 0])));
    expect(Object.keys(JSON.parse(text))).toEqual(['1', '\r', '\u0080', '\u00f6', '\u20ac', '\ud83d\ude00', '\ufb33']);
  });

  test('is JSON of the same value, whatever order the keys had', () => {
    fc.assert(
      fc.property(storable, (value) => {
        expect(canonicalJson(reversed(value))).toBe(canonicalJson(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test.each([2 ** 53, -(2 ** 53), 1e300, Number.NaN, Number.POSITIVE_INFINITY])('%d is refused', (value) => {
    expect(() => canonicalJson({ value })).toThrow(RangeError);
  });

  test('the largest exact integers are not', () => {
    expect(canonicalJson([2 ** 53 - 1, -(2 ** 53) + 1])).toBe('[9007199254740991,-9007199254740991]');
  });

  test('half of a surrogate pair is refused', () => {
    expect(() => canonicalJson('\ud800')).toThrow(RangeError);
  });
});

describe('the digest of a workflow', () => {
  const spec: JsonObject = { steps: [{ name: 'a', run: 'echo' }] };

  test('never changes: stored versions are found by it', () => {
    // sha256 of {"actions":{},"files":{},"name":"w","spec":{"steps":[{"name":"a","run":"echo"}]},"v":1}
    expect(workflowDigest({ name: 'w', spec, files: {} })).toBe(
      'sha256:eaa26d4ba7551108b03317b02fa8cd1189a379228a9f7f8c4cdcc05763865104',
    );
  });

  test('the description is not in it; name, spec and files are', () => {
    const digest = workflowDigest({ name: 'w', spec, files: {} });
    expect(workflowDigest({ name: 'w', spec: { ...spec, description: 'x' }, files: {} })).toBe(digest);
    expect(workflowDigest({ name: 'x', spec, files: {} })).not.toBe(digest);
    expect(workflowDigest({ name: 'w', spec: { ...spec, timeout: '1h' }, files: {} })).not.toBe(digest);
    expect(workflowDigest({ name: 'w', spec, files: { a: sha256Hex(new Uint8Array()) } })).not.toBe(digest);
  });
});

test('sha256 of bytes', () => {
  expect(sha256Hex(new TextEncoder().encode('abc'))).toBe(
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
});
