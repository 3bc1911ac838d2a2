import { describe, expect, test } from 'vitest';
import { createBatch } from './batch.ts';

/** A batch of strings whose writes the test lets through one by one. */
function held(options: { maxItems: number; maxBytes?: number } = { maxItems: 3 }) {
  const writes: { items: string[]; let: (error?: Error) => void }[] = [];
  let wake = () => {};
  const batch = createBatch<string, string>({
    ...options,
    key: (item) => item.slice(0, 1),
    write: (items) =>
      new Promise((resolve, reject) => {
        const settle = (error?: Error) => (error ? reject(error) : resolve(items.map((item) => `${item}!`)));
        writes.push({ items, let: settle });
        wake();
      }),
  });
  async function nextWrite(n: number) {
    while (writes.length < n) await new Promise<void>((resolve) => (wake = resolve));
    return writes[n - 1] as (typeof writes)[number];
  }
  return { batch, nextWrite, writes };
}

describe('group commit', () => {
  test('what is added while a write is in flight shares the next one', async () => {
    const { batch, nextWrite } = held();
    const first = batch.add('a');
    const one = await nextWrite(1);
    const rest = ['b', 'c', 'd', 'e'].map((item) => batch.add(item));
    one.let();
    expect(await first).toBe('a!');
    const two = await nextWrite(2);
    expect(two.items).toEqual(['b', 'c', 'd']);
    two.let();
    const three = await nextWrite(3);
    expect(three.items).toEqual(['e']);
    three.let();
    expect(await Promise.all(rest)).toEqual(['b!', 'c!', 'd!', 'e!']);
    await batch.idle();
  });

  test('what is added at the same moment shares the first one', async () => {
    const { batch, nextWrite } = held();
    void batch.add('a');
    void batch.add('b');
    expect((await nextWrite(1)).items).toEqual(['a', 'b']);
  });

  test('a batch ends before it is too large, but one item always goes', async () => {
    const { batch, nextWrite } = held({ maxItems: 9, maxBytes: 10 });
    for (const [item, size] of [
      ['a', 20],
      ['b', 6],
      ['c', 6],
    ] as const)
      void batch.add(item, size);
    for (const [n, items] of [
      [1, ['a']],
      [2, ['b']],
      [3, ['c']],
    ] as const) {
      const write = await nextWrite(n);
      expect(write.items).toEqual(items);
      write.let();
    }
  });

  test('items of one key are written one after the other, in order', async () => {
    const { batch, nextWrite } = held();
    for (const item of ['a1', 'a2', 'b1', 'a3']) void batch.add(item);
    for (const [n, items] of [
      [1, ['a1', 'b1']],
      [2, ['a2']],
      [3, ['a3']],
    ] as const) {
      const write = await nextWrite(n);
      expect(write.items).toEqual(items);
      write.let();
    }
  });

  test('a failure of the world fails the batch, and the next goes on', async () => {
    const { batch, nextWrite } = held();
    const results = Promise.allSettled([batch.add('a'), batch.add('b')]);
    (await nextWrite(1)).let(new Error('no connection'));
    expect((await results).map((r) => r.status)).toEqual(['rejected', 'rejected']);
    const after = batch.add('c');
    (await nextWrite(2)).let();
    expect(await after).toBe('c!');
  });

  test.each([1, 2, 7, 8])('of %i items, the one whose data is refused is refused alone', async (count) => {
    const written: string[] = [];
    const batch = createBatch<string, boolean>({
      maxItems: 200,
      key: (item) => item,
      async write(items) {
        if (items.includes('bad')) throw Object.assign(new Error('refused'), { code: '22P05' });
        written.push(...items);
        return items.map(() => true);
      },
      refused: async () => false,
    });
    const items = Array.from({ length: count }, (_, i) => (i === Math.floor(count / 2) ? 'bad' : `item-${i}`));
    const results = await Promise.all(items.map((item) => batch.add(item)));
    expect(results).toEqual(items.map((item) => item !== 'bad'));
    expect(written).toEqual(items.filter((item) => item !== 'bad'));
  });
});
