import { expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { createPace } from './pace.ts';

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test('a burst goes at once, the rest at its pace; after a rest there is a burst again', async () => {
  const clock = createVirtualClock();
  const pace = createPace(clock, { burst: 3, perSecond: 2 });
  let passed = 0;
  const take = () => void pace(new AbortController().signal).then(() => passed++);
  for (let i = 0; i < 7; i++) take();
  await settled();
  expect(passed).toBe(3);
  const seen: number[] = [];
  for (let half = 0; half < 5; half++) {
    clock.advance(500);
    await settled();
    seen.push(passed);
  }
  expect(seen).toEqual([4, 5, 6, 7, 7]);
  clock.advance(10_000);
  for (let i = 0; i < 4; i++) take();
  await settled();
  expect(passed).toBe(10);
});

test('whoever waits is let go when told to', async () => {
  const clock = createVirtualClock();
  const pace = createPace(clock, { burst: 1, perSecond: 1 });
  const leaving = new AbortController();
  await pace(leaving.signal);
  const waiting = pace(leaving.signal);
  leaving.abort();
  await waiting;
  expect(clock.pending()).toBe(0);
});
