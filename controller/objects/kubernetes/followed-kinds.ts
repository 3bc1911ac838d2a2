import type { Logger } from 'pino';
import type { Kind } from '../../../crds/kinds.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import type { Clock } from '../../seams/clock.ts';
import { createKindCache, type KindCache } from './cache.ts';
import { toObject } from './raw.ts';
import { type Reflector, startReflector } from './reflector.ts';

/** The kinds that are watched, each with its cache and one watch per namespace (or one in all). */
export interface FollowedKinds {
  /** Starts the watches of a kind, once, and resolves when all of them run. */
  follow(kind: Kind): Promise<void>;
  cache<K extends Kind>(kind: K): KindCache<K> | undefined;
  /** Whether the cache may answer for the namespace; null: for all of them. */
  live(kind: Kind, namespace: string | null): boolean;
  /** Why some of them cannot be watched; empty when nothing is refused. */
  refusals(): string[];
  close(): void;
}

export function createFollowedKinds(options: {
  client: KubernetesClient;
  clock: Clock;
  log: Logger;
  namespaces: string[] | null;
}): FollowedKinds {
  const { client, clock, log, namespaces } = options;
  const followed = new Map<Kind, { cache: KindCache<Kind>; reflectors: Map<string | null, Reflector> }>();
  let closed = false;

  function start(kind: Kind) {
    const cache = createKindCache<Kind>(clock, (error) => log.error({ err: error, kind }, 'a watch handler threw'));
    const one = (namespace: string | null) =>
      startReflector({
        client,
        clock,
        log,
        kind,
        namespace,
        onList: (objects, version) =>
          cache.replaced(
            objects.map((raw) => toObject(kind, raw)),
            namespace,
            version,
          ),
        onChange(type, raw) {
          const { namespace, name, uid } = raw.metadata;
          if (type === 'gone') cache.deleted(namespace, name, uid);
          else cache.applied(toObject(kind, raw));
        },
      });
    const scopes: (string | null)[] = namespaces ?? [null];
    return { cache, reflectors: new Map(scopes.map((namespace) => [namespace, one(namespace)])) };
  }

  return {
    async follow(kind) {
      if (closed) throw new Error('the object store was closed');
      const entry = followed.get(kind) ?? start(kind);
      followed.set(kind, entry);
      await Promise.all([...entry.reflectors.values()].map(({ synced }) => synced));
    },
    cache<K extends Kind>(kind: K) {
      return followed.get(kind)?.cache as unknown as KindCache<K> | undefined;
    },
    live(kind, namespace) {
      const reflectors = followed.get(kind)?.reflectors;
      const reflector = reflectors?.get(null) ?? reflectors?.get(namespace);
      return reflector?.live() === true;
    },
    refusals: () =>
      [...followed.values()]
        .flatMap(({ reflectors }) => [...reflectors.values()])
        .flatMap((reflector) => reflector.refusal() ?? []),
    close() {
      closed = true;
      for (const { reflectors } of followed.values()) for (const reflector of reflectors.values()) reflector.stop();
      followed.clear();
    },
  };
}
