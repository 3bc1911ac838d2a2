import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { matchFiles } from './files-globs.ts';

describe('patterns of files', () => {
  test.each([
    ['a.sh', 'a.sh', true],
    ['./a.sh', 'a.sh', true],
    ['a.sh', 'b/a.sh', false],
    ['a.sh', 'axsh', false],
    ['*.sh', 'a.sh', true],
    ['*.sh', '.sh', true],
    ['*.sh', 'b/a.sh', false],
    ['*', '.hidden', true],
    ['prompts/**', 'prompts/a', true],
    ['prompts/**', 'prompts/a/b/c', true],
    ['prompts/**', 'prompts', false],
    ['**/*.md', 'a.md', true],
    ['**/*.md', 'a/b/c.md', true],
    ['a/**/b', 'a/b', true],
    ['a/**/b', 'a/x/y/b', true],
    ['a/**/b', 'ab', false],
    ['a?c', 'abc', true],
    ['a?c', 'a/c', false],
    ['[a-c]x', 'bx', true],
    ['[!a-c]x', 'bx', false],
    ['[^a-c]x', 'dx', true],
    ['[!a]x', '/x', false],
    ['[]x', '[]x', true],
    ['a[1].txt', 'a[1].txt', true],
    ['(a|b)+', 'a', false],
    ['ü*.md', 'über.md', true],
  ])('%s and %s: %s', (pattern, path, matches) => {
    expect(matchFiles(pattern)(path)).toBe(matches);
  });

  test('match in linear time, whatever is written', () => {
    expect(matchFiles(`${'*a'.repeat(250)}b`)('a'.repeat(4000))).toBe(false);
  });

  test('never throw, and name the path they are', () => {
    const text = fc.string({
      unit: fc.constantFrom('a', 'z', '*', '?', '[', ']', '-', '!', '^', '\\', '/', '.', '(', '{'),
    });
    fc.assert(
      fc.property(text, text, (pattern, path) => {
        matchFiles(pattern)(path);
        const plain = pattern.replaceAll(/[/.]+/g, 'x');
        expect(matchFiles(plain)(plain)).toBe(true);
      }),
      {
        numRuns: 3000,
        examples: [
          ['[!-.]', ''],
          ['[a--*]', ''],
          ['[\\\\-[]', ''],
          ['[^--]', ''],
        ],
      },
    );
  });
});
