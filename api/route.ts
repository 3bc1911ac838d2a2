import type { Context, Hono } from 'hono';
import { type DescribeRouteOptions, describeRoute, resolver, validator } from 'hono-openapi';
import { type Static, type TObject, type TSchema, Type } from 'typebox';
import { checkStorable } from '../controller/core/parse/json-limits.ts';
import { formatPath } from '../controller/core/parse/position.ts';
import { RequestProblem } from './errors.ts';
import { type InvalidField, ProblemDetails, type ProblemType, problemTypes } from './problem.ts';
import { apiSchema } from './schema.ts';

type Tag =
  | 'environments'
  | 'workflows'
  | 'versions'
  | 'promotions'
  | 'runs'
  | 'steps'
  | 'logs'
  | 'dead letters'
  | 'artifacts'
  | 'objects'
  | 'events'
  | 'sources'
  | 'server';

/** One operation: what the OpenAPI document says, what is checked, and the types the handler gets. */
export interface Operation<P extends TObject, Q extends TObject, B extends TSchema> {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Hono's form: `/runs/:name`. */
  path: string;
  id: string;
  tag: Tag;
  summary: string;
  description?: string;
  params?: P;
  query?: Q;
  body?: B;
  /** For the document, where it says more than what is checked here. */
  documentedBody?: TSchema;
  /** The response when all is well; without a schema it has no body. */
  response: { status: number; description: string; schema?: TSchema; stream?: string; text?: true; bytes?: true };
  /** Another response that is no problem+json. */
  otherwise?: { status: number; description: string; schema: TSchema };
  /** Problems worth naming; those that every operation may have are the document's `default`. */
  problems?: ProblemType[];
  /** False for the few that need no token. */
  secured?: boolean;
}

export interface Checked<P extends TObject, Q extends TObject, B extends TSchema> {
  params: Static<P>;
  query: Static<Q>;
  body: Static<B>;
}

const none = Type.Object({}, { additionalProperties: false });
type None = typeof none;

/**
 * Registers an operation: documented, its parameters and body checked, unknown query parameters refused. The handler gets
 * only what was checked.
 */
export function addRoute<P extends TObject = None, Q extends TObject = None, B extends TSchema = None>(
  app: Hono,
  operation: Operation<P, Q, B>,
  handle: (input: Checked<P, Q, B>, c: Context) => Promise<Response> | Response,
): void {
  const params = (operation.params ?? none) as P;
  const query = (operation.query ?? none) as Q;
  const handlers = [
    describeRoute(describe(operation)),
    validator('param', apiSchema(params, 'text'), refuse('invalid-parameter', 'The path')),
    validator('query', apiSchema(query, 'text', withOptionalDefaults(query)), refuse('invalid-parameter', 'The query')),
    ...(operation.body
      ? [validator('json', apiSchema(operation.body, 'json', operation.documentedBody), refuse('invalid', 'The body'))]
      : []),
  ];
  app.on(operation.method, [operation.path], ...handlers, (c: Context) => {
    const checked = (target: string) => (c.req.valid as (t: string) => unknown)(target);
    demandStorable(checked('json'));
    return handle({ params: checked('param'), query: checked('query'), body: checked('json') } as Checked<P, Q, B>, c);
  });
}

/** What has a default need not be sent, though ajv, which fills it in, sees it as required. */
function withOptionalDefaults(query: TObject): TSchema {
  const required = (query.required ?? []).filter((name) => !('default' in (query.properties[name] ?? {})));
  return { ...query, required };
}

/** An object schema that refuses fields it does not know; for parameters and bodies. */
export function only<T extends Record<string, TSchema>>(properties: T, options: Record<string, unknown> = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

/** What no text column takes (NUL, half a surrogate pair) or no stack (depth) is refused here, wherever it would end up. */
function demandStorable(body: unknown): void {
  const problems = checkStorable(body).map(({ path, rule, message }) => ({ path: formatPath(path), rule, message }));
  if (problems.length === 0) return;
  const list = problems.map((p) => `${p.path}: ${p.message}`).join('; ');
  throw new RequestProblem('invalid', `The body is wrong: ${list}.`, { problems });
}

type CheckResult = { success: boolean; error?: readonly unknown[] };

function refuse(type: 'invalid-parameter' | 'invalid', what: string) {
  return (result: CheckResult): undefined => {
    if (result.success) return undefined;
    const issues = (result.error ?? []) as { path: [string]; message: string; rule: string }[];
    const problems: InvalidField[] = issues.map(({ path, message, rule }) => ({ path: path[0], message, rule }));
    const first = problems.map((p) => (p.path ? `${p.path}: ${p.message}` : p.message)).join('; ');
    throw new RequestProblem(type, `${what} is wrong: ${first}.`, { problems });
  };
}

function describe(operation: Operation<TObject, TObject, TSchema>): DescribeRouteOptions {
  const { status, description, schema, stream, text, bytes } = operation.response;
  const { otherwise } = operation;
  const content = {
    ...(schema ? json(schema) : {}),
    ...(text ? { 'text/plain': { schema: { type: 'string' as const } } } : {}),
    // Not `format: binary`: OpenAPI 3.1 leaves bytes to the media type.
    ...(bytes ? { 'application/octet-stream': { schema: {} }, 'application/x-tar': { schema: {} } } : {}),
    ...(stream ? { 'text/event-stream': { schema: { type: 'string' as const, description: stream } } } : {}),
  };
  const types: ProblemType[] = [...(operation.body ? (['invalid'] as const) : []), ...(operation.problems ?? [])];
  const problem = { 'application/problem+json': { schema: resolver(apiSchema(ProblemDetails, 'json')) } };
  return {
    operationId: operation.id,
    tags: [operation.tag],
    summary: operation.summary,
    ...(operation.description ? { description: operation.description } : {}),
    security: operation.secured === false ? [] : [{ token: [] }],
    responses: {
      [status]: { description, ...(Object.keys(content).length > 0 ? { content } : {}) },
      ...(otherwise
        ? { [otherwise.status]: { description: otherwise.description, content: json(otherwise.schema) } }
        : {}),
      ...Object.fromEntries(
        types.map((type) => [problemTypes[type].status, { description: problemTypes[type].title, content: problem }]),
      ),
      default: { description: 'Any other problem.', content: problem },
    },
  };
}

function json(schema: TSchema) {
  return { 'application/json': { schema: resolver(apiSchema(schema, 'json')) } };
}
