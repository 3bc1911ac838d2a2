import { expect, test } from 'vitest';
import { facts, hash } from './decide.fixture.ts';
import { findProblem } from './problem.ts';
import type { PromotionFacts, UpstreamFact } from './types.ts';

const branches = [{ name: 'main', commit: hash('a') }];
const there: UpstreamFact = { exists: true, active: [], history: [], retired: [], runs: [] };
const unreachable = { branch: 'main', error: { reason: 'SourceUnreachable' as const, message: 'refused' } };

test.each<[string, Partial<PromotionFacts['environment']['spec']>, Partial<PromotionFacts>, string | null]>([
  ['all there', { track: { branch: 'main' }, after: ['dev'] }, { upstream: new Map([['dev', there]]) }, null],
  [
    'no such branch',
    { track: { branch: 'mian' } },
    {},
    'BranchNotFound: The repository has no branch mian; did you mean main?',
  ],
  ['no such branch for tags', { track: { tag: { semver: '*', from: 'other' } } }, {}, 'correct track.tag.from'],
  ['the source cannot say', { track: { branch: 'mian' } }, { source: unreachable }, null],
  ['no such upstream', { after: ['staging'] }, {}, 'UpstreamNotFound: It comes after staging, which is not in team'],
  [
    'one of two upstreams that was deleted',
    { after: ['dev', 'staging'] },
    {
      upstream: new Map([
        ['dev', there],
        ['staging', { ...there, exists: false }],
      ]),
    },
    'UpstreamNotFound: It comes after staging, which is not in team',
  ],
])('%s', (_, spec, more, expected) => {
  const problem = findProblem(facts({ branches, spec, ...more }));
  const text = problem === null ? null : `${problem.reason}: ${problem.message}`;
  expect(text).toEqual(expected === null ? null : expect.stringContaining(expected));
});
