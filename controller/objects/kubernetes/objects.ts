import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { type Kind, kinds, type ObjectByKind } from '../../../crds/kinds.ts';
import { apiVersion } from '../../../crds/metadata.ts';
import { NamespaceTerminating } from '../../kubernetes/absent-namespaces.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { isRefusal } from '../../kubernetes/errors.ts';
import type { FieldManagers } from '../../kubernetes/field-managers.ts';
import { listAll } from '../../kubernetes/list.ts';
import type { Clock } from '../../seams/clock.ts';
import { ObjectConflict, type Draft, type ListFilter, type ObjectStore, type WatchEvent } from '../../seams/objects.ts';
import { serverSideApply } from './apply.ts';
import { byNamespaceAndName } from './cache.ts';
import { isConflict, isFailedTest, isNotFound, notServed, seamError } from './errors.ts';
import { createFollowedKinds } from './followed-kinds.ts';
import { createLatestWins } from './latest-wins.ts';
import { copy, lastApplied, pathOf, type RawObject, toObject } from './raw.ts';

export interface KubernetesObjectsOptions {
  client: KubernetesClient;
  /** Owner of the fields that this store writes: one name, or that of whoever writes the kind. */
  fieldManager: string | Readonly<Record<Kind, FieldManagers>>;
  /** Where to look; null or left out: in the whole cluster. */
  namespaces?: string[] | null;
  clock: Clock;
  log: Logger;
}

export interface KubernetesObjects extends ObjectStore {
  /** Starts a watch on every kind and resolves when all of them run, however long the API server takes. */
  ready(): Promise<void>;
  /** Why kinds cannot be watched at present, and what to do; empty when the API server refuses nothing. */
  refusals(): string[];
  /** Ends all watches. */
  close(): void;
}

/**
 * Desired state in the Kubernetes API.
 *
 * Until a kind is watched (`watch`, `ready`) each read is a request. From then on reads are answered from memory, never
 * older than what this store itself wrote, and as new as the watch in what others wrote; that an object is not there is
 * always said by the API server. While a watch is broken, reads are requests again. `update` and `apply` read from the
 * API server always.
 */
