import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Kind, ObjectByKind } from '../../crds/kinds.ts';
import { apiVersion } from '../../crds/metadata.ts';
import type { Clock } from '../seams/clock.ts';
import type { Draft, ObjectStore, WatchEvent } from '../seams/objects.ts';
import { ObjectConflict } from '../seams/objects.ts';

type AnyObject = ObjectByKind[Kind];
type Handler = (event: WatchEvent<Kind>) => void;

/** Desired state that lives as long as the process: for one-file runs and tests. */
export function createMemoryObjects(clock: Clock): ObjectStore {
  const objects = new Map<string, AnyObject>();
  const watchers = new Map<Handler, Kind>();
  let version = 0;

  function tell(type: 'Applied' | 'Deleted', object: AnyObject): void {
    for (const [handler, kind] of watchers) {
      if (kind === object.kind) handler({ type, object: structuredClone(object) });
    }
  }

  function write(object: AnyObject): AnyObject {
    version += 1;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } } as AnyObject;
    objects.set(keyOf(stored.kind, stored.metadata.namespace, stored.metadata.name), stored);
    tell('Applied', stored);
    return structuredClone(stored);
  }

  function add<K extends Kind>(draft: Draft<K>): ObjectByKind[K] {
    const { name, namespace, labels = {}, annotations = {} } = plain(draft.metadata);
    return write({
      apiVersion,
      kind: draft.kind,
      metadata: {
        name,
        namespace,
        uid: randomUUID(),
        resourceVersion: '0',
        generation: 1,
        creationTimestamp: new Date(clock.now()).toISOString(),
        labels,
        annotations,
      },
      spec: plain(draft.spec),
    } as AnyObject) as ObjectByKind[K];
  }

  /** Null when nothing differs. */
  function change<K extends Kind>(object: AnyObject, next: Pick<Draft<K>, 'spec'> & Texts): ObjectByKind[K] | null {
    const { labels, annotations } = next;
    const spec = plain(next.spec);
    const sameSpec = isDeepStrictEqual(object.spec, spec);
    const { metadata } = object;
    if (sameSpec && isDeepStrictEqual([metadata.labels, metadata.annotations], [labels, annotations])) return null;
    const generation = metadata.generation + (sameSpec ? 0 : 1);
    const changed = { ...object, metadata: { ...metadata, labels, annotations, generation }, spec } as AnyObject;
    return write(changed) as ObjectByKind[K];
  }

  return {
    async get<K extends Kind>(kind: K, namespace: string, name: string) {
      return structuredClone((objects.get(keyOf(kind, namespace, name)) as ObjectByKind[K] | undefined) ?? null);
    },
    async list<K extends Kind>(kind: K, filter: { namespace?: string; labels?: Record<string, string> } = {}) {
      const wanted = Object.entries(filter.labels ?? {});
      return [...objects.values()]
        .filter(
          ({ kind: k, metadata }) => k === kind && (filter.namespace ?? metadata.namespace) === metadata.namespace,
        )
        .filter(({ metadata }) => wanted.every(([label, value]) => metadata.labels[label] === value))
        .sort(
          (a, b) => compare(a.metadata.namespace, b.metadata.namespace) || compare(a.metadata.name, b.metadata.name),
        )
        .map((object) => structuredClone(object) as ObjectByKind[K]);
    },
    async create(draft) {
      const { namespace, name } = draft.metadata;
      if (!objects.has(keyOf(draft.kind, namespace, name))) return add(draft);
      throw new ObjectConflict('AlreadyExists', `${draft.kind} ${namespace}/${name} exists already`);
    },
    async apply<K extends Kind>(draft: Draft<K>, check?: (present: ObjectByKind[K] | null) => void) {
      const { name, namespace, labels = {}, annotations = {} } = plain(draft.metadata);
      const object = objects.get(keyOf(draft.kind, namespace, name));
      check?.(structuredClone((object as ObjectByKind[K] | undefined) ?? null));
      if (!object) return { object: add(draft), changed: true };
      const changed = change<K>(object, { spec: draft.spec, labels, annotations });
      return { object: changed ?? (structuredClone(object) as ObjectByKind[K]), changed: changed !== null };
    },
    async update<K extends Kind>(
      kind: K,
      namespace: string,
      name: string,
      decide: (
        object: ObjectByKind[K],
      ) => { spec?: ObjectByKind[K]['spec']; annotations?: Record<string, string> } | null,
    ) {
      const object = objects.get(keyOf(kind, namespace, name)) as ObjectByKind[K] | undefined;
      if (!object) throw new ObjectConflict('NotFound', `there is no ${kind} ${namespace}/${name}`);
      const decided = decide(structuredClone(object));
      if (decided === null) return structuredClone(object);
      const { spec = object.spec, annotations = object.metadata.annotations } = decided;
      return change<K>(object, { spec, annotations, labels: object.metadata.labels }) ?? structuredClone(object);
    },
    async writeStatus(kind, { namespace, name, uid }, status) {
      const object = objects.get(keyOf(kind, namespace, name));
      const next = plain(status);
      if (object?.metadata.uid === uid && !isDeepStrictEqual(object.status, next)) {
        write({ ...object, status: next });
      }
    },
    async delete(kind, namespace, name, uid) {
      const key = keyOf(kind, namespace, name);
      const object = objects.get(key);
      if (!object || (uid !== undefined && object.metadata.uid !== uid)) return false;
      objects.delete(key);
      tell('Deleted', object);
      return true;
    },
    async watch<K extends Kind>(kind: K, handler: (event: WatchEvent<K>) => void) {
      const own: Handler = (event) => handler(event as WatchEvent<K>);
      for (const object of objects.values()) {
        if (object.kind === kind) own({ type: 'Applied', object: structuredClone(object) });
      }
      watchers.set(own, kind);
      return () => void watchers.delete(own);
    },
  };
}

interface Texts {
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

function keyOf(kind: string, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}

/** As JSON holds it: a copy, without undefined members. */
function plain<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
