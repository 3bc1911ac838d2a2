/** The key of an object in a loop: `namespace/name`. */
export function keyOf(object: { metadata: { namespace: string; name: string } }): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

/** Takes `namespace/name` apart. */
export function splitKey(key: string): [namespace: string, name: string] {
  const slash = key.indexOf('/');
  return [key.slice(0, slash), key.slice(slash + 1)];
}

/** Annotation by which somebody asks for a reconcile now; its value is answered in `status.lastHandledReconcileAt`. */
export const requestedAt = 'windlass.dev/requestedAt';
