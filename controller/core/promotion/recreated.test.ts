import { expect, test } from 'vitest';
import { facts, hash, holds, promotion, start, tag } from './decide.fixture.ts';
import { decidePromotion } from './decide.ts';
import { promotionName } from './name.ts';

const a = hash('a');
const name = promotionName('prod', 'v1.0.0', a);
const since = start + 500;
const before = { commit: a, name };

/** What prod, made at `since`, picks by itself after what an earlier prod, or it itself, did with v1.0.0. */
function picked(row: Parameters<typeof promotion>[1]) {
  const world = facts({
    tags: [tag('v1.0.0', a)],
    contents: new Map([[a, holds({ report: 'r1' })]]),
    promotions: [promotion('v1.0.0', { ...before, ...row })],
  });
  return decidePromotion({ ...world, environment: { ...world.environment, since } }, start + 1000).create;
}

test.each([
  ['succeeded in it', { phase: 'Succeeded', reason: 'Promoted', finishedAt: since - 1 }],
  ['was refused by it', { phase: 'Rejected', reason: 'ApprovalRejected', finishedAt: since - 1 }],
  ['waited in it', { phase: 'Superseded', reason: 'EnvironmentReplaced', finishedAt: since + 10 }],
] as const)(
  'a ref that an environment of the same name had before is picked anew, by another name: it %s',
  (_, row) => {
    expect(picked(row)).toEqual([{ name: promotionName('prod', 'v1.0.0', a, since), ref: 'v1.0.0', commit: a }]);
    expect(promotionName('prod', 'v1.0.0', a, since)).not.toBe(name);
  },
);

test.each([
  ['succeeded', { phase: 'Succeeded', reason: 'Promoted', finishedAt: since + 1 }],
  ['was refused', { phase: 'Rejected', reason: 'ApprovalRejected', finishedAt: since + 1 }],
] as const)('a ref that %s in this environment is not picked twice', (_, row) => {
  expect(picked(row)).toEqual([]);
});
