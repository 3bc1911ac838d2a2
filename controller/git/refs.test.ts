import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isRefName, matchesGlob, tagRefspecs } from './refs.ts';

test.each([
  ['*', 'v1.0.0', true],
  ['*', 'team/v1.0.0', false],
  ['*/*', 'team/v1.0.0', true],
  ['*/*', 'a/b/c', false],
  ['**', 'a/b/c', true],
  ['v*', 'v1', true],
  ['v*', 'w1', false],
  ['v1.?', 'v1.2', true],
  ['v1.?', 'v1x2', false],
  ['v[0-9]*', 'v7', true],
  ['v[!0-9]*', 'v7', false],
  ['nightly-report/v*', 'nightly-report/v1.4.0', true],
  ['v1.0.0', 'v1.0.0', true],
  ['v1.0.0', 'v1.0.0-rc.1', false],
  ['v[', 'v[', true],
  ['(a|b)+', '(a|b)+', true],
  ['', 'v1', false],
])('glob %s on %s: %s', (glob, name, expected) => {
  expect(matchesGlob(glob, name)).toBe(expected);
});

test('a glob cannot make matching slow or throw', () => {
  const started = performance.now();
  expect(matchesGlob('*a'.repeat(120), `${'a'.repeat(250)}b`)).toBe(false);
  expect(performance.now() - started).toBeLessThan(1_000);
  fc.assert(fc.property(fc.string(), fc.string(), (glob, name) => typeof matchesGlob(glob, name) === 'boolean'));
});

test('refspecs are as narrow as one star allows, and a glob cannot smuggle another in', () => {
  expect(tagRefspecs(['*', '*/*'])).toEqual(['+refs/tags/*:refs/tags/*']);
  expect(tagRefspecs(['v*', 'team/v[12]*', 'v1.0.0'])).toEqual([
    '+refs/tags/v*:refs/tags/v*',
    '+refs/tags/team/v*:refs/tags/team/v*',
    '+refs/tags/v1.0.0*:refs/tags/v1.0.0*',
  ]);
  expect(tagRefspecs(['x:refs/heads/main', 'a b', '../x', '-x', '^v1'])).toEqual([]);
});

test.each(['main', 'feature/x', 'v1.0.0-rc.1', 'a@b', 'ünï'])('%s may be a branch', (name) => {
  expect(isRefName(name)).toBe(true);
});
test.each([
  '',
  '-x',
  'a..b',
  'a b',
  'a:b',
  '+a:b',
  'a~1',
  'a^',
  'a*',
  'x.lock',
  '.x',
  'a/.x',
  '/a',
  'a/',
  'a//b',
  '@',
  'a@{1}',
  'a\0b',
])('%j may not be one', (name) => {
  expect(isRefName(name)).toBe(false);
});
