import { isDataError } from './errors.ts';

export interface BatchOptions<Item, Result> {
  /** Default 200. */
  maxItems?: number;
  /** Default 4 MiB: keeps one statement from growing without bound. */
  maxBytes?: number;
  /** Two items of one key never share a batch; the later one waits for the next. */
  key: (item: Item) => string;
  /** Writes all items in one transaction; one result an item. A throw counts for each of them. */
  write: (items: Item[]) => Promise<Result[]>;
  /** An item that the database refuses even alone. Without it, the error goes to whoever added the item. */
  refused?: (item: Item, cause: unknown) => Promise<Result>;
}

export interface Batch<Item, Result> {
  /** Resolves when the item is durable. `bytes` counts towards the batch's size. */
  add(item: Item, bytes?: number): Promise<Result>;
  /** Resolves when nothing is waiting or being written. */
  idle(): Promise<void>;
}

interface Entry<Item, Result> {
  item: Item;
  bytes: number;
  resolve: (result: Result) => void;
  reject: (cause: unknown) => void;
}

/**
 * Group commit. No timer: while one write is in flight the others queue, and the next write takes them all, up to the
 * limits. A batch whose data is refused is halved until the bad item stands alone, so that it costs the others nothing.
 */
export function createBatch<Item, Result>(options: BatchOptions<Item, Result>): Batch<Item, Result> {
  const { maxItems = 200, maxBytes = 4 * 1024 * 1024 } = options;
  let queue: Entry<Item, Result>[] = [];
  let draining: Promise<void> | null = null;

  function take(): Entry<Item, Result>[] {
    const taken: Entry<Item, Result>[] = [];
    const left: Entry<Item, Result>[] = [];
    const keys = new Set<string>();
    let bytes = 0;
    for (const entry of queue) {
      const key = options.key(entry.item);
      const full = taken.length >= maxItems || bytes + entry.bytes > maxBytes;
      // A key that is taken or left behind holds back its later items: their order is kept.
      if (keys.has(key) || (full && taken.length > 0)) left.push(entry);
      else {
        taken.push(entry);
        bytes += entry.bytes;
      }
      keys.add(key);
    }
    queue = left;
    return taken;
  }

  async function write(entries: Entry<Item, Result>[]): Promise<void> {
    try {
      const results = await options.write(entries.map((e) => e.item));
      entries.forEach((entry, i) => entry.resolve(results[i] as Result));
    } catch (error) {
      const [only] = entries;
      if (!isDataError(error) || !only) for (const entry of entries) entry.reject(error);
      else if (entries.length > 1) {
        const half = entries.length >> 1;
        await write(entries.slice(0, half));
        await write(entries.slice(half));
      } else if (options.refused) await options.refused(only.item, error).then(only.resolve, only.reject);
      else only.reject(error);
    }
  }

  async function drain(): Promise<void> {
    // One turn of the microtask queue, so that callers of the same moment share the first write too.
    await new Promise((resolve) => setImmediate(resolve));
    while (queue.length > 0) {
      await write(take());
      await new Promise((resolve) => setImmediate(resolve));
    }
    draining = null;
  }

  return {
    add(item, bytes = 0) {
      return new Promise<Result>((resolve, reject) => {
        queue.push({ item, bytes, resolve, reject });
        draining ??= drain();
      });
    },
    async idle() {
      await draining;
    },
  };
}
