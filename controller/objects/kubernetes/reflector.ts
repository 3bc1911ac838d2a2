import type { Logger } from 'pino';
import type { Kind } from '../../../crds/kinds.ts';
import { isRefusal, KubernetesError } from '../../kubernetes/errors.ts';
import { listWatch, type ListWatchOptions } from '../../kubernetes/list-watch.ts';
import { isNotFound, notServed } from './errors.ts';
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

export interface ReflectorOptions
  extends Pick<ListWatchOptions<RawObject>, 'client' | 'clock' | 'onList' | 'onChange'> {
  log: Logger;
  kind: Kind;
  namespace: string | null;
}

/** A trouble that comes back within this time is the same one. */
const quietMs = 30_000;

export function startReflector(options: ReflectorOptions): Reflector {
  const { client, clock, kind, namespace, onList, onChange } = options;
  const log = options.log.child({ kind, ...(namespace === null ? {} : { namespace }) });
  const stopped = new AbortController();
  const synced = Promise.withResolvers<void>();
  let live = false;
  let refusal: string | null = null;
  const told = new Map<string, number>();
  let broken = false;

  function onWatching(): void {
    live = true;
    refusal = null;
    synced.resolve();
    if (broken) log.info('the watch runs again');
    broken = false;
  }

  /** One line for each trouble, not for each try, nor for each time that a watch begins and breaks off again. */
  function onError(cause: unknown, normal: boolean): void {
    live = false;
    if (normal) return;
    refusal = isRefusal(cause, 403) ? `${cause.status.message}; give the controller its role back` : null;
    const missing = isRefusal(cause, 404) && !isNotFound(cause);
    const error = missing ? notServed(kind, cause) : cause;
    const trouble = cause instanceof KubernetesError ? String(cause.status.code) : 'no answer';
    const now = clock.monotonic();
    const quiet = now - (told.get(trouble) ?? -Infinity) < quietMs;
    told.set(trouble, now);
    if (quiet) return;
    broken = true;
    log.warn({ err: error }, 'the watch broke off; it is started again, and until then reads go to the API server');
  }

  synced.promise.catch(() => {}); // Whoever waits is told; nobody has to wait.
  const path = pathOf(kind, namespace);
  const { signal } = stopped;
  const ended = listWatch<RawObject>({ client, clock, path, onList, onChange, onWatching, onError, signal });
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
