import type { Kind } from '../../../crds/kinds.ts';
import { isRefusal, KubernetesError, type RefusedStatus } from '../../kubernetes/errors.ts';
import { ObjectConflict, ObjectRefused } from '../../seams/objects.ts';

/** The object or its namespace is not there. A kind that is not served answers 404, too, but names nothing. */
export function isNotFound(error: unknown): error is KubernetesError {
  return isRefusal(error, 404) && error.status.about !== null;
}

/** Another writer was first, or the object of that uid is gone. */
export function isConflict(error: unknown): error is KubernetesError {
  return isRefusal(error, 409) && error.status.reason !== 'AlreadyExists';
}

/** A `test` of a JSON patch did not hold. The API server says it with an answer that names no field. */
export function isFailedTest(error: unknown): boolean {
  return isRefusal(error, 422) && error.status.causes.length === 0;
}

/**
 * The error of the seam for an error of the API: a conflict, a refusal that only a person can lift, or (connection,
 * overload, a server's fault) the error itself, which is worth trying again.
 */
export function seamError(error: unknown, verb: string, kind: Kind, namespace: string, name: string): unknown {
  if (!(error instanceof KubernetesError)) return error;
  const what = `${kind} ${namespace}/${name}`;
  const answer = error.status;
  const status = answer.code;
  if (status === 409) {
    if (answer.reason === 'AlreadyExists') return new ObjectConflict('AlreadyExists', `${what} exists already`);
    return new ObjectConflict('Conflict', `${what} was changed by another writer`);
  }
  if (status === 404) {
    if (!isNotFound(error)) return notServed(kind, error);
    const missing = answer.about?.kind === 'namespaces' ? `namespace ${namespace}` : what;
    return new ObjectConflict('NotFound', `there is no ${missing}`);
  }
  if (status === 403) return new ObjectRefused('Forbidden', `cannot ${verb} ${what}: ${answer.message}`, error);
  if (isInvalid(answer)) return new ObjectRefused('Invalid', `cannot ${verb} ${what}: ${brief(answer)}`, error);
  return error;
}

/** The kind itself is missing: no CRDs, or older ones than this program's. */
export function notServed(kind: Kind, cause: unknown): Error {
  return new Error(`the cluster does not serve ${kind} of windlass.dev/v1alpha1; install the CRDs of this version`, {
    cause,
  });
}

function isInvalid({ code, message }: RefusedStatus): boolean {
  // An unknown field in a server-side apply is answered with 500 (seen on 1.35).
  const undeclared = code === 500 && message.includes('field not declared in schema');
  return code === 400 || code === 413 || code === 422 || undeclared;
}

/** Without the whole object, which the API server repeats when a patch holds an unknown field. */
function brief({ message }: RefusedStatus): string {
  const at = message.indexOf('strict decoding error');
  return at < 0 ? message : message.slice(at);
}
