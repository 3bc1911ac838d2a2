import type { Logger } from 'pino';
import type { Kind } from '../../../crds/kinds.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { isRefusal, KubernetesError, statusOf } from '../../kubernetes/errors.ts';
import type { Clock } from '../../seams/clock.ts';
import { isExpired, isNotFound, notServed } from './errors.ts';
import { listAll } from './list.ts';
import { pathOf, type RawObject } from './raw.ts';

/** Follows the objects of one kind in one namespace (null: in all) until it is stopped, whatever the API server does. */
export interface Reflector {
  /** Resolves when the objects were listed for the first time. */
  synced: Promise<void>;
  /** Whether a watch runs on a complete list: nothing that others wrote is missing, but for what is on its way. */
  live(): boolean;
  /** Why the API server refuses to be watched, and what to do; null while it does not. */
  refusal(): string | null;
  stop(): void;
}

export interface ReflectorOptions {
  client: KubernetesClient;
  clock: Clock;
  log: Logger;
  kind: Kind;
  namespace: string | null;
  onList(objects: RawObject[], version: string): void;
  onApplied(object: RawObject): void;
  onDeleted(object: RawObject): void;
}

/** Everything is listed anew this often, so that no lost event, whoever lost it, is lost for long. */
const relistMs = 10 * 60_000;
/** The API server sends a bookmark about every minute, so that longer silence is a dead connection. */
const silenceMs = 150_000;
/** A trouble that comes back within this time is the same one. */
const quietMs = 30_000;
const firstPauseMs = 100;
const longestPauseMs = 10_000;

interface WatchLine {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: RawObject;
}

export function startReflector(options: ReflectorOptions): Reflector {
  const { client, clock, kind, namespace } = options;
  const log = options.log.child({ kind, ...(namespace === null ? {} : { namespace }) });
  const path = pathOf(kind, namespace);
  const stopped = new AbortController();
  const synced = Promise.withResolvers<void>();
  let live = false;
  let refusal: string | null = null;
  const told = new Map<string, number>();
  let broken = false;
  let early = 0;

  /** From a complete list to a watch that ended in good order, and where to go on. */
  async function follow(from: string | null, listedAt: number): Promise<{ version: string; listedAt: number }> {
    let version = from;
    let listed = listedAt;
    if (version === null || clock.monotonic() - listed >= relistMs) {
      const list = await listAll(client, path, {});
      listed = clock.monotonic();
      version = list.version;
      if (stopped.signal.aborted) return { version, listedAt: listed };
      options.onList(list.items, version);
    }
    const left = Math.max(1000, listed + relistMs - clock.monotonic());
    const chunks = await client.stream(
      path,
      { watch: true, resourceVersion: version, allowWatchBookmarks: true, timeoutSeconds: Math.ceil(left / 1000) },
      stopped.signal,
      silenceMs,
    );
    recovered();
    const since = clock.monotonic();
    let heard = false;
    for await (const line of lines(chunks)) {
      if (stopped.signal.aborted) break;
      version = take(JSON.parse(line) as WatchLine);
      heard = true;
    }
    // Something between here and the API server may end watches at once: asking again without a pause would be a storm.
    early = !heard && clock.monotonic() - since < 1000 ? early + 1 : 0;
    if (early > 2) throw new Error('watches are ended as soon as they begin');
    if (early > 0) await pause(early);
    return { version, listedAt: listed };
  }

  function take({ type, object }: WatchLine): string {
    if (type === 'ERROR') {
      const { code = 500 } = object as unknown as { code?: number };
      throw new KubernetesError('WATCH', path, statusOf(code, JSON.stringify(object), {}));
    }
    if (type === 'DELETED') options.onDeleted(object);
    else if (type !== 'BOOKMARK') options.onApplied(object);
    return object.metadata.resourceVersion;
  }

  function recovered(): void {
    live = true;
    refusal = null;
    synced.resolve();
    if (broken) log.info('the watch runs again');
    broken = false;
  }

  /** One line for each trouble, not for each try, nor for each time that a watch begins and breaks off again. */
  function failed(cause: unknown): void {
    live = false;
    refusal = isRefusal(cause, 403) ? `${cause.status.message}; give the controller its role back` : null;
    const missing = cause instanceof KubernetesError && cause.status.code === 404 && !isNotFound(cause);
    const error = missing ? notServed(kind, cause) : cause;
    const trouble = cause instanceof KubernetesError ? String(cause.status.code) : 'no answer';
    const now = clock.monotonic();
    const quiet = now - (told.get(trouble) ?? -Infinity) < quietMs;
    told.set(trouble, now);
    if (quiet) return;
    broken = true;
    log.warn({ err: error }, 'the watch broke off; it is started again, and until then reads go to the API server');
  }

  async function run(): Promise<void> {
    let version: string | null = null;
    let listedAt = 0;
    let failures = 0;
    while (!stopped.signal.aborted) {
      const begun = clock.monotonic();
      try {
        ({ version, listedAt } = await follow(version, listedAt));
        failures = 0;
      } catch (error) {
        if (stopped.signal.aborted) return;
        // What happened from here on is unknown, and only a new list proves what is there.
        version = null;
        const lasted = clock.monotonic() - begun;
        failures = lasted > longestPauseMs ? 1 : failures + 1;
        // Both are normal now and then, an API server that has just begun says 429.
        const normal = (isExpired(error) && failures === 1) || (isRefusal(error, 429) && failures < 4);
        if (normal) live = false;
        else failed(error);
        const asked = error instanceof KubernetesError ? (error.status.retryAfterMs ?? 0) : 0;
        await pause(failures, Math.min(asked, longestPauseMs));
      }
    }
  }

  async function pause(failures: number, atLeast = 0): Promise<void> {
    const longest = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(failures - 1, 10));
    const wait = Math.max(atLeast, longest * (0.5 + Math.random() / 2));
    await new Promise<void>((resolve) => {
      const cancel = clock.at(clock.now() + wait, resolve);
      stopped.signal.addEventListener('abort', () => (cancel(), resolve()), { once: true });
    });
  }

  synced.promise.catch(() => {}); // Whoever waits is told; nobody has to wait.
  const ended = run();
  ended.catch((error: unknown) => log.error({ err: error }, 'the watch ended'));
  return {
    synced: synced.promise,
    live: () => live,
    refusal: () => refusal,
    stop() {
      live = false;
      stopped.abort();
      synced.reject(new Error('the object store was closed'));
    },
  };
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
