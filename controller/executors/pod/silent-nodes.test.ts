import { expect, test } from 'vitest';
import { createVirtualClock } from '../../../test/fixtures/clock.ts';
import { SilentNodes } from './silent-nodes.ts';

const never = new AbortController().signal;

test('a node that does not answer is asked by one at a time, ever more rarely', () => {
  const clock = createVirtualClock();
  const nodes = new SilentNodes(clock);
  expect([nodes.admits('a'), nodes.admits('a')]).toEqual([true, true]);
  for (const _ of [1, 2, 3]) nodes.failed('a', 'connection refused');
  const asked: number[] = [];
  for (let second = 0; second < 60; second++) {
    for (const pod of [1, 2, 3]) {
      if (!nodes.admits('a')) continue;
      expect(pod).toBe(1);
      asked.push(second);
      nodes.failed('a', 'connection refused');
    }
    clock.advance(1000);
  }
  expect(asked).toEqual([1, 3, 7, 15, 25, 35, 45, 55]);
  expect(nodes.why('a')).toBe('connection refused');
  expect(nodes.admits('b')).toBe(true);
});

test('when it answers, all who wait may ask at once', async () => {
  const clock = createVirtualClock();
  const nodes = new SilentNodes(clock);
  nodes.failed('a', 'gone');
  const waiting = [1, 2].map(() => nodes.changed('a', never));
  nodes.answered('a');
  await Promise.all(waiting);
  expect([nodes.admits('a'), nodes.admits('a'), nodes.why('a')]).toEqual([true, true, '']);
});

test('whoever waits is told when it is time to ask again, and let go when told to', async () => {
  const clock = createVirtualClock();
  const nodes = new SilentNodes(clock);
  nodes.failed('a', 'gone');
  const leaving = new AbortController();
  const left = nodes.changed('a', leaving.signal);
  leaving.abort();
  await left;
  const waiting = nodes.changed('a', never);
  clock.advance(1000);
  await waiting;
  expect(nodes.admits('a')).toBe(true);
});
