import { HttpMethod, type KubeConfig, RequestContext } from '@kubernetes/client-node';
import { type Dispatcher, getGlobalDispatcher } from 'undici';
import { KubernetesError, statusOf } from './errors.ts';
import { pooled } from './pooled.ts';

/** Longest time of one request when nothing else is said. */
const requestMs = 30_000;

export interface RequestOptions {
  query?: Record<string, string>;
  body?: unknown;
  /** Of `body`; application/json when nothing else is said. */
  contentType?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * The API server's REST interface as it is: JSON in, JSON out. The generated clients drop fields that they do not know,
 * so that neither strict validation nor a newer cluster's fields would ever be seen.
 */
export class KubernetesClient {
  readonly #config: KubeConfig;
  readonly #userAgent: string;

  constructor(config: KubeConfig, userAgent = 'windlass') {
    this.#config = pooled(config);
    this.#userAgent = userAgent;
  }

  /** @throws KubernetesError when the server refuses; anything else when it cannot be reached in time. */
  async request<T>(method: Method, path: string, options: RequestOptions = {}): Promise<T> {
    const timeout = AbortSignal.timeout(options.timeoutMs ?? requestMs);
    const signal = options.signal ? AbortSignal.any([timeout, options.signal]) : timeout;
    const { body } = await this.#send(method, path, options, signal);
    return (await body.json()) as T;
  }

  /** A response that goes on for as long as the server has something to say: logs, watches. Abort the signal to end it. */
  async stream(path: string, query: Record<string, string>, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    const { body } = await this.#send('GET', path, { query }, signal);
    return body;
  }

  async #send(
    method: Method,
    path: string,
    { query, body, contentType }: RequestOptions,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const server = this.#config.getCurrentCluster()?.server;
    if (server === undefined) throw new Error('the kubeconfig names no cluster');
    const url = new URL(server);
    const search = query === undefined ? '' : `?${new URLSearchParams(query).toString()}`;
    const context = new RequestContext(url.href, HttpMethod.GET);
    await this.#config.applySecurityAuthentication(context);
    const dispatcher = (context.getDispatcher() as Dispatcher | undefined) ?? getGlobalDispatcher();
    const answer = await dispatcher.request({
      origin: url.origin,
      path: `${url.pathname.replace(/\/$/, '')}${path}${search}`,
      method,
      headers: {
        ...context.getHeaders(),
        'user-agent': this.#userAgent,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    if (answer.statusCode < 300) return answer;
    throw new KubernetesError(method, path, statusOf(answer.statusCode, await answer.body.text(), answer.headers));
  }
}
