import { createHash } from 'node:crypto';
import type { AttemptKey, AttemptResult, ResolvedBody, StepError } from '../../core/run/types.ts';
import type { Clock } from '../../seams/clock.ts';
import type { Executor, ExecutorSink, SecretReader, StartAction, StopAction } from '../../seams/executor.ts';
import { InController } from '../in-controller.ts';
import { maskText } from '../masking.ts';
import { readSecrets } from '../secrets.ts';
import { type Exchange, exchange, RequestRefused, type Resolve, systemResolve } from './exchange.ts';
import { resultOf } from './result.ts';

type HttpBody = Extract<ResolvedBody, { kind: 'http' }>;

export interface HttpExecutorOptions {
  /** The machine itself: on a laptop only. */
  allowLoopback: boolean;
  /** Whether steps of this namespace may reach addresses that are not on the public internet. */
  allowPrivate(namespace: string): boolean;
  secrets: SecretReader;
  sink: ExecutorSink;
  clock: Clock;
  /** The signal of the lease as it is now: what runs when it aborts is aborted, its result discarded. */
  lost: () => AbortSignal;
  /** Default: as the machine resolves names. */
  resolve?: Resolve;
}

/** Sends HTTP requests from the controller itself: at least once, with an Idempotency-Key that all attempts at the same effect share. */
export class HttpExecutor implements Executor {
  readonly kinds = ['http'] as const;
  readonly #options: HttpExecutorOptions;
  readonly #running: InController;

  constructor(options: HttpExecutorOptions) {
    this.#options = options;
    this.#running = new InController(options.sink, options.clock, options.lost);
  }

  async start(action: StartAction): Promise<void> {
    const { body } = action;
    if (body.kind !== 'http') throw new TypeError(`http cannot run a step of kind ${body.kind}`);
    this.#running.run(action.key, (stopped) => this.#request(action, body, stopped));
  }

  async stop({ key }: StopAction): Promise<void> {
    this.#running.stop(key);
  }

  async forget(key: AttemptKey): Promise<void> {
    this.#running.forget(key);
  }

  /** Nothing outlives its controller. */
  async sweep(): Promise<void> {}

  async close(): Promise<void> {
    this.#running.close();
  }

  async #request(action: StartAction, body: HttpBody, stopped: AbortSignal): Promise<AttemptResult> {
    const { clock, secrets: reader, resolve = systemResolve, allowLoopback, allowPrivate } = this.#options;
    const secrets = await readSecrets(reader, action.namespace, body.secretHeaders);
    if ('error' in secrets) return { outcome: 'Failed', error: secrets.error };
    const timeout = new AbortController();
    const cancel = clock.at(clock.now() + body.requestTimeoutMs, () => timeout.abort());
    const values = Object.values(secrets.values);
    try {
      const signal = AbortSignal.any([stopped, timeout.signal]);
      const answer = await exchange(exchangeOf(action, body, secrets.values), {
        policy: { allowLoopback, allowPrivate: allowPrivate(action.namespace) },
        resolve,
        signal,
      });
      return resultOf(answer, body, values, clock.now());
    } catch (error) {
      const problem = timeout.signal.aborted
        ? transient(body, `no answer within ${body.requestTimeoutMs / 1000} s`)
        : problemOf(body, error);
      return { outcome: 'Failed', error: { ...problem, message: maskText(problem.message, values) } };
    } finally {
      cancel();
    }
  }
}

function exchangeOf({ key, effect }: StartAction, body: HttpBody, secrets: Record<string, string>): Exchange {
  const headers: Record<string, string> = {
    'accept-encoding': 'identity',
    'user-agent': 'windlass',
    'idempotency-key': createHash('sha256')
      .update(JSON.stringify([key.runId, key.step, key.item, effect]))
      .digest('hex')
      .slice(0, 40),
  };
  const text = body.body === undefined || typeof body.body === 'string' ? body.body : JSON.stringify(body.body);
  if (text !== undefined && typeof body.body !== 'string') headers['content-type'] = 'application/json';
  for (const [name, value] of Object.entries(body.headers)) headers[name.toLowerCase()] = value;
  for (const [name, ref] of Object.entries(body.secretHeaders)) {
    headers[name.toLowerCase()] = ref.prefix + (secrets[name] ?? '');
  }
  const { method, url } = body;
  return { method, url, headers, secretHeaders: Object.keys(body.secretHeaders), body: text };
}

function problemOf(body: HttpBody, error: unknown): StepError {
  if (error instanceof RequestRefused) return { type: 'http', message: error.message, retryable: false };
  const { code, message } = error as NodeJS.ErrnoException;
  // What the client refuses to send: a header with a line break, for instance.
  if (code === 'UND_ERR_INVALID_ARG') return { type: 'http', message, retryable: false };
  return transient(body, `the request failed: ${message || code || String(error)}`);
}

function transient(body: HttpBody, message: string): StepError {
  return { type: 'http', message, retryable: body.retryable, unreachable: true };
}
