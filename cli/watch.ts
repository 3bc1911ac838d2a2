import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '../api/client.ts';
import { lastEventId } from './resources/events.ts';

/** Not every change is an event. */
const pollMs = 2000;

/**
 * Yields the rows of a list that are new or changed, each time it was read again: at every event, and every 2 s. Ends by
 * the signal.
 */
export async function* watchRows<T>(options: {
  client: Client;
  signal: AbortSignal;
  items: readonly T[];
  key(item: T): string;
  list(): Promise<{ items: T[] }>;
}): AsyncGenerator<T[]> {
  const { client, key, list } = options;
  const done = new AbortController();
  const signal = AbortSignal.any([options.signal, done.signal]);
  const seen = new Map(options.items.map((item) => [key(item), JSON.stringify(item)]));
  let wait = new AbortController();
  let rung = false;
  const listening = listenToEvents(client, signal, () => {
    rung = true;
    wait.abort();
  });
  try {
    while (!signal.aborted) {
      if (!rung) {
        wait = new AbortController();
        await delay(pollMs, undefined, { signal: AbortSignal.any([signal, wait.signal]) }).catch(() => {});
      }
      rung = false;
      if (signal.aborted) return;
      const { items } = await list();
      const changed = items.filter((item) => seen.get(key(item)) !== JSON.stringify(item));
      for (const item of changed) seen.set(key(item), JSON.stringify(item));
      if (changed.length > 0) yield changed;
    }
  } finally {
    done.abort();
    await listening;
  }
}

/** The poll is enough when the stream is cut for good, so that is no failure of its own. */
async function listenToEvents(client: Client, signal: AbortSignal, ring: () => void): Promise<void> {
  try {
    const after = await lastEventId(client);
    for await (const _ of client.followEvents({ after }, signal)) ring();
  } catch {
    // the next poll says what is wrong, if it still is
  }
}
