import type { IncomingHttpHeaders } from 'node:http';

/** What the API server says when it refuses: a `Status`, or as much of one as there is. */
export interface RefusedStatus {
  code: number;
  /** Forbidden, AlreadyExists, Invalid, Expired, …; empty when the answer was no Status. */
  reason: string;
  message: string;
  causes: { reason: string; message: string; field: string }[];
  /** What is not there, or in conflict, in the words of the server; null when it names nothing. */
  about: { kind: string; name: string } | null;
  /** Milliseconds the server asks us to wait (Retry-After). */
  retryAfterMs: number | null;
}

/** The API server refused a request. A server that cannot be reached is another error. */
export class KubernetesError extends Error {
  override name = 'KubernetesError';
  readonly status: RefusedStatus;

  constructor(method: string, path: string, status: RefusedStatus) {
    super(`${method} ${path}: ${status.code} ${status.reason}: ${status.message}`);
    this.status = status;
  }
}

/** The time of a request was over before its turn had come. */
export class NotSent extends Error {
  override name = 'NotSent';

  constructor(method: string, path: string, options: ErrorOptions) {
    super(`${method} ${path} was not sent: too many others were under way`, options);
  }
}

/** True when the API server answered with this status code. */
export function isRefusal(error: unknown, code: number): error is KubernetesError {
  return error instanceof KubernetesError && error.status.code === code;
}

/** Reads the body of an answer that is no success. */
export function statusOf(code: number, text: string, headers: IncomingHttpHeaders): RefusedStatus {
  const after = Number(headers['retry-after']);
  const retryAfterMs = Number.isFinite(after) && after > 0 ? after * 1000 : null;
  return { code, ...readStatus(text), retryAfterMs };
}

function readStatus(text: string): Pick<RefusedStatus, 'reason' | 'message' | 'causes' | 'about'> {
  const plain = { reason: '', message: text.trim().slice(0, 1000), causes: [], about: null };
  let status: {
    kind?: string;
    reason?: string;
    message?: string;
    details?: { kind?: string; name?: string; causes?: Partial<Cause>[] };
  };
  try {
    status = JSON.parse(text) as typeof status;
  } catch {
    return plain;
  }
  if (typeof status !== 'object' || status === null || status.kind !== 'Status') return plain;
  const causes = (status.details?.causes ?? []).map(({ reason, message, field }) => ({
    reason: reason ?? '',
    message: message ?? '',
    field: field ?? '',
  }));
  const { kind = '', name } = status.details ?? {};
  const about = name === undefined ? null : { kind, name };
  return { reason: status.reason ?? '', message: status.message ?? '', causes, about };
}

type Cause = RefusedStatus['causes'][number];
