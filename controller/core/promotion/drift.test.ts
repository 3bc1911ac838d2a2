import { expect, test } from 'vitest';
import { driftOf } from './drift.ts';

const promoted = { description: 'a', steps: [{ name: 'one', run: 'x' }], inputs: { a: { type: 'string' } } };

test.each([
  [promoted, []],
  [{ ...promoted, inputs: { a: { type: 'string' } } }, []],
  [{ ...promoted, description: 'b' }, ['spec.description']],
  [{ steps: promoted.steps, inputs: promoted.inputs }, ['spec.description']],
  [{ ...promoted, timeout: '1h' }, ['spec.timeout']],
  [{ ...promoted, steps: [{ name: 'one', run: 'y' }] }, ['spec.steps[0].run']],
  [{ ...promoted, steps: [] }, ['spec.steps']],
  [{ ...promoted, inputs: { a: { type: 'integer' }, b: {} } }, ['spec.inputs.a.type', 'spec.inputs.b']],
  [null, ['spec']],
])('%j', (present, fields) => {
  expect(driftOf(promoted, present)).toEqual(fields);
});

test('names ten fields at most, and how many more there are', () => {
  const many = Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`f${i}`, i]));
  expect(driftOf({}, many)).toHaveLength(11);
  expect(driftOf({}, many).at(-1)).toBe('5 more');
});
