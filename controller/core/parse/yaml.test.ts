import { expect, test } from 'vitest';
import { readYaml } from './yaml.ts';

test.each([
  ['too deep', 'spec:\n  a: 1\n   b: 2\n  c: 3\n', [3, 4]],
  ['too deep in a list', 'a:\n  - name: x\n     run: y\n    z: 1\n', [3, 6]],
  ['neither in the item nor in the list', 'steps:\n  - name: a\n    run: echo\n   env: 1\n  - name: b\n', [4, 4]],
])('a line whose indent is wrong (%s) is one mistake, there', (_, text, [line, column]) => {
  expect(readYaml(text).syntax).toEqual([
    { line, column, rule: 'yaml-syntax', message: expect.stringContaining('the indent of this line differs from') },
  ]);
});
