import { pino } from 'pino';
import { expect, test } from 'vitest';
import { AuthenticationFailed } from '../git/errors.ts';
import { AttemptHeld } from '../seams/executor.ts';
import { ObjectRefused } from '../seams/objects.ts';
import { createTroubles } from './troubles.ts';

interface Line {
  level: number;
  msg: string;
  key?: string;
  reason?: string;
  err?: { stack: string };
}

function logged() {
  const lines: Line[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line)) });
  const troubles = createTroubles(log, { trouble: 'failed', over: 'goes on' });
  return { lines, ...troubles, failed: (key: string, error: unknown) => troubles.failed(key, { key }, error) };
}

test.each([
  ['a full quota', new AttemptHeld('exceeded quota: few', { cause: new Error('403') })],
  ['a missing Secret', new AuthenticationFailed('There is no Secret git')],
  ['a missing right', new ObjectRefused('Forbidden', 'cannot patch', new Error('403'))],
])('%s is told once, without a stack, and when it is over', (_, error) => {
  const { lines, failed, over } = logged();
  for (let i = 0; i < 5; i++) failed('a', error);
  expect(lines).toEqual([expect.objectContaining({ level: 40, msg: 'failed', key: 'a', reason: error.message })]);
  expect(lines[0]).not.toHaveProperty('err');
  over('a');
  over('a');
  expect(lines.slice(1)).toEqual([expect.objectContaining({ level: 30, msg: 'goes on', key: 'a' })]);
  failed('a', error);
  expect(lines).toHaveLength(3);
});

test('an error that nobody expected keeps its stack', () => {
  const { lines, failed } = logged();
  failed('a', new TypeError('x is not a function'));
  failed('a', new TypeError('x is not a function'));
  expect(lines).toHaveLength(1);
  expect(lines[0]?.err?.stack).toContain('troubles.test.ts');
});

test('another reason, and another key, are told; other figures are the same reason', () => {
  const { lines, failed } = logged();
  failed('a', new AttemptHeld('exceeded quota: few, used: pods=1'));
  failed('a', new AttemptHeld('exceeded quota: few, used: pods=27'));
  failed('b', new AttemptHeld('exceeded quota: few, used: pods=27'));
  failed('a', new AttemptHeld('pods is forbidden'));
  expect(lines.map(({ key, reason }) => [key, reason])).toEqual([
    ['a', 'exceeded quota: few, used: pods=1'],
    ['b', 'exceeded quota: few, used: pods=27'],
    ['a', 'pods is forbidden'],
  ]);
});
