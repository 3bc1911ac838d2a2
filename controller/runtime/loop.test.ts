import { describe, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { TerminalError } from './errors.ts';
import { backoffMs, createLoop, type Requeue } from './loop.ts';

const done: Requeue = { requeueAt: null };

describe('createLoop', () => {
  test('many enqueues before a reconcile begins are one', async () => {
    const seen: string[] = [];
    const loop = createLoop({
      name: 't',
      clock: createVirtualClock(),
      concurrency: 1,
      reconcile: async (key) => {
        seen.push(key);
        return done;
      },
    });
    loop.enqueue('a');
    loop.enqueue('b');
    loop.enqueue('b');
    loop.enqueue('b');
    await loop.idle();
    expect(seen).toEqual(['a', 'b']);
  });

  test('a key enqueued while it is reconciled runs once more, never beside itself', async () => {
    let inside = 0;
    let most = 0;
    let count = 0;
    const loop = createLoop({
      name: 't',
      clock: createVirtualClock(),
      concurrency: 8,
      reconcile: async (key) => {
        most = Math.max(most, ++inside);
        count++;
        if (count === 1) {
          loop.enqueue(key);
          loop.enqueue(key);
        }
        await Promise.resolve();
        inside--;
        return done;
      },
    });
    loop.enqueue('a');
    await loop.idle();
    expect({ most, count }).toEqual({ most: 1, count: 2 });
  });

  test('never more keys at once than its concurrency', async () => {
    let inside = 0;
    let most = 0;
    const loop = createLoop({
      name: 't',
      clock: createVirtualClock(),
      concurrency: 3,
      reconcile: async () => {
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setImmediate(resolve));
        inside--;
        return done;
      },
    });
    for (let i = 0; i < 20; i++) loop.enqueue(`k${i}`);
    await loop.idle();
    expect(most).toBe(3);
  });

  test('requeueAt reconciles again at that instant, and an enqueue before it replaces the timer', async () => {
    const clock = createVirtualClock();
    let count = 0;
    const loop = createLoop({
      name: 't',
      clock,
      concurrency: 1,
      reconcile: async () => ({ requeueAt: ++count === 1 ? clock.now() + 1000 : null }),
    });
    loop.enqueue('a');
    await loop.idle();
    clock.advance(999);
    await loop.idle();
    expect(count).toBe(1);
    clock.advance(1);
    await loop.idle();
    expect({ count, timers: clock.pending() }).toEqual({ count: 2, timers: 0 });
  });

  test('a throw backs off and is retried; success forgets the failures', async () => {
    const clock = createVirtualClock();
    const at: number[] = [];
    const start = clock.now();
    const loop = createLoop({
      name: 't',
      clock,
      concurrency: 1,
      random: () => 0.5,
      reconcile: async () => {
        at.push(clock.now() - start);
        if (at.length < 4) throw new Error('the world failed');
        return done;
      },
    });
    loop.enqueue('a');
    await loop.idle();
    while (clock.next()) await loop.idle();
    expect(at).toEqual([0, 100, 300, 700]);
  });

  test('a TerminalError is not retried', async () => {
    const clock = createVirtualClock();
    const observed: boolean[] = [];
    const loop = createLoop({
      name: 't',
      clock,
      concurrency: 1,
      reconcile: () => Promise.reject(new TerminalError('never')),
      observe: (result) => observed.push(result.terminal),
    });
    loop.enqueue('a');
    await loop.idle();
    expect({ observed, timers: clock.pending() }).toEqual({ observed: [true], timers: 0 });
  });

  test('an observer that throws is warned of, and its key goes on', async () => {
    const clock = createVirtualClock();
    const warned = Promise.withResolvers<Error>();
    process.once('warning', warned.resolve);
    let count = 0;
    const loop = createLoop({
      name: 't',
      clock,
      concurrency: 1,
      reconcile: async () => ({ requeueAt: ++count === 1 ? clock.now() + 1000 : null }),
      observe: () => {
        if (count === 1) throw new Error('the disk is full');
      },
    });
    loop.enqueue('a');
    await loop.idle();
    expect((await warned.promise).message).toBe('the observer of t threw at a: Error: the disk is full');
    clock.advance(1000);
    loop.enqueue('b');
    await loop.idle();
    expect({ count, depth: loop.depth() }).toEqual({ count: 3, depth: 0 });
  });

  test('stop waits for what runs and begins nothing more', async () => {
    const clock = createVirtualClock();
    let release = () => {};
    const begun: string[] = [];
    const loop = createLoop({
      name: 't',
      clock,
      concurrency: 1,
      reconcile: (key) => {
        begun.push(key);
        return new Promise((resolve) => {
          release = () => resolve({ requeueAt: clock.now() });
        });
      },
    });
    loop.enqueue('a');
    loop.enqueue('b');
    const stopping = loop.stop();
    release();
    await stopping;
    expect({ begun, timers: clock.pending() }).toEqual({ begun: ['a'], timers: 0 });
  });

  test('backoff grows to a minute and no further', () => {
    expect([1, 2, 5, 30].map((failures) => backoffMs(failures, 0.5))).toEqual([100, 200, 1600, 60_000]);
    expect(backoffMs(1, 0)).toBe(80);
    expect(backoffMs(1, 1)).toBeCloseTo(120);
  });
});
