import type { KubeConfig, RequestContext } from '@kubernetes/client-node';
import { type Dispatcher, request } from 'undici';
import type { Clock } from '../../seams/clock.ts';
import { ApiError, type Status } from './errors.ts';

export interface ApiRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Query;
  body?: unknown;
  /** Of the body; default application/json. */
  contentType?: string;
}
export type Query = Record<string, string | number | boolean | undefined>;

/** JSON over HTTP to the API server of one kubeconfig, with connections that are kept. */
export interface ApiClient {
  /**
   * @throws ApiError when the answer is not 2xx; 429 is tried again first, as long as the server asks for.
   * @throws Error with `cause` when there is no answer.
   */
  send<T>(request: ApiRequest): Promise<T>;
  /** The chunks of an answer that does not end. Silence of `silenceMs` ends it with an error. */
  stream(path: string, query: Query, silenceMs: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  close(): Promise<void>;
}

/** Requests at one time, watches apart: each has a connection of its own, and the API server queues no better. */
const maxInFlight = 32;
const requestTimeoutMs = 30_000;
const maxTries = 10;

export function createApiClient(kubeConfig: KubeConfig, clock: Clock): ApiClient {
  const pool = pooled(kubeConfig);
  const slots = createSlots(maxInFlight);
  const closed = new AbortController();

  async function begin(
    { method, path, query = {}, body, contentType = 'application/json' }: ApiRequest,
    options: { bodyTimeout: number; signal: AbortSignal },
  ): Promise<Dispatcher.ResponseData> {
    const server = kubeConfig.getCurrentCluster()?.server;
    if (server === undefined) throw new Error('the kubeconfig names no cluster');
    const url = new URL(server.replace(/\/$/, '') + path);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const { headers, dispatcher } = await pool.authenticate();
    try {
      return await request(url, {
        method,
        headers: {
          ...headers,
          'user-agent': 'windlass',
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': contentType }),
        },
        headersTimeout: requestTimeoutMs,
        ...options,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(dispatcher ? { dispatcher } : {}),
      });
    } catch (cause) {
      throw unreachable(`${method} ${path}`, cause);
    }
  }

  async function once<T>(what: ApiRequest): Promise<T> {
    const release = await slots.take();
    try {
      const response = await begin(what, { bodyTimeout: requestTimeoutMs, signal: closed.signal });
      const text = await response.body.text().catch((cause: unknown) => {
        throw unreachable(`${what.method} ${what.path}`, cause);
      });
      if (response.statusCode >= 300) throw refusal(response, text);
      return JSON.parse(text) as T;
    } finally {
      release();
    }
  }

  return {
    async send<T>(what: ApiRequest) {
      for (let tries = 1; ; tries++) {
        try {
          return await once<T>(what);
        } catch (error) {
          const wait = tries < maxTries ? patience(error, what.method) : null;
          if (wait === null || closed.signal.aborted) throw error;
          await new Promise<void>((resolve) => clock.at(clock.now() + wait, resolve));
        }
      }
    },
    async stream(path, query, silenceMs, signal) {
      const either = AbortSignal.any([signal, closed.signal]);
      const response = await begin({ method: 'GET', path, query }, { bodyTimeout: silenceMs, signal: either });
      if (response.statusCode >= 300) throw refusal(response, await response.body.text());
      return response.body;
    },
    async close() {
      closed.abort(new Error('the client is closed'));
      await pool.destroy();
    },
  };
}

class Overloaded extends ApiError {
  readonly retryAfterMs: number;
  constructor(status: number, answer: Status, retryAfterMs: number) {
    super(status, answer);
    this.retryAfterMs = retryAfterMs;
  }
}

/** How long to wait before a request that was surely not done is sent again; null when it is not to be. */
function patience(error: unknown, method: ApiRequest['method']): number | null {
  if (!(error instanceof Overloaded)) return null;
  return error.status === 429 || method === 'GET' ? error.retryAfterMs : null;
}

function refusal({ statusCode, headers }: Dispatcher.ResponseData, text: string): ApiError {
  const answer = statusOf(text);
  const seconds = Number(headers['retry-after']);
  if (headers['retry-after'] === undefined || !Number.isFinite(seconds)) return new ApiError(statusCode, answer);
  return new Overloaded(statusCode, answer, Math.min(seconds, 10) * 1000);
}

function statusOf(text: string): Status {
  try {
    const answer: unknown = JSON.parse(text);
    if (typeof answer === 'object' && answer !== null) return answer;
  } catch {
    // A proxy, or a path that nobody serves, answers with plain text.
  }
  return { message: text.trim().slice(0, 200) };
}

function unreachable(what: string, cause: unknown): Error {
  const { code, message } = cause as { code?: string; message?: string };
  return new Error(`the Kubernetes API did not answer ${what}: ${code ?? message}`, { cause });
}

interface Pool {
  authenticate(): Promise<{ headers: Record<string, string>; dispatcher: Dispatcher | undefined }>;
  destroy(): Promise<void>;
}

/**
 * The client library makes a new agent, and so a new TLS connection, for each request. This keeps one for each set of
 * credentials. `createDispatcher` is private, hence the cast; client-node is pinned.
 */
function pooled(kubeConfig: KubeConfig): Pool {
  type Make = (cluster: { name?: string; server?: string } | null, options: Record<string, unknown>) => Dispatcher;
  const agents = new Map<string, Dispatcher | undefined>();
  const own = Object.create(kubeConfig) as Pick<KubeConfig, 'applySecurityAuthentication'> & { createDispatcher: Make };
  const make = own.createDispatcher.bind(kubeConfig);
  own.createDispatcher = (cluster, options) => {
    const secrets = [options['ca'], options['cert'], options['key']].map(String);
    const key = JSON.stringify([cluster?.server, options['rejectUnauthorized'], options['servername'], ...secrets]);
    if (!agents.has(key)) agents.set(key, make(cluster, options));
    return agents.get(key) as Dispatcher;
  };
  return {
    async authenticate() {
      const headers: Record<string, string> = {};
      let dispatcher: Dispatcher | undefined;
      // The only two members that the library uses of it; the class itself costs 90 MB of generated models.
      const context = {
        setHeaderParam: (name: string, value: string) => void (headers[name] = value),
        setDispatcher: (agent: Dispatcher) => void (dispatcher = agent),
      };
      await own.applySecurityAuthentication(context as unknown as RequestContext);
      return { headers, dispatcher };
    },
    async destroy() {
      await Promise.all([...agents.values()].map((agent) => agent?.destroy()));
    },
  };
}

/** At most `count` takers at a time, first come, first served. */
function createSlots(count: number): { take(): Promise<() => void> } {
  const waiting: (() => void)[] = [];
  let free = count;
  const release = () => {
    const next = waiting.shift();
    if (next) next();
    else free += 1;
  };
  return {
    async take() {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      return release;
    },
  };
}