export function createKubernetesObjects(options: KubernetesObjectsOptions): KubernetesObjects {
  const { client, fieldManager, namespaces = null, clock, log } = options;
  const followed = createFollowedKinds({ client, clock, log, namespaces });

  /** Whose write it is, and that a field which the kind does not have is refused. */
  function writing(kind: Kind, part: keyof FieldManagers): { fieldManager: string; fieldValidation: 'Strict' } {
    const manager = typeof fieldManager === 'string' ? fieldManager : fieldManager[kind][part];
    return { fieldManager: manager, fieldValidation: 'Strict' };
  }

  /** Keeps an answer of the API server to an own write. */
  function wrote<K extends Kind>(kind: K, raw: RawObject): ObjectByKind[K] {
    const object = toObject(kind, raw);
    followed.cache(kind)?.applied(object);
    return copy(object);
  }

  async function fetch(kind: Kind, namespace: string, name: string): Promise<RawObject | null> {
    try {
      return await client.request<RawObject>('GET', pathOf(kind, namespace, name));
    } catch (error) {
      if (isNotFound(error)) return null;
      throw seamError(error, 'get', kind, namespace, name);
    }
  }

  const status = createLatestWins<{ kind: Kind; namespace: string; name: string; uid: string; status: object }>(
    async ({ kind, namespace, name, uid, status: value }) => {
      const next = copy(value);
      if (followed.live(kind, namespace)) {
        const known = followed.cache(kind)?.get(namespace, name);
        if (known?.metadata.uid === uid && isDeepStrictEqual(known.status, next)) return;
      }
      try {
        // Replaced whole, not applied: what anybody else wrote into a status would stay otherwise.
        const raw = await client.request<RawObject>('PATCH', `${pathOf(kind, namespace, name)}/status`, {
          query: writing(kind, 'status'),
          contentType: 'application/json-patch+json',
          body: [
            { op: 'test', path: '/metadata/uid', value: uid },
            { op: 'add', path: '/status', value: next },
          ],
        });
        wrote(kind, raw);
      } catch (error) {
        if (!isNotFound(error) && !isFailedTest(error))
          throw seamError(error, 'write the status of', kind, namespace, name);
      }
    },
  );

  return {
    async get<K extends Kind>(kind: K, namespace: string, name: string) {
      const known = followed.live(kind, namespace) ? followed.cache(kind)?.get(namespace, name) : undefined;
      if (known) return known;
      const raw = await fetch(kind, namespace, name);
      return raw && toObject(kind, raw);
    },
    async list<K extends Kind>(kind: K, filter: ListFilter = {}) {
      const wanted = filter.namespace === undefined ? (namespaces ?? [null]) : [filter.namespace];
      const cache = followed.cache(kind);
      if (cache && wanted.every((namespace) => followed.live(kind, namespace))) return cache.list(filter);
      const selector = Object.entries(filter.labels ?? {}).map(([label, value]) => `${label}=${value}`);
      const query = selector.length === 0 ? {} : { labelSelector: selector.join(',') };
      const lists = await Promise.all(
        wanted.map(async (namespace) => {
          try {
            const { items } = await listAll<RawObject>(client, pathOf(kind, namespace), { query });
            return items.map((raw) => toObject(kind, raw));
          } catch (error) {
            // Nobody could know more: what was known stands.
            if (error instanceof NamespaceTerminating) {
              return cache?.list({ ...filter, namespace: error.namespace }) ?? [];
            }
            if (isRefusal(error, 404)) throw notServed(kind, error);
            throw seamError(error, 'list', kind, namespace ?? '*', '*');
          }
        }),
      );
      return lists.flat().sort(byNamespaceAndName);
    },
    async create<K extends Kind>(draft: Draft<K>) {
      const { kind, metadata, spec } = draft;
      try {
        const raw = await client.request<RawObject>('POST', pathOf(kind, metadata.namespace), {
          query: writing(kind, 'object'),
          body: { apiVersion, kind, metadata, spec },
        });
        return wrote(kind, raw);
      } catch (error) {
        throw seamError(error, 'create', kind, metadata.namespace, metadata.name);
      }
    },
    async apply<K extends Kind>(draft: Draft<K>, check?: (present: ObjectByKind[K] | null) => void) {
      const { kind, metadata } = draft;
      try {
        const { object, changed } = await serverSideApply(
          client,
          writing(kind, 'object').fieldManager,
          draft,
          check && ((raw) => check(raw && toObject(kind, raw))),
        );
        return { object: changed ? wrote(kind, object) : toObject(kind, object), changed };
      } catch (error) {
        throw seamError(error, 'apply', kind, metadata.namespace, metadata.name);
      }
    },
    async update<K extends Kind>(
      kind: K,
      namespace: string,
      name: string,
      change: (
        object: ObjectByKind[K],
      ) => { spec?: ObjectByKind[K]['spec']; annotations?: Record<string, string> } | null,
    ) {
      for (;;) {
        const raw = await fetch(kind, namespace, name);
        if (!raw) throw new ObjectConflict('NotFound', `there is no ${kind} ${namespace}/${name}`);
        const object = toObject(kind, raw);
        const changed = change(copy(object));
        const spec = changed?.spec === undefined ? object.spec : copy(changed.spec);
        const annotations = copy(changed?.annotations ?? object.metadata.annotations);
        if (isDeepStrictEqual([spec, annotations], [object.spec, object.metadata.annotations])) return object;
        const notes = raw.metadata.annotations?.[lastApplied];
        if (notes !== undefined) annotations[lastApplied] = notes;
        try {
          const path = pathOf(kind, namespace, name);
          const body = { ...raw, metadata: { ...raw.metadata, annotations }, spec };
          return wrote(kind, await client.request<RawObject>('PUT', path, { query: writing(kind, 'object'), body }));
        } catch (error) {
          // Another writer was first; that the object is gone is found out by reading it again.
          if (!isConflict(error) && !isNotFound(error)) throw seamError(error, 'update', kind, namespace, name);
        }
      }
    },
    async writeStatus(kind, key, value) {
      const { namespace, name, uid } = key;
      await status(uid, { kind, namespace, name, uid, status: value });
    },
    async delete(kind, namespace, name, uid) {
      try {
        const answer = await client.request<RawObject | { kind: 'Status'; details: { uid: string } }>(
          'DELETE',
          pathOf(kind, namespace, name),
          {
            body: {
              apiVersion: 'v1',
              kind: 'DeleteOptions',
              propagationPolicy: 'Background',
              ...(uid === undefined ? {} : { preconditions: { uid } }),
            },
          },
        );
        // With finalizers it is still there, and says since when it is to go.
        if ('metadata' in answer && 'spec' in answer) wrote(kind, answer);
        else if ('details' in answer) followed.cache(kind)?.deleted(namespace, name, answer.details.uid);
        return true;
      } catch (error) {
        if (isNotFound(error) || isConflict(error)) return false;
        throw seamError(error, 'delete', kind, namespace, name);
      }
    },
    async watch<K extends Kind>(kind: K, handler: (event: WatchEvent<K>) => void) {
      await followed.follow(kind);
      const cache = followed.cache(kind);
      if (!cache) throw new Error('the object store was closed');
      return cache.subscribe(handler);
    },
    async ready() {
      await Promise.all((Object.keys(kinds) as Kind[]).map((kind) => followed.follow(kind)));
    },
    refusals: () => followed.refusals(),
    close() {
      followed.close();
    },
  };
}
