import { describe, expect, test } from 'vitest';
import {
  type ApprovalLook,
  type ApprovalsGuard,
  doubtMessage,
  guardOf,
  isSameLook,
  type JudgedEntries,
  judgeEntries,
} from './approval-trust.ts';

type Entry = { user: string; decision: 'Approve' | 'Reject'; groups?: string[]; at?: string };
const ada: Entry = { user: 'ada', decision: 'Approve' };
const bob: Entry = { user: 'bob', decision: 'Approve' };
/** In force without a break since 10 s, and so for whatever is made from 15 s on. */
const first = (at: number) => guardOf({ state: 'InForce', identity: 'one', since: 10_000 }, 10_000, at);
/** Put back, or changed, and seen at 60 s; nobody knows since when it is so. */
const second = (at: number) => guardOf({ state: 'InForce', identity: 'two', since: null }, 60_000, at);

type Look = [guard: ApprovalsGuard | null, entries: Entry[], believed: string[]];

describe('an entry counts when it appeared while one policy was in force without a break', () => {
  test.each<[string, number, Look[]]>([
    ['the policy was there before the object', 20_000, [[first(30_000), [ada], ['ada']]]],
    ['the object was there before the policy', 5_000, [[first(30_000), [ada], []]]],
    ['the object was made before the policy was enforced', 12_000, [[first(30_000), [ada], []]]],
    [
      'nothing was written before the policy was seen',
      5_000,
      [
        [first(30_000), [], []],
        [first(31_000), [ada], ['ada']],
      ],
    ],
    [
      'it was not enforced yet when it was seen first',
      5_000,
      [
        [first(12_000), [], []],
        [first(30_000), [ada], []],
      ],
    ],
    [
      'written while the policy was away, which is back',
      20_000,
      [
        [first(30_000), [], []],
        [null, [ada], []],
        [second(60_000), [ada], []],
        [second(70_000), [ada], []],
      ],
    ],
    [
      'written while the policy was away and nobody looked',
      20_000,
      [
        [first(30_000), [bob], ['bob']],
        [second(70_000), [bob, ada], ['bob']],
      ],
    ],
    ['the first look is after the policy was changed', 20_000, [[second(70_000), [ada], []]]],
    ['made after the policy was seen', 66_000, [[second(70_000), [ada], ['ada']]]],
    [
      'believed before the policy went, and still there when it is back',
      20_000,
      [
        [first(30_000), [ada], ['ada']],
        [null, [ada], ['ada']],
        [second(70_000), [ada], ['ada']],
      ],
    ],
    [
      'taken out and written anew',
      20_000,
      [
        [null, [ada], []],
        [second(70_000), [ada], []],
        [second(71_000), [], []],
        [second(72_000), [ada], ['ada']],
      ],
    ],
    [
      'another entry in its place',
      20_000,
      [
        [null, [ada], []],
        [second(70_000), [ada], []],
        [second(71_000), [{ ...ada, at: '2026-01-01T00:00:00Z' }], ['ada']],
      ],
    ],
    [
      'written anew before the policy is enforced again',
      20_000,
      [
        [null, [ada], []],
        [second(60_000), [{ ...ada, at: '2026-01-01T00:00:00Z' }], []],
        [second(70_000), [{ ...ada, at: '2026-01-01T00:00:00Z' }], []],
        [second(71_000), [{ ...ada, at: '2026-01-01T00:00:11Z' }], ['ada']],
      ],
    ],
  ])('%s', (_, createdAt, looks) => {
    let look: ApprovalLook | null = null;
    for (const [guard, entries, believed] of looks) {
      const judged: JudgedEntries<Entry> = judgeEntries({ createdAt, entries }, look, guard);
      expect(judged.believed.map(({ user }) => user)).toEqual(believed);
      expect([...judged.believed, ...judged.doubted]).toHaveLength(entries.length);
      look = judged.look;
    }
  });
});

test('the order of its fields makes no other entry of it, its groups and time do', () => {
  const look = judgeEntries({ createdAt: 0, entries: [{ ...ada, groups: ['ops'] }] }, null, null).look;
  const again = (entry: Entry) => isSameLook(judgeEntries({ createdAt: 0, entries: [entry] }, null, null).look, look);
  expect(again({ groups: ['ops'], decision: 'Approve', user: 'ada' })).toBe(true);
  expect(again({ ...ada, groups: ['dev'] })).toBe(false);
  expect(again({ ...ada, groups: ['ops'], at: 'now' })).toBe(false);
});

test.each<[string, ApprovalLook, boolean]>([
  ['itself', { policy: 'p', entries: { a: true } }, true],
  ['another policy', { policy: null, entries: { a: true } }, false],
  ['another verdict', { policy: 'p', entries: { a: false } }, false],
  ['an entry more', { policy: 'p', entries: { a: true, b: true } }, false],
  ['an entry less', { policy: 'p', entries: {} }, false],
])('a look is the same as %s or not', (_, other, same) => {
  expect(isSameLook({ policy: 'p', entries: { a: true } }, other)).toBe(same);
});

test.each<[Entry[], boolean, string | null]>([
  [[], false, null],
  [
    [ada],
    false,
    "ada's approval was written while the policy was not in force, or not known to be: remove it and approve again",
  ],
  [
    [ada, { ...bob, decision: 'Reject' }],
    true,
    "ada's approval, bob's rejection were written while the policy was not in force, or not known to be: remove them and wait 10 s and approve or reject again",
  ],
  [
    Array.from('abcdefg', (user) => ({ ...ada, user })),
    false,
    "a's approval, b's approval, c's approval, d's approval, e's approval, 2 more were written while the policy was not in force, or not known to be: remove them and approve again",
  ],
])('doubts are told with what to do: %#', (doubted, wait, message) => {
  expect(doubtMessage(doubted, wait)).toBe(message);
});
