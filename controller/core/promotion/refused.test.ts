import { expect, test } from 'vitest';
import { hash, tag } from './decide.fixture.ts';
import { refusedTags } from './refused.ts';

const [a, b] = [hash('a'), hash('b')];

test('tells moved tags by the commit that is refused, then tags that name no version', () => {
  const tags = [
    tag('v1.0.0', a),
    tag('nightly', a),
    tag('1.0.0', b),
    tag('v1.1.0', a, { movedTo: b }),
    tag('gone', a, { deleted: true }),
  ];
  expect(refusedTags(tags, ['>=1.0.0'])).toMatchObject([
    { ref: 'v1.1.0', commit: b, reason: 'TagMoved' },
    { ref: '1.0.0', commit: b, reason: 'NotSemver' },
    { ref: 'nightly', commit: a, reason: 'NotSemver' },
  ]);
});

test('where nobody tracks tags, they may be called as they like', () => {
  expect(refusedTags([tag('nightly', a)], [])).toEqual([]);
});
