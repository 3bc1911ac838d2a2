import { expect, test } from 'vitest';
import { planOf } from '../../../test/fixtures/plans.ts';
import type { StepSpec } from '../../../crds/workflow.ts';
import type { ExpressionContext } from '../expression/types.ts';
import { listItems } from './items.ts';

const context: ExpressionContext = {
  inputs: { shops: [{ id: 'b1' }], names: ['x', 'y'], n: 3 },
  steps: {},
  run: { id: 'r', name: 'r', namespace: 'n', date: '2026-01-31', outcome: null, error: null },
  workflow: { name: 'w', digest: 'd' },
  environment: {},
};

function listOf(forEach: NonNullable<StepSpec['forEach']>) {
  const planned = planOf({ steps: [{ name: 'a', forEach }] }).steps[0]?.forEach;
  if (!planned) throw new Error('no forEach');
  return listItems(planned, context);
}

test.each([
  ['a list', { items: ['x', 7, true, null] }, ['x', 7, true, null], ['x', '7', 'true', null]],
  ['one expression that yields a list', { items: '${{ inputs.shops }}' }, [{ id: 'b1' }], [null]],
  [
    'a map, in the order of its keys',
    { items: { b: 1, a: { x: 2 } } },
    [
      { key: 'a', value: { x: 2 } },
      { key: 'b', value: 1 },
    ],
    ['a', 'b'],
  ],
  ['a range from 0', { range: { to: '${{ inputs.n }}' } }, [0, 1, 2], ['0', '1', '2']],
  ['a range with a step', { range: { from: 2, to: 9, step: 3 } }, [2, 5, 8], ['2', '5', '8']],
  ['a range that ends before it begins', { range: { from: 5, to: 2 } }, [], []],
  [
    'a matrix, the last key fastest',
    { matrix: { os: '${{ inputs.names }}', n: [1, 2] } },
    [
      { os: 'x', n: 1 },
      { os: 'x', n: 2 },
      { os: 'y', n: 1 },
      { os: 'y', n: 2 },
    ],
    ['x, 1', 'x, 2', 'y, 1', 'y, 2'],
  ],
  ['a matrix with an empty list', { matrix: { os: [], n: [1] } }, [], []],
  ['a long text, without a label', { items: ['x'.repeat(65)] }, ['x'.repeat(65)], [null]],
])('%s', (_, forEach, values, labels) => {
  const listed = listOf(forEach);
  expect(listed.map(({ value }) => value)).toEqual(values);
  expect(listed.map(({ label }) => label)).toEqual(labels);
});

test.each([
  [{ items: '${{ inputs.n }}' }, 'forEach.items must be a list or a map, and is a number'],
  [{ range: { to: '${{ inputs.names }}' } }, 'forEach.range.to must be a whole number, and is a list'],
  [{ range: { from: '${{ 0.5 }}', to: 2 } }, 'forEach.range.from must be a whole number, and is a number'],
  [{ matrix: { os: '${{ inputs.n }}' } }, 'forEach.matrix.os must be a list, and is a number'],
  [{ range: { to: 1_000_000_000 } }, 'forEach has 1000000000 items; at most 10000'],
  [
    {
      matrix: Object.fromEntries(
        ['a', 'b', 'c', 'd', 'e'].map((key) => [key, Array.from({ length: 10 }, (_, i) => i)]),
      ),
    },
    'forEach has 100000 items; at most 10000',
  ],
])('%j is refused', (forEach, message) => {
  expect(() => listOf(forEach)).toThrow(message);
});
