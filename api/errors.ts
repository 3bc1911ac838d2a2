import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { ObjectConflict, ObjectRefused } from '../controller/seams/objects.ts';
import type { RequestLog } from './dependencies.ts';
import { type InvalidField, type ProblemDetails, type ProblemType, problemTypes, problemUri } from './problem.ts';

/** Thrown by handlers; becomes the problem+json response. For mistakes of the caller, never for failures of the world. */
export class RequestProblem extends Error {
  override name = 'RequestProblem';
  readonly type: ProblemType;
  readonly problems: InvalidField[] | undefined;
  readonly headers: Record<string, string>;
  constructor(
    type: ProblemType,
    detail: string,
    options: { problems?: InvalidField[]; headers?: Record<string, string> } = {},
  ) {
    super(detail);
    this.type = type;
    this.problems = options.problems;
    this.headers = options.headers ?? {};
  }
}

/** A 404 that says what there is instead. */
export function notFound(what: string, present?: string[]): RequestProblem {
  if (!present) return new RequestProblem('not-found', `There is no ${what}.`);
  const shown = present.slice(0, 20).join(', ');
  const more = present.length > 20 ? ` and ${present.length - 20} more` : '';
  return new RequestProblem(
    'not-found',
    `There is no ${what}. ${present.length === 0 ? 'There are none at all.' : `There are: ${shown}${more}.`}`,
  );
}

/** The one place where whatever a handler threw becomes a response. */
export function problemResponse(error: unknown, c: Context, log: RequestLog): Response {
  const problem = toProblem(error);
  if (problem.type === 'internal' || problem.type === 'unavailable') {
    log.error(
      { err: error, method: c.req.method, path: c.req.path, requestId: c.get('requestId') as unknown },
      problem.type === 'internal' ? 'request failed' : 'request refused: what it needs cannot be reached',
    );
  }
  const { status, title } = problemTypes[problem.type];
  const body: ProblemDetails = {
    type: problemUri(problem.type),
    title,
    status,
    detail: problem.message,
    instance: c.req.path,
    ...(problem.problems ? { problems: problem.problems } : {}),
  };
  return c.body(JSON.stringify(body), status, { ...problem.headers, 'content-type': 'application/problem+json' });
}

function toProblem(error: unknown): RequestProblem {
  if (error instanceof RequestProblem) return error;
  if (error instanceof ObjectConflict) {
    return new RequestProblem(error.reason === 'NotFound' ? 'not-found' : 'conflict', error.message);
  }
  if (error instanceof ObjectRefused) {
    return new RequestProblem(error.reason === 'Forbidden' ? 'forbidden' : 'invalid', error.message);
  }
  // access.ts throws problems of here, so the name stands for the class
  if (error instanceof Error && error.name === 'AccessUnknown') {
    return new RequestProblem('unavailable', error.message, { headers: { 'retry-after': '2' } });
  }
  // hono's validator throws one for JSON that cannot be parsed; nothing else here throws any
  if (error instanceof HTTPException && error.status === 400) {
    return new RequestProblem('malformed-request', error.message);
  }
  // of the store only types may be imported here, so the name stands for the class
  if (error instanceof Error && error.name === 'InvalidCursor') {
    return new RequestProblem('invalid-parameter', '`after` is no cursor of this list; use `next` of the page before.');
  }
  const away = unavailability(error);
  if (away !== null) return new RequestProblem('unavailable', away, { headers: { 'retry-after': '2' } });
  return new RequestProblem(
    'internal',
    'The controller failed to answer; its log has the cause under this request id.',
  );
}

const unavailableCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
]);

/**
 * What to say when the Kubernetes API or the database is away: no answer or a fault of the server; connection errors,
 * SQLSTATE 08, 53 (resources) and 57P (shutdown); else null.
 */
function unavailability(error: unknown): string | null {
  for (let e: unknown = error, depth = 0; e instanceof Error && depth < 10; e = e.cause, depth++) {
    // its client may not be imported here, so names and words stand for the classes
    const refused = e.name === 'KubernetesError' ? (e as unknown as { status: { code: number } }).status.code : 0;
    if (refused === 429 || refused >= 500 || e.message.startsWith('the Kubernetes API did not answer')) {
      return 'The Kubernetes API does not answer; try again.';
    }
    const code = (e as { code?: unknown }).code;
    if (typeof code !== 'string') continue;
    if (code === '53100')
      return 'The disk of the database is full: nothing was changed. Free some space, then try again.';
    if (unavailableCodes.has(code) || /^(08...|53...|57P..)$/.test(code)) {
      return 'The database cannot be reached; try again.';
    }
  }
  return null;
}
