import { describe, expect, test } from 'vitest';
import type { JsonValue } from '../../../crds/json.ts';
import { buildPodSettings } from '../plan/pod.ts';
import type { StepBody } from '../plan/types.ts';
import { maxOutputBytes, maxRunOutputBytes, readOutputs } from './outputs.ts';

const types = ['string', 'integer', 'number', 'boolean', 'array', 'object', 'any'] as const;
const script: StepBody = {
  kind: 'run',
  script: 'true',
  shell: ['sh', '-ec'],
  env: {},
  secrets: {},
  pod: buildPodSettings({ name: 'work' }, undefined),
  outputs: Object.fromEntries(
    types.map((type) => [type, { type, check: (value: JsonValue) => (value === 'bad' ? ['must not be bad'] : []) }]),
  ),
};

function written(text: string): unknown {
  const read = readOutputs(script, { text }, 0);
  if (!read.ok) return read.error.message;
  return Object.fromEntries(Object.entries(read.outputs).filter(([, value]) => value !== null));
}

describe('the text of $WINDLASS_OUTPUT', () => {
  test.each([
    ['', {}],
    ['string=a=b\n', { string: 'a=b' }],
    ['string= spaces stay \n', { string: ' spaces stay ' }],
    ['string=1', { string: '1' }],
    ['string=a\nstring=b\n', { string: 'b' }],
    ['string=a\r\ninteger=7\r\n', { string: 'a', integer: 7 }],
    ['string<<END\none\ntwo=2\n\nEND\ninteger=7\n', { string: 'one\ntwo=2\n', integer: 7 }],
    ['string<<E=F\nx\nE=F\n', { string: 'x' }],
    ['string=a<<b\n', { string: 'a<<b' }],
    ['array<<E\n[1,\n2]\nE\n', { array: [1, 2] }],
    ['object={"a": [true]}\nboolean=true\nnumber=1.5\n', { object: { a: [true] }, boolean: true, number: 1.5 }],
    ['any=12\n', { any: 12 }],
    ['any=plain\n', { any: 'plain' }],
    ['string=a\0b\n', { string: 'a\uFFFDb' }],
    ['any={"x": "\\u0000\\ud800"}\n', { any: { x: '\uFFFD\uFFFD' } }],
  ])('%j is read', (text, expected) => {
    expect(written(text)).toEqual(expected);
  });

  test.each([
    ['nonsense\n', /line 1: expected name=value/],
    ['string=a\nstring<<END\nb\n', /line 2: no line ends the value/],
    ['other=1\n', /other is not declared/],
    ['integer=1.5\n', /output integer: not JSON of type integer/],
    ['integer=9007199254740993\n', /output integer/],
    ['number=1e999\n', /output number/],
    ['boolean=yes\n', /output boolean/],
    ['array={}\n', /output array/],
    ['object=null\n', /output object/],
    ['string=bad\n', /output string: must not be bad/],
    [`any=${'['.repeat(100)}${']'.repeat(100)}\n`, /nested 64 deep/],
    [`string=${'x'.repeat(maxOutputBytes)}\n`, /output string is 1048578 bytes/],
  ])('%.40j is refused', (text, expected) => {
    expect(written(text)).toMatch(expected);
  });

  test('an error never repeats a value, which may be a secret', () => {
    expect(written('integer=hunter2\nboolean=hunter2\nhunter2 hunter2=1\n')).not.toMatch(/hunter2/);
  });

  test('declared outputs that were not written are null', () => {
    expect(readOutputs(script, { text: 'integer=1' }, 0)).toMatchObject({ outputs: { integer: 1, string: null } });
  });
});

test('all outputs of a run together are limited', () => {
  const handed = { values: { text: 'x'.repeat(100) } };
  const template: StepBody = { kind: 'template', source: { text: '' }, vars: {} };
  expect(readOutputs(template, handed, maxRunOutputBytes - 102).ok).toBe(true);
  expect(readOutputs(template, handed, maxRunOutputBytes - 101)).toMatchObject({
    ok: false,
    error: { type: 'output' },
  });
});
