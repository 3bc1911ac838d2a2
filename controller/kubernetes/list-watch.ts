import { type Clock, pause } from '../seams/clock.ts';
import { NamespaceTerminating } from './absent-namespaces.ts';
import type { KubernetesClient, Query } from './client.ts';
import { isRefusal, KubernetesError, statusOf } from './errors.ts';
import { type Listed, listAll } from './list.ts';

export interface ListWatchOptions<T extends Listed> {
  client: KubernetesClient;
  /** Of the collection: `/api/v1/pods`. */
  path: string;
  query?: Query;
  clock: Clock;
  /** Everything there was at `version`: at the start, and whenever events may have been missed. */
  onList: (objects: T[], version: string) => void;
  /** One object has changed, or has gone: then as it was last. */
  onChange: (type: 'changed' | 'gone', object: T) => void;
  /**
   * A watch runs on a complete list: nothing is missing, but for what is on its way. May be said again. Also while
   * nobody may look, in a namespace on its way out: what was known stands, and before the first list that is nothing.
   */
  onWatching?: () => void;
  /** Nothing more is seen until the watch runs again, which is tried. `normal`: as it happens now and then, and passes. */
  onError?: (error: unknown, normal: boolean) => void;
  signal: AbortSignal;
}

/** Everything is listed anew this often, so that no lost event, whoever lost it, is lost for long. */
const relistMs = 10 * 60_000;
/** The API server sends a bookmark about every minute, so that longer silence is a dead connection. */
const silenceMs = 150_000;
const firstPauseMs = 100;
const longestPauseMs = 10_000;

interface WatchLine<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: T;
}

/** Lists, watches from there, and goes on until the signal aborts: through restarts of the API server, cut connections and lost history (410). */
export async function listWatch<T extends Listed>(options: ListWatchOptions<T>): Promise<void> {
  const { client, path, query = {}, clock, signal } = options;
  let version: string | null = null;
  let relistAt = 0;
  let failures = 0;
  let early = 0;
  let listed = false;
  while (!signal.aborted) {
    const begun = clock.monotonic();
    try {
      if (version === null || begun >= relistAt) {
        const list = await listAll<T>(client, path, { query, signal });
        if (signal.aborted) return;
        relistAt = clock.monotonic() + relistMs;
        version = list.version;
        listed = true;
        options.onList(list.items, version);
      }
      const watchedAt = clock.monotonic();
      const heard: string | null = await watch(options, version, relistAt - watchedAt);
      version = heard ?? version;
      // Something between here and the API server may end watches at once: asking again without a pause would be a storm.
      early = heard === null && clock.monotonic() - watchedAt < 1000 ? early + 1 : 0;
      if (early > 2) throw new Error('watches are ended as soon as they begin');
      if (early > 0) await pause(clock, backoff(early), signal);
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      // What happened from here on is unknown, and only a new list proves what is there.
      version = null;
      failures = clock.monotonic() - begun > longestPauseMs ? 1 : failures + 1;
      if (error instanceof NamespaceTerminating) {
        // Nobody could know more: what was known stands, and whoever waits for a first list goes on without this one.
        if (!listed) options.onList([], error.version);
        listed = true;
        options.onWatching?.();
        await pause(clock, backoff(failures), signal);
        continue;
      }
      // An API server that has just begun says 429.
      const normal = (isRefusal(error, 410) && failures === 1) || (isRefusal(error, 429) && failures < 4);
      options.onError?.(error, normal);
      const asked = error instanceof KubernetesError ? (error.status.retryAfterMs ?? 0) : 0;
      await pause(clock, Math.max(Math.min(asked, longestPauseMs), backoff(failures)), signal);
    }
  }
}

/** Until the watch ends in good order, after `ms` at the latest. Resolves with the version to go on from; null when nothing was heard. */
async function watch<T extends Listed>(options: ListWatchOptions<T>, from: string, ms: number): Promise<string | null> {
  const { client, path, query, signal } = options;
  const timeoutSeconds = Math.max(1, Math.ceil(ms / 1000));
  const asked = { ...query, watch: true, resourceVersion: from, allowWatchBookmarks: true, timeoutSeconds };
  const chunks = await client.stream(path, asked, signal, silenceMs);
  options.onWatching?.();
  let version: string | null = null;
  for await (const line of lines(chunks)) {
    if (signal.aborted) break;
    const { type, object } = JSON.parse(line) as WatchLine<T>;
    if (type === 'ERROR') {
      const { code = 500 } = object as { code?: number };
      throw new KubernetesError('WATCH', path, statusOf(code, JSON.stringify(object), {}));
    }
    if (type !== 'BOOKMARK') options.onChange(type === 'DELETED' ? 'gone' : 'changed', object);
    version = object.metadata.resourceVersion;
  }
  return version;
}

async function* lines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest: string[] = [];
  for await (const chunk of chunks) {
    const [first = '', ...more] = decoder.decode(chunk, { stream: true }).split('\n');
    rest.push(first);
    for (const next of more) {
      const line = rest.join('');
      rest = [next];
      if (line !== '') yield line;
    }
  }
}

/** With chance in it: not all replicas at once when the API server is back. */
function backoff(failures: number): number {
  return Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(failures - 1, 10)) * (0.5 + Math.random() / 2);
}
