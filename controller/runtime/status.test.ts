import { describe, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { createStatusWriter } from './status.ts';

function setup(write?: (status: number) => Promise<void>) {
  const clock = createVirtualClock();
  const written: number[] = [];
  const writer = createStatusWriter<string, number>({
    clock,
    id: (key) => key,
    write: async (_key, status) => {
      await write?.(status);
      written.push(status);
    },
    onError: () => {},
  });
  return { clock, written, writer };
}

/** Lets promise callbacks run; nothing here waits for time. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('createStatusWriter', () => {
  test('the first status goes at once; within a second only the newest waits', async () => {
    const { clock, written, writer } = setup();
    for (const status of [1, 2, 3]) writer.offer('a', status);
    await settled();
    expect(written).toEqual([1]);
    clock.advance(1000);
    await settled();
    expect(written).toEqual([1, 3]);
  });

  test('an equal status is not written again', async () => {
    const { clock, written, writer } = setup();
    writer.known('a', 7);
    writer.offer('a', 7);
    clock.advance(5000);
    await settled();
    expect(written).toEqual([]);
  });

  test('a final status does not wait', async () => {
    const { written, writer } = setup();
    writer.offer('a', 1);
    writer.offer('a', 2, true);
    await settled();
    expect(written).toEqual([1, 2]);
  });

  test('a failed write is tried again with the newest status', async () => {
    let failures = 2;
    const { clock, written, writer } = setup(async () => {
      if (failures-- > 0) throw new Error('down');
    });
    writer.offer('a', 1);
    await settled();
    writer.offer('a', 2);
    while (clock.next()) await settled();
    expect(written).toEqual([2]);
  });

  test('however long it could not be written, it is within 10 s of when it can', async () => {
    let away = true;
    const { clock, written, writer } = setup(async () => {
      if (away) throw new Error('down');
    });
    writer.offer('a', 1);
    for (let seconds = 0; seconds < 600; seconds++) {
      await settled();
      clock.advance(1000);
    }
    away = false;
    await settled();
    clock.advance(10_000);
    await settled();
    expect(written).toEqual([1]);
  });

  test('close writes what waits, once, and nothing after it', async () => {
    const { clock, written, writer } = setup();
    writer.offer('a', 1);
    writer.offer('a', 2);
    writer.offer('b', 3);
    await writer.close();
    writer.offer('a', 4);
    while (clock.next()) await settled();
    expect(written).toEqual([1, 3, 2]);
  });

  test('close ends though the store is gone', async () => {
    const { clock, writer } = setup(() => Promise.reject(new Error('closed')));
    writer.offer('a', 1);
    await writer.close();
    expect(clock.pending()).toBe(0);
  });

  test('what is forgotten is not written, nor tried again; what is said of it after that is', async () => {
    const answers: PromiseWithResolvers<void>[] = [];
    const { clock, written, writer } = setup(() => {
      const answer = Promise.withResolvers<void>();
      answers.push(answer);
      return answer.promise;
    });
    writer.offer('a', 1);
    writer.offer('a', 2);
    writer.forget('a');
    answers[0]?.reject(new Error('the API server is away'));
    await settled();
    clock.advance(60_000);
    await settled();
    expect(answers).toHaveLength(1);

    writer.offer('a', 3);
    writer.forget('a');
    writer.offer('a', 4);
    // One after the other, so that the older is not the last.
    expect(answers).toHaveLength(2);
    for (const answer of answers) answer.resolve();
    await settled();
    clock.advance(1000);
    await settled();
    answers[2]?.resolve();
    await settled();
    expect(written).toEqual([3, 4]);
  });

  test('a write that forgets its object as it begins is not tried again', async () => {
    let tries = 0;
    const { clock, writer } = setup(() => {
      tries++;
      writer.forget('a');
      return Promise.reject(new Error('the lease is lost'));
    });
    writer.offer('a', 1);
    await settled();
    clock.advance(60_000);
    await settled();
    expect(tries).toBe(1);
  });
});
