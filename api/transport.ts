import { setTimeout as delay } from 'node:timers/promises';
import { readServerEvents, type ServerEvent } from './event-source.ts';
import type { ProblemDetails } from './problem.ts';

export interface Connection {
  /** Such as http://127.0.0.1:8080. */
  server: string;
  token: string | null;
  /** Default: the global one. Tests hand in an app's `request`. */
  fetch?: (request: Request) => Promise<Response>;
}

/** The server refused: `problem` is what it said (RFC 9457). */
export class ApiProblem extends Error {
  override name = 'ApiProblem';
  readonly problem: ProblemDetails;
  constructor(problem: ProblemDetails) {
    super(problem.detail);
    this.problem = problem;
  }
  get status(): number {
    return this.problem.status;
  }
}

export type Query = Record<string, string | number | boolean | string[] | undefined>;

interface CallOptions {
  query?: Query;
  body?: object;
  /** Statuses beside 2xx whose body is an answer. */
  accept?: number[];
}

/** Pauses between reconnections, in ms; the last one repeats. */
const reconnectMs = [100, 500, 1000, 2000];
/** A server that is away this many times in a row is given up. */
const maxReconnects = 20;

/** One request, and streams that resume. */
export function createTransport({ server, token, fetch: send = (request) => fetch(request) }: Connection) {
  const request = (method: string, path: string, query: Query, headers: Record<string, string>, init: RequestInit) => {
    const url = new URL(path, server);
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value])
        if (one !== undefined) url.searchParams.append(name, String(one));
    }
    return new Request(url, {
      method,
      headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...headers },
      ...init,
    });
  };

  async function call<T>(method: string, path: string, { query = {}, body, accept = [] }: CallOptions): Promise<T> {
    const headers = { accept: 'application/json', ...(body ? { 'content-type': 'application/json' } : {}) };
    const response = await send(request(method, path, query, headers, body ? { body: JSON.stringify(body) } : {}));
    if (!response.ok && !accept.includes(response.status)) throw await problemOf(response);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  /** A body that is read as it comes. @throws ApiProblem when the server refuses. */
  async function open(
    path: string,
    { query, signal }: { query: Query; signal: AbortSignal | undefined },
  ): Promise<{ content: ReadableStream<Uint8Array>; fileName: string | null }> {
    const response = await send(request('GET', path, query, {}, signal ? { signal } : {}));
    if (!response.ok || !response.body) throw await problemOf(response);
    const disposition = response.headers.get('content-disposition') ?? '';
    // Letters, digits and _ only: nothing that leads anywhere else.
    return { content: response.body, fileName: /filename="(\w+(?:\.\w+)?)"/.exec(disposition)?.[1] ?? null };
  }

  /** Reads a stream, and again from the last id when it is cut. @throws ApiProblem when the server refuses. */
  async function* follow(
    path: string,
    { query, signal }: { query: Query; signal: AbortSignal | undefined },
  ): AsyncGenerator<ServerEvent> {
    let lastId: string | undefined;
    for (let failures = 0; ; ) {
      if (signal?.aborted) return;
      try {
        const headers = { accept: 'text/event-stream', ...(lastId === undefined ? {} : { 'last-event-id': lastId }) };
        const response = await send(request('GET', path, query, headers, signal ? { signal } : {}));
        if (!response.ok || !response.body) throw await problemOf(response);
        // the signal ends the reading as well, whatever the transport makes of it
        const body = response.body.pipeThrough(new TransformStream<Uint8Array, Uint8Array>(), signal ? { signal } : {});
        for await (const event of readServerEvents(body)) {
          failures = 0;
          lastId = event.id ?? lastId;
          yield event;
        }
      } catch (error) {
        if (signal?.aborted) return;
        const away = !(error instanceof ApiProblem) || error.status === 503;
        if (!away || failures >= maxReconnects) throw error;
      }
      await delay(reconnectMs[Math.min(failures++, reconnectMs.length - 1)], undefined, signal ? { signal } : {}).catch(
        () => undefined,
      );
    }
  }

  return { call, follow, open };
}

async function problemOf(response: Response): Promise<ApiProblem> {
  const text = await response.text();
  if (response.headers.get('content-type')?.startsWith('application/problem+json')) {
    return new ApiProblem(JSON.parse(text) as ProblemDetails);
  }
  // something in between answered, a proxy perhaps
  return new ApiProblem({
    type: 'about:blank',
    title: response.statusText,
    status: response.status,
    detail: `The server answered ${response.status}: ${text.slice(0, 200)}`,
    instance: new URL(response.url || 'http://unknown/').pathname,
  });
}
