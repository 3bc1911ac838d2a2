import { isDeepStrictEqual } from 'node:util';
import type { Kind } from '../../../crds/kinds.ts';
import { apiVersion } from '../../../crds/metadata.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { isRefusal } from '../../kubernetes/errors.ts';
import type { Draft } from '../../seams/objects.ts';
import { isNotFound } from './errors.ts';
import { copy, type ManagedFields, pathOf, type RawObject } from './raw.ts';

/**
 * Server-side apply by one field manager. What the draft says becomes so, and what this manager said before and the
 * draft does not say any more goes; labels, annotations and fields of others stay, as everywhere in Kubernetes. `check`
 * sees exactly what is replaced (null: nothing), and refuses by throwing.
 */
export async function serverSideApply(
  client: KubernetesClient,
  fieldManager: string,
  draft: Draft<Kind>,
  check?: (present: RawObject | null) => void,
): Promise<{ object: RawObject; changed: boolean }> {
  const { namespace, name, labels = {}, annotations = {} } = draft.metadata;
  const path = pathOf(draft.kind, namespace, name);
  const wanted = { labels: copy(labels), annotations: copy(annotations), spec: copy<unknown>(draft.spec) };
  const write = { fieldManager, fieldValidation: 'Strict' };
  for (;;) {
    let before = await find(client, path);
    check?.(before);
    if (before && says(before, wanted, ownFields(before, fieldManager))) return { object: before, changed: false };
    try {
      if (before) before = await adopt(client, path, before, fieldManager);
      const body = {
        apiVersion,
        kind: draft.kind,
        metadata: {
          name,
          namespace,
          labels: wanted.labels,
          annotations: wanted.annotations,
          // What was checked is what is replaced.
          ...(check && before ? { resourceVersion: before.metadata.resourceVersion } : {}),
        },
        spec: wanted.spec,
      };
      const object =
        check && !before // An apply could not say that nothing must be there.
          ? await client.request<RawObject>('POST', pathOf(draft.kind, namespace), { query: write, body })
          : await client.request<RawObject>('PATCH', path, {
              query: { ...write, force: true },
              contentType: 'application/apply-patch+yaml',
              body,
            });
      return { object, changed: object.metadata.resourceVersion !== before?.metadata.resourceVersion };
    } catch (error) {
      // Another writer got on in between: look again.
      if (!isRefusal(error, 409)) throw error;
    }
  }
}

async function find(client: KubernetesClient, path: string): Promise<RawObject | null> {
  try {
    return await client.request<RawObject>('GET', path);
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

interface Wanted {
  labels: Record<string, string>;
  annotations: Record<string, string>;
  spec: unknown;
}

/** Whether the object says all that is wanted, and nothing of ours beyond it. */
function says(
  { metadata, spec }: RawObject,
  wanted: Wanted,
  own: { labels: string[]; annotations: string[] },
): boolean {
  if (!isDeepStrictEqual(spec, wanted.spec)) return false;
  return (['labels', 'annotations'] as const).every(
    (texts) =>
      Object.entries(wanted[texts]).every(([key, value]) => metadata[texts]?.[key] === value) &&
      own[texts].every((key) => wanted[texts][key] !== undefined),
  );
}

/** The labels and annotations that this manager wrote. */
function ownFields({ metadata }: RawObject, manager: string): { labels: string[]; annotations: string[] } {
  const own = (metadata.managedFields ?? []).filter((entry) => entry.manager === manager);
  const names = (texts: string) =>
    own.flatMap(({ fieldsV1 }) => {
      const fields = (fieldsV1?.['f:metadata'] ?? {}) as Record<string, Record<string, unknown>>;
      return Object.keys(fields[texts] ?? {}).flatMap((key) => (key.startsWith('f:') ? [key.slice(2)] : []));
    });
  return { labels: names('f:labels'), annotations: names('f:annotations') };
}

/**
 * What `create` and `update` wrote is owned by the same name but another operation, and an apply would never take it
 * away. It is moved to the apply first, as kubectl does on the way from client-side apply.
 */
async function adopt(client: KubernetesClient, path: string, object: RawObject, manager: string): Promise<RawObject> {
  const mine = (entry: ManagedFields, operation: string) =>
    entry.manager === manager && entry.operation === operation && !entry.subresource;
  const all = object.metadata.managedFields ?? [];
  const updates = all.filter((entry) => mine(entry, 'Update'));
  if (updates.length === 0) return object;
  const applied = all.find((entry) => mine(entry, 'Apply'));
  const [first, ...more] = applied ? [applied, ...updates] : updates;
  const fieldsV1 = more.reduce((union, entry) => merge(union, entry.fieldsV1 ?? {}), first?.fieldsV1 ?? {});
  const managedFields = [
    ...all.filter((entry) => entry !== applied && !updates.includes(entry)),
    { ...first, operation: 'Apply', fieldsV1 },
  ];
  return client.request<RawObject>('PUT', path, {
    query: { fieldManager: manager },
    body: { ...object, metadata: { ...object.metadata, managedFields } },
  });
}

/** Sets of fields are trees of names. */
function merge(a: Record<string, unknown>, b: Record<string, unknown>): Record<string, unknown> {
  const out = { ...a };
  for (const [key, value] of Object.entries(b)) {
    out[key] = merge((out[key] ?? {}) as Record<string, unknown>, value as Record<string, unknown>);
  }
  return out;
}
