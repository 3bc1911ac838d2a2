import { setTimeout as pause } from 'node:timers/promises';
import { KubeConfig, type RequestContext } from '@kubernetes/client-node';
import { type Dispatcher, request } from 'undici';
import { KubernetesError, NotSent, statusOf } from './errors.ts';
import { pooled } from './pooled.ts';

/** Longest time of one request, tries and all, when nothing else is said. */
const requestMs = 30_000;
/** Requests at one time, streams apart: each has a connection of its own, and the API server queues no better. */
const maxInFlight = 32;
const longestRetryAfterMs = 10_000;

export type Query = Record<string, string | number | boolean | undefined>;

export interface RequestOptions {
  query?: Query;
  body?: unknown;
  /** Of `body`; application/json when nothing else is said. */
  contentType?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * The API server's REST interface as it is: JSON in, JSON out, over connections that are kept. The generated clients
 * drop fields that they do not know, so that neither strict validation nor a newer cluster's fields would ever be seen.
 */
export class KubernetesClient {
  readonly #config: KubeConfig;
  readonly #userAgent: string;
  readonly #token: string | null;
  #callers: KubeConfig | null = null;
  readonly #slots = createSlots(maxInFlight);
  readonly #closed = new AbortController();

  /** `token`: who calls; `config` has no login then. */
  constructor(config: KubeConfig, userAgent = 'windlass', token: string | null = null) {
    this.#config = pooled(config);
    this.#userAgent = userAgent;
    this.#token = token;
  }

  /**
   * The same API server, called by whoever has this bearer token, over connections that all such callers share. Never
   * those of the own login: the API server looks at the certificate of a connection first, and would see its owner call.
   */
  as(token: string): KubernetesClient {
    this.#callers ??= this.#token === null ? withoutLogin(this.#config) : this.#config;
    return new KubernetesClient(this.#callers, this.#userAgent, token);
  }

  /**
   * An overloaded server (429, or a read with Retry-After) is asked again when it says so, as long as the time lasts.
   * @throws KubernetesError when the server refuses; anything else, with `cause`, when it does not answer in time.
   */
  async request<T>(method: Method, path: string, options: RequestOptions = {}): Promise<T> {
    const late = new AbortController();
    // Not AbortSignal.timeout, which fires for every request, long after most have been answered.
    const timer = setTimeout(() => late.abort(new Error('the time for it is over')), options.timeoutMs ?? requestMs);
    const signal = AbortSignal.any([late.signal, this.#closed.signal, ...(options.signal ? [options.signal] : [])]);
    try {
      for (;;) {
        try {
          return await this.#once<T>(method, path, options, signal);
        } catch (error) {
          const wait = patience(error, method);
          if (wait === null) throw error;
          await pause(wait, undefined, { signal }).catch(() => {
            throw error;
          });
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * A response that goes on for as long as the server has something to say: logs, watches. Abort the signal to end it;
   * silence of `silenceMs` ends it with an error (0: never).
   */
  async stream(path: string, query: Query, signal: AbortSignal, silenceMs = 0): Promise<AsyncIterable<Buffer>> {
    const either = AbortSignal.any([signal, this.#closed.signal]);
    const { body } = await this.#send('GET', path, { query }, either, silenceMs);
    return body;
  }

  /** Ends what is under way; nothing is sent any more. */
  close(): void {
    this.#closed.abort(new Error('the client is closed'));
  }

  async #once<T>(method: Method, path: string, options: RequestOptions, signal: AbortSignal): Promise<T> {
    const release = await this.#slots.take();
    try {
      if (signal.aborted) throw new NotSent(method, path, { cause: signal.reason });
      const { body } = await this.#send(method, path, options, signal, 0);
      const text = await body.text().catch((cause: unknown) => {
        throw unreachable(method, path, cause);
      });
      return JSON.parse(text) as T;
    } finally {
      release();
    }
  }

  async #send(
    method: Method,
    path: string,
    { query, body, contentType }: RequestOptions,
    signal: AbortSignal,
    bodyTimeout: number,
  ): Promise<Dispatcher.ResponseData> {
    const server = this.#config.getCurrentCluster()?.server;
    if (server === undefined) throw new Error('the kubeconfig names no cluster');
    const url = new URL(server.replace(/\/$/, '') + path);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const { headers, dispatcher } = await this.#authenticate();
    // An HTTP/2 connection that the server ends has undici throw where nobody can catch it, once for each open stream.
    const http1: object = { allowH2: false };
    const answer = await request(url, {
      ...http1,
      method,
      headers: {
        ...headers,
        'user-agent': this.#userAgent,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(dispatcher ? { dispatcher } : {}),
      signal,
      headersTimeout: bodyTimeout,
      bodyTimeout,
    }).catch((cause: unknown) => {
      throw unreachable(method, path, cause);
    });
    if (answer.statusCode < 300) return answer;
    throw new KubernetesError(method, path, statusOf(answer.statusCode, await answer.body.text(), answer.headers));
  }

  async #authenticate(): Promise<{ headers: Record<string, string>; dispatcher: Dispatcher | undefined }> {
    const headers: Record<string, string> = {};
    let dispatcher: Dispatcher | undefined;
    // The only two members that the library uses of it; the class itself costs 90 MB of generated models.
    const context = {
      setHeaderParam: (name: string, value: string) => void (headers[name.toLowerCase()] = value),
      setDispatcher: (agent: Dispatcher) => void (dispatcher = agent),
    };
    await this.#config.applySecurityAuthentication(context as unknown as RequestContext);
    if (this.#token === null) return { headers, dispatcher };
    return { headers: { authorization: `Bearer ${this.#token}` }, dispatcher };
  }
}

/** The address of the API server, and how it proves who it is; nothing of who calls. */
function withoutLogin(config: KubeConfig): KubeConfig {
  const cluster = config.getCurrentCluster();
  const bare = new KubeConfig();
  // Without any user the library leaves the certificate authority out, too.
  if (cluster) bare.loadFromClusterAndUser(cluster, { name: 'caller' });
  return bare;
}

/** How long to wait before a request that was surely not done is sent again; null when it is not to be. */
function patience(error: unknown, method: Method): number | null {
  if (!(error instanceof KubernetesError)) return null;
  const { code, retryAfterMs } = error.status;
  if (retryAfterMs === null || (code !== 429 && method !== 'GET')) return null;
  return Math.min(retryAfterMs, longestRetryAfterMs);
}

function unreachable(method: string, path: string, cause: unknown): Error {
  const { code, message } = cause as { code?: string | number; message?: string };
  const why = typeof code === 'string' ? code : message;
  return new Error(`the Kubernetes API did not answer ${method} ${path}: ${why}`, { cause });
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
