import { describe, expect, test } from 'vitest';
import { createLatestWins } from './latest-wins.ts';

/** Writes that end when they are told to. */
function held() {
  const begun: { item: string; end: PromiseWithResolvers<void> }[] = [];
  const write = createLatestWins<string>((item) => {
    const end = Promise.withResolvers<void>();
    begun.push({ item, end });
    return end.promise;
  });
  return { begun, write, items: () => begun.map(({ item }) => item) };
}

describe('writes of one key', () => {
  test('run one after the other, and of those that wait only the last', async () => {
    const { begun, write, items } = held();
    const all = ['1', '2', '3'].map((item) => write('k', item));
    expect(items()).toEqual(['1']);
    begun[0]?.end.resolve();
    await all[0];
    expect(items()).toEqual(['1', '3']);
    begun[1]?.end.resolve();
    await Promise.all(all);
    expect(items()).toEqual(['1', '3']);
  });

  test('one that fails fails those that it stood for, and the next begins', async () => {
    const { begun, write, items } = held();
    const first = write('k', '1');
    const [second, third] = [write('k', '2'), write('k', '3')];
    begun[0]?.end.reject(new Error('no'));
    await expect(first).rejects.toThrow('no');
    const fourth = write('k', '4');
    begun[1]?.end.reject(new Error('neither'));
    await expect(second).rejects.toThrow('neither');
    await expect(third).rejects.toThrow('neither');
    begun[2]?.end.resolve();
    await fourth;
    expect(items()).toEqual(['1', '3', '4']);
  });

  test('do not wait for those of another', () => {
    const { write, items } = held();
    void write('k', '1');
    void write('l', '2');
    expect(items()).toEqual(['1', '2']);
  });
});
