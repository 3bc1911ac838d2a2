import { expect, test } from 'vitest';
import { suggest } from './suggest.ts';

test.each([
  ['buidl', ['test', 'build'], '; did you mean build?'],
  ['mian', ['main', 'next'], '; did you mean main?'],
  ['fetc', ['fetch', 'other'], '; did you mean fetch?'],
  ['x', ['build'], ''],
  ['ba', ['abc'], ''],
])('%s among %j', (name, known, hint) => {
  expect(suggest(name, known)).toBe(hint);
});
