/**
 * Writes items of one key one after the other, and of those that wait only the last: requests on several connections
 * overtake each other. A write that was replaced ends as the one that replaced it.
 */
export function createLatestWins<T>(write: (item: T) => Promise<void>): (key: string, item: T) => Promise<void> {
  interface Waiting {
    item: T;
    done: PromiseWithResolvers<void>;
  }
  const busy = new Map<string, Waiting | null>();

  async function drain(key: string): Promise<void> {
    for (let next = busy.get(key); next; next = busy.get(key)) {
      busy.set(key, null);
      await write(next.item).then(next.done.resolve, next.done.reject);
    }
    busy.delete(key);
  }

  return async (key, item) => {
    const waiting = busy.get(key);
    if (waiting) {
      waiting.item = item;
      return waiting.done.promise;
    }
    const mine: Waiting = { item, done: Promise.withResolvers<void>() };
    const idle = waiting === undefined;
    busy.set(key, mine);
    if (idle) void drain(key);
    return mine.done.promise;
  };
}
