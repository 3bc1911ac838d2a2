import { describe, expect, test } from 'vitest';
import { inRange, isRange, parseTag } from './tag.ts';

describe('parseTag', () => {
  test.each([
    ['v1.4.0', null, '1.4.0'],
    ['v1.1.0-rc.1', null, '1.1.0-rc.1'],
    ['v1.4.0+build.7', null, '1.4.0'],
    ['nightly-report/v2.0.0', 'nightly-report', '2.0.0'],
    ['http.request/v0.0.1', 'http.request', '0.0.1'],
  ])('%s names workflow %s at %s', (name, workflow, version) => {
    const tag = parseTag(name);
    expect(tag?.workflow).toBe(workflow);
    expect(tag?.version.version).toBe(version);
  });

  test.each([
    '1.4.0',
    'v1.4',
    'vv1.4.0',
    'v1.4.0 ',
    'release',
    'a/b/v1.0.0',
    '/v1.0.0',
    'Report/v1.0.0',
    'v01.2.3',
    '',
  ])('%j names no version', (name) => {
    expect(parseTag(name)).toBeNull();
  });
});

describe('inRange', () => {
  test.each([
    ['>=1.0.0', 'v1.0.0', true],
    ['>=1.0.0', 'v0.9.0', false],
    ['>=1.0.0', 'v1.1.0-rc.1', false],
    ['>=1.0.0-0', 'v1.1.0-rc.1', true],
    ['>=1.0.0-0', 'v2.3.4', true],
    ['^1.0.0', 'v1.9.0-rc.1', false],
    ['^1.0.0', 'v2.0.0-rc.1', false],
    ['^1.0.0-rc.1', 'v1.9.0-beta', true],
    ['>=1.0.0, <2.0.0', 'v1.5.0', true],
    ['>=1.0.0, <2.0.0', 'v2.0.0', false],
    ['>=3.0.0 || >=1.0.0-0 <2.0.0', 'v3.1.0-rc.1', false],
    ['>=3.0.0 || >=1.0.0-0 <2.0.0', 'v1.1.0-rc.1', true],
    ['1.0.0 - 1.5.0', 'v1.5.0', true],
    ['*', 'report/v0.1.0', true],
  ])('%s takes %s: %s', (range, name, expected) => {
    const tag = parseTag(name);
    expect(tag !== null && inRange(range, tag)).toBe(expected);
  });

  test.each([
    ['>=1.0.0', true],
    ['>=1.0.0, <2', true],
    ['latest', false],
    ['>=1.0.0 || newest', false],
  ])('%s is a range: %s', (range, expected) => {
    expect(isRange(range)).toBe(expected);
  });
});
