import type { Logger } from 'pino';
import type { Clock } from '../seams/clock.ts';
import type { KubernetesClient } from './client.ts';
import { isRefusal } from './errors.ts';
import type { Listed } from './list.ts';
import { listWatch } from './list-watch.ts';

/** As much of a Namespace as matters here. */
export interface NamespaceObject extends Listed {
  metadata: Listed['metadata'] & { labels?: Record<string, string>; deletionTimestamp?: string };
}

/** The Namespaces of a cluster, followed. */
export interface Namespaces {
  /** As it is; null: there is none. What the watch does not have is asked of the API server. @throws KubernetesError */
  get(name: string): Promise<NamespaceObject | null>;
  /** Calls with the name of each that has come, gone, or changed. Returns how to stop. */
  watch(handler: (name: string) => void): () => void;
  /** Why they cannot be followed, and what to do; empty while nothing is refused. */
  problems(): string[];
  /** Which of those that are followed by name are gone or going, and what to do. */
  absences(): string[];
  stop(): void;
}

export interface NamespacesOptions {
  client: KubernetesClient;
  /** Those that are followed; null: all. */
  names: readonly string[] | null;
  clock: Clock;
  log: Logger;
}

/** Begins to follow them: one watch in all, or one of each name, as then nobody may list the others. */
export function followNamespaces({ client, names, clock, log }: NamespacesOptions): Namespaces {
  const stopped = new AbortController();
  const handlers = new Set<(name: string) => void>();
  const present = new Map<string, NamespaceObject>();
  /** By scope: whether a watch runs on a complete list, or why it may not. */
  const scopes = new Map<string | null, { live: boolean; refusal: string | null }>();
  /** What was said of each that is followed by name and is not there. */
  const absent = new Map<string, string>();

  function tell(name: string): void {
    for (const handler of handlers) handler(name);
  }

  function put(object: NamespaceObject): void {
    const { name, resourceVersion } = object.metadata;
    const before = present.get(name);
    present.set(name, object);
    if (before?.metadata.resourceVersion !== resourceVersion) tell(name);
  }

  function remove(name: string): void {
    if (present.delete(name)) tell(name);
  }

  /** Says once that a namespace which is to be served is not there, and that it is back. */
  function look(name: string): void {
    const object = present.get(name);
    if (object && object.metadata.deletionTimestamp === undefined) {
      if (absent.delete(name)) log.info({ namespace: name }, 'the namespace is there');
      return;
    }
    const how = object ? 'is being deleted' : 'does not exist';
    const message = `namespace ${name} ${how}; nothing is served in it until it and the controller's role there are back`;
    if (absent.get(name) !== message) log.warn({ namespace: name }, message);
    absent.set(name, message);
  }

  function follow(scope: string | null): void {
    const state: { live: boolean; refusal: string | null } = { live: false, refusal: null };
    scopes.set(scope, state);
    const ended = listWatch<NamespaceObject>({
      client,
      path: '/api/v1/namespaces',
      query: scope === null ? {} : { fieldSelector: `metadata.name=${scope}` },
      clock,
      onList(objects) {
        const listed = new Set(objects.map(({ metadata }) => metadata.name));
        for (const name of present.keys()) if ((scope ?? name) === name && !listed.has(name)) remove(name);
        for (const object of objects) put(object);
        if (scope !== null) look(scope);
      },
      onChange(type, object) {
        if (type === 'gone') remove(object.metadata.name);
        else put(object);
        if (scope !== null) look(scope);
      },
      onWatching() {
        Object.assign(state, { live: true, refusal: null });
      },
      onError(error, normal) {
        state.live = false;
        if (normal) return;
        const refusal = isRefusal(error, 403) ? `${error.status.message}; give the controller its role back` : null;
        if (refusal !== null && state.refusal === null) log.warn({ reason: refusal }, 'namespaces cannot be followed');
        state.refusal = refusal;
      },
      signal: stopped.signal,
    });
    ended.catch((error: unknown) => log.error({ err: error }, 'the watch of namespaces ended'));
  }

  for (const scope of names ?? [null]) follow(scope);
  return {
    async get(name) {
      const known = (scopes.get(null) ?? scopes.get(name))?.live === true ? present.get(name) : undefined;
      if (known) return known;
      try {
        return await client.request<NamespaceObject>('GET', `/api/v1/namespaces/${encodeURIComponent(name)}`);
      } catch (error) {
        if (isRefusal(error, 404)) return null;
        throw error;
      }
    },
    watch(handler) {
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
    problems: () => [...scopes.values()].flatMap(({ refusal }) => refusal ?? []),
    absences: () => [...absent.values()],
    stop: () => stopped.abort(),
  };
}
