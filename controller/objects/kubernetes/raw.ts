import type { Kind, ObjectByKind } from '../../../crds/kinds.ts';
import { kinds } from '../../../crds/kinds.ts';
import { apiVersion, type ObjectMeta } from '../../../crds/metadata.ts';

/** Who owns which fields, as the API server keeps it. */
export interface ManagedFields {
  manager?: string;
  operation?: string;
  subresource?: string;
  fieldsV1?: Record<string, unknown>;
}

/** An object as the API server gives it. */
export interface RawObject {
  apiVersion: string;
  kind: string;
  metadata: Omit<ObjectMeta, 'labels' | 'annotations'> & {
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    managedFields?: ManagedFields[];
  };
  spec: Record<string, unknown>;
  status?: Record<string, unknown>;
}

/** kubectl's own notes: the whole object once more. Never shown, never lost. */
export const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** The object as every store gives it. */
export function toObject<K extends Kind>(kind: K, raw: RawObject): ObjectByKind[K] {
  const { metadata } = raw;
  const { [lastApplied]: _, ...annotations } = metadata.annotations ?? {};
  return {
    apiVersion,
    kind,
    metadata: {
      name: metadata.name,
      namespace: metadata.namespace,
      uid: metadata.uid,
      resourceVersion: metadata.resourceVersion,
      generation: metadata.generation,
      creationTimestamp: metadata.creationTimestamp,
      ...(metadata.deletionTimestamp === undefined ? {} : { deletionTimestamp: metadata.deletionTimestamp }),
      labels: metadata.labels ?? {},
      annotations,
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
    },
    spec: raw.spec,
    ...(raw.status === undefined ? {} : { status: raw.status }),
  } as unknown as ObjectByKind[K];
}

/** The path of a kind in a namespace (null: in all of them), or of one object in it. */
export function pathOf(kind: Kind, namespace: string | null, name?: string): string {
  const scope = namespace === null ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  const object = name === undefined ? '' : `/${encodeURIComponent(name)}`;
  return `/apis/${apiVersion}${scope}/${kinds[kind].plural}${object}`;
}

/** A copy, without members that are undefined, as JSON has none. */
export function copy<T>(value: T): T {
  if (Array.isArray(value)) return value.map((item: unknown) => copy(item)) as T;
  if (typeof value !== 'object' || value === null) return value;
  // Not by assignment: a member may be named __proto__.
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([key, member]) => [key, copy<unknown>(member)])) as T;
}
