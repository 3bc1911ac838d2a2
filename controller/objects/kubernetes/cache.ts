import type { Kind, ObjectByKind } from '../../../crds/kinds.ts';
import type { ListFilter, StopWatch, WatchEvent } from '../../seams/objects.ts';
import type { Clock } from '../../seams/clock.ts';
import { copy } from './raw.ts';

/**
 * The present objects of one kind, fed by watches and by this process's own writes, whichever is first. The newer
 * resourceVersion wins (comparable since Kubernetes 1.35), so that neither undoes the other. Everything handed out is a
 * copy.
 */
export interface KindCache<K extends Kind> {
  get(namespace: string, name: string): ObjectByKind[K] | undefined;
  list(filter: ListFilter): ObjectByKind[K][];
  /** The object is, or was at its version, like this. */
  applied(object: ObjectByKind[K]): void;
  /** The object of this uid is gone. */
  deleted(namespace: string, name: string, uid: string): void;
  /** All that there was in `namespace` (null: in all) at `version`. What is missing here and not newer is gone. */
  replaced(objects: ObjectByKind[K][], namespace: string | null, version: string): void;
  /** Delivers what is there as Applied before it returns, then every change. */
  subscribe(handler: (event: WatchEvent<K>) => void): StopWatch;
}

/** A late answer of an own write may tell of an object that a watch has already seen go; no answer is later than this. */
const rememberGoneMs = 120_000;

export function createKindCache<K extends Kind>(clock: Clock, onError: (error: unknown) => void): KindCache<K> {
  const namespaces = new Map<string, Map<string, ObjectByKind[K]>>();
  const handlers = new Set<(event: WatchEvent<K>) => void>();
  const gone = new Map<string, number>();

  function tell(type: WatchEvent<K>['type'], object: ObjectByKind[K]): void {
    for (const handler of handlers) deliver(handler, type, object);
  }

  function deliver(
    handler: (event: WatchEvent<K>) => void,
    type: WatchEvent<K>['type'],
    object: ObjectByKind[K],
  ): void {
    try {
      handler({ type, object: copy(object) });
    } catch (error) {
      onError(error); // One bad handler must end neither the watch nor the write that told it.
    }
  }

  function applied(object: ObjectByKind[K]): void {
    const { namespace, name, uid, resourceVersion } = object.metadata;
    const before = namespaces.get(namespace)?.get(name);
    if (gone.has(uid) || (before && !isNewer(resourceVersion, before.metadata.resourceVersion))) return;
    if (before && before.metadata.uid !== uid) remove(before);
    if (!namespaces.has(namespace)) namespaces.set(namespace, new Map());
    namespaces.get(namespace)?.set(name, object);
    tell('Applied', object);
  }

  function remove(object: ObjectByKind[K]): void {
    const { namespace, name, uid } = object.metadata;
    gone.set(uid, clock.monotonic());
    const names = namespaces.get(namespace);
    names?.delete(name);
    if (names?.size === 0) namespaces.delete(namespace);
    tell('Deleted', object);
  }

  function* all(namespace: string | null): Generator<ObjectByKind[K]> {
    const wanted = namespace === null ? namespaces.values() : [namespaces.get(namespace) ?? new Map()];
    for (const names of wanted) yield* (names as Map<string, ObjectByKind[K]>).values();
  }

  return {
    get(namespace, name) {
      const object = namespaces.get(namespace)?.get(name);
      return object && copy(object);
    },
    list({ namespace, labels = {} }) {
      const wanted = Object.entries(labels);
      return [...all(namespace ?? null)]
        .filter(({ metadata }) => wanted.every(([label, value]) => metadata.labels[label] === value))
        .sort(byNamespaceAndName)
        .map(copy);
    },
    applied,
    deleted(namespace, name, uid) {
      gone.set(uid, clock.monotonic());
      const object = namespaces.get(namespace)?.get(name);
      if (object?.metadata.uid === uid) remove(object);
    },
    replaced(objects, namespace, version) {
      const present = new Set(objects.map(({ metadata }) => metadata.uid));
      for (const object of all(namespace)) {
        const { uid, resourceVersion } = object.metadata;
        if (!present.has(uid) && !isNewer(resourceVersion, version)) remove(object);
      }
      for (const object of objects) applied(object);
      const old = clock.monotonic() - rememberGoneMs;
      for (const [uid, at] of gone) if (at < old) gone.delete(uid);
    },
    subscribe(handler) {
      for (const object of all(null)) deliver(handler, 'Applied', object);
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
  };
}

/** By namespace, then name, as bytes. */
export function byNamespaceAndName(
  { metadata: a }: { metadata: { namespace: string; name: string } },
  { metadata: b }: { metadata: { namespace: string; name: string } },
): number {
  return compare(a.namespace, b.namespace) || compare(a.name, b.name);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Decimal integers without leading zeros, too long for a number. */
function isNewer(version: string, than: string): boolean {
  return version.length === than.length ? version > than : version.length > than.length;
}
