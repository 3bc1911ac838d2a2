import type { Clock } from '../seams/clock.ts';
import type { KubernetesClient } from './client.ts';
import { isRefusal } from './errors.ts';

/** What every object of a list has. */
export interface Listed {
  metadata: { name: string; namespace?: string; uid: string; resourceVersion: string };
}

export interface ListWatchOptions<T extends Listed> {
  client: KubernetesClient;
  /** Of the collection: `/api/v1/pods`. */
  path: string;
  query?: Record<string, string>;
  clock: Clock;
  /** Everything there is, after a list: at the start, and whenever events may have been missed. */
  onList: (objects: T[]) => void;
  /** One object has changed, or has gone: then as it was last. */
  onChange: (type: 'changed' | 'gone', object: T) => void;
  /** The API server could not be read; it is tried again. */
  onError?: (error: unknown) => void;
  /** A list at least this often, whatever the watch says. Default 10 minutes. */
  relistMs?: number;
  signal: AbortSignal;
}

interface List<T> {
  metadata: { resourceVersion: string; continue?: string };
  items: T[];
}

interface WatchEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: T;
}

/** The API server ends a watch after this; it is quiet for so long at most, as it sends bookmarks. */
const watchSeconds = 290;
const longestBackoffMs = 10_000;

/** Lists, watches from there, and goes on for ever: through restarts of the API server, cut connections and lost history (410). */
export async function listWatch<T extends Listed>(options: ListWatchOptions<T>): Promise<void> {
  const { clock, signal, relistMs = 600_000 } = options;
  let failures = 0;
  let version: string | null = null;
  let relistAt = 0;
  while (!signal.aborted) {
    try {
      if (version === null || clock.now() >= relistAt) {
        version = await list(options);
        relistAt = clock.now() + relistMs;
      }
      version = await watch(options, version, () => {
        failures = 0;
      });
    } catch (error) {
      if (signal.aborted) return;
      version = null;
      options.onError?.(error);
      const backoff = Math.min(longestBackoffMs, 100 * 2 ** failures++);
      // Not all replicas at once when the API server is back.
      await pause(clock, backoff * (0.5 + Math.random() / 2), signal);
    }
  }
}

async function list<T extends Listed>(options: ListWatchOptions<T>): Promise<string> {
  const items: T[] = [];
  let next: string | undefined;
  do {
    const query: Record<string, string> = { ...options.query, limit: '500', ...(next ? { continue: next } : {}) };
    const page: List<T> = await options.client.request('GET', options.path, { query, signal: options.signal });
    items.push(...page.items);
    next = page.metadata.continue;
    if (!next) {
      options.onList(items);
      return page.metadata.resourceVersion;
    }
  } while (!options.signal.aborted);
  throw new Error('aborted');
}

/** Resolves with the version to go on from when the server ends the watch; null when a list is needed. */
async function watch<T extends Listed>(
  options: ListWatchOptions<T>,
  from: string,
  onAlive: () => void,
): Promise<string | null> {
  let version = from;
  const query = {
    ...options.query,
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: from,
    timeoutSeconds: String(watchSeconds),
  };
  // A connection that died in silence is noticed: the server would have ended the watch by then.
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout((watchSeconds + 30) * 1000)]);
  try {
    for await (const event of events<T>(await options.client.stream(options.path, query, signal))) {
      onAlive();
      if (event.type === 'ERROR') return null;
      version = event.object.metadata.resourceVersion;
      if (event.type === 'BOOKMARK') continue;
      options.onChange(event.type === 'DELETED' ? 'gone' : 'changed', event.object);
    }
  } catch (error) {
    if (isRefusal(error, 410)) return null;
    throw error;
  }
  return version;
}

async function* events<T>(stream: AsyncIterable<Buffer>): AsyncGenerator<WatchEvent<T>> {
  let rest: Buffer[] = [];
  for await (const chunk of stream) {
    let at = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, at)) {
      const line = Buffer.concat([...rest, chunk.subarray(at, end)]).toString();
      rest = [];
      at = end + 1;
      if (line !== '') yield JSON.parse(line) as WatchEvent<T>;
    }
    if (at < chunk.length) rest.push(chunk.subarray(at));
  }
}

function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.at(clock.now() + ms, done);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
