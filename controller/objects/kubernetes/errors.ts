import type { Kind } from '../../../crds/kinds.ts';
import { ObjectConflict, ObjectRefused } from '../../seams/objects.ts';

/** What the API server answers instead of an object. */
export interface Status {
  reason?: string;
  message?: string;
  code?: number;
  details?: { name?: string; kind?: string; causes?: unknown[] };
}

/** The API server answered, and the answer is no. */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: number;
  readonly answer: Status;
  constructor(status: number, answer: Status) {
    super(`${status} ${answer.reason ?? ''}: ${answer.message ?? 'no message'}`.replace(' :', ':'));
    this.status = status;
    this.answer = answer;
  }
}

/** The object or its namespace is not there. A kind that is not served answers 404, too, but names nothing. */
export function isNotFound(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 404 && error.answer.details?.name !== undefined;
}

/** Another writer was first, or the object of that uid is gone. */
export function isConflict(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 409 && error.answer.reason !== 'AlreadyExists';
}

/** The history before this instant is gone: only a new list helps. */
export function isExpired(error: unknown): boolean {
  return error instanceof ApiError && error.status === 410;
}

/** A `test` of a JSON patch did not hold. The API server says it with an answer that names no field. */
export function isFailedTest(error: unknown): boolean {
  return error instanceof ApiError && error.status === 422 && error.answer.details?.causes === undefined;
}

/**
 * The error of the seam for an error of the API: a conflict, a refusal that only a person can lift, or (connection,
 * overload, a server's fault) the error itself, which is worth trying again.
 */
export function seamError(error: unknown, verb: string, kind: Kind, namespace: string, name: string): unknown {
  if (!(error instanceof ApiError)) return error;
  const what = `${kind} ${namespace}/${name}`;
  const { status, answer } = error;
  if (status === 409) {
    if (answer.reason === 'AlreadyExists') return new ObjectConflict('AlreadyExists', `${what} exists already`);
    return new ObjectConflict('Conflict', `${what} was changed by another writer`);
  }
  if (status === 404) {
    if (!isNotFound(error)) return notServed(kind, error);
    const missing = answer.details?.kind === 'namespaces' ? `namespace ${namespace}` : what;
    return new ObjectConflict('NotFound', `there is no ${missing}`);
  }
  if (status === 403) return new ObjectRefused('Forbidden', `cannot ${verb} ${what}: ${answer.message}`, error);
  if (isInvalid(error)) return new ObjectRefused('Invalid', `cannot ${verb} ${what}: ${brief(answer)}`, error);
  return error;
}

/** The kind itself is missing: no CRDs, or older ones than this program's. */
export function notServed(kind: Kind, cause: unknown): Error {
  return new Error(`the cluster does not serve ${kind} of windlass.dev/v1alpha1; install the CRDs of this version`, {
    cause,
  });
}

function isInvalid({ status, answer }: ApiError): boolean {
  // An unknown field in a server-side apply is answered with 500 (seen on 1.35).
  const undeclared = status === 500 && answer.message?.includes('field not declared in schema') === true;
  return status === 400 || status === 413 || status === 422 || undeclared;
}

/** Without the whole object, which the API server repeats when a patch holds an unknown field. */
function brief({ message = '' }: Status): string {
  const at = message.indexOf('strict decoding error');
  return at < 0 ? message : message.slice(at);
}
