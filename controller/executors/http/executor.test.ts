import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  executorConformance,
  neverLost,
  RecordingSink,
  startAction,
  stopAction,
} from '../../../test/conformance/executor.ts';
import type { AttemptResult, ResolvedBody } from '../../core/run/types.ts';
import { systemClock } from '../../runtime/clock.ts';
import { HttpExecutor, type HttpExecutorOptions } from './executor.ts';
import { retryAfterMs } from './result.ts';

type HttpBody = Extract<ResolvedBody, { kind: 'http' }>;
type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** A server whose paths are handlers; keeps every request. */
class Site {
  readonly requests: { method: string; path: string; headers: IncomingMessage['headers']; body: string }[] = [];
  readonly server: Server;
  #arrived: (() => void)[] = [];

  constructor(handlers: Record<string, Handler>) {
    this.server = createServer((request, response) => {
      const chunks: string[] = [];
      request.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
      request.on('end', () => this.#arrive(request, response, chunks.join(''), handlers[request.url ?? '']));
    });
  }

  #arrive(request: IncomingMessage, response: ServerResponse, body: string, handler: Handler | undefined): void {
    this.requests.push({ method: request.method ?? '', path: request.url ?? '', headers: request.headers, body });
    for (const arrived of this.#arrived.splice(0)) arrived();
    if (handler) handler(request, response, body);
    else response.writeHead(404).end();
  }

  async listen(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  url(path: string, host = '127.0.0.1'): string {
    return `http://${host}:${this.port}${path}`;
  }

  async arrives(path: string): Promise<void> {
    while (!this.requests.some((r) => r.path === path)) await new Promise<void>((r) => this.#arrived.push(r));
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

function json(value: unknown, status = 200, headers: Record<string, string> = {}): Handler {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', date: 'x', ...headers });
    response.end(JSON.stringify(value));
  };
}

function redirect(status: number, location: string): Handler {
  return (_request, response) => response.writeHead(status, { location }).end();
}

function request(url: string, more: Partial<HttpBody> = {}): HttpBody {
  return {
    kind: 'http',
    method: 'GET',
    url,
    headers: {},
    secretHeaders: {},
    body: undefined,
    expect: ['2xx'],
    requestTimeoutMs: 10_000,
    retryable: true,
    ...more,
  };
}

const secrets = { read: async (_ns: string, name: string) => (name === 'api' ? 'hunter2-token' : null) };

function options(sink: RecordingSink, more: Partial<HttpExecutorOptions> = {}): HttpExecutorOptions {
  return { secrets, sink, clock: systemClock, lost: neverLost, allowLoopback: true, allowPrivate: () => true, ...more };
}

executorConformance('http', async (sink) => {
  const site = new Site({
    '/': (_request, response) => response.end('hello'),
    '/fails': (_request, response) => response.writeHead(500).end(),
    '/endless': () => {},
    '/text': (_request, response, body) => response.end(body),
  });
  await site.listen();
  const executor = new HttpExecutor(options(sink));
  const values = (headers: Record<string, string>, body: string) =>
    ({
      outcome: 'Succeeded',
      outputs: { values: { status: 200, headers: expect.objectContaining(headers), body } },
    }) as AttemptResult;
  return {
    executor,
    bodies: {
      succeeds: { body: request(site.url('/')), outputs: values({ 'content-length': '5' }, 'hello') },
      yieldsText: (characters) => ({
        body: request(site.url('/text'), { method: 'POST', body: 'x'.repeat(characters) }),
        outputs: values({}, 'x'.repeat(characters)),
      }),
      fails: request(site.url('/fails')),
      endless: request(site.url('/endless')),
    },
    endlessBegun: () => site.arrives('/endless'),
    endlessCount: async () => site.requests.filter((r) => r.path === '/endless').length,
    dispose: async () => {
      await executor.close();
      site.close();
    },
  };
});

describe('http steps', () => {
  const sink = new RecordingSink();
  const other = new Site({
    '/landed': json({ landed: true }),
    '/teapot': json({}, 418),
  });
  const site: Site = new Site({
    '/json': json({ a: [1, 'b\0c'], __proto__x: 1 }),
    '/broken-json': (_r, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"a":'),
    '/deep': (_r, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end('['.repeat(100) + ']'.repeat(100)),
    '/echo': (r, response) => response.end(JSON.stringify(r.headers)),
    '/busy': json({}, 429, { 'retry-after': '7' }),
    '/missing': json({}, 404),
    '/down': json({}, 503),
    '/large': (_r, response) => response.end('x'.repeat(1024 * 1024 + 1)),
    '/exact': (_r, response) => response.end('x'.repeat(1024 * 1024)),
    '/hangs-up': (r) => r.socket.destroy(),
    '/silent': () => {},
    '/slow-body': (_r, response) => void response.writeHead(200).write('a'),
    '/here': redirect(302, '/json'),
    '/there': (_r, response) => response.writeHead(307, { location: other.url('/landed') }).end(),
    '/loop': redirect(301, '/loop'),
    '/form': redirect(303, '/json'),
    '/keep': redirect(308, '/json'),
    '/metadata': redirect(302, 'http://169.254.169.254/latest/meta-data'),
    '/file': redirect(302, 'file:///etc/passwd'),
  });
  const executor = new HttpExecutor(options(sink));

  beforeAll(async () => {
    await site.listen();
    await other.listen();
  });
  afterAll(async () => {
    await executor.close();
    site.close();
    other.close();
  });

  async function send(body: HttpBody, by = executor, key = {}): Promise<AttemptResult> {
    const action = startAction(body, key);
    await by.start(action);
    return sink.end(action.key);
  }

  async function valuesOf(body: HttpBody): Promise<unknown> {
    const result = await send(body);
    return result.outcome === 'Succeeded' && 'values' in result.outputs ? result.outputs.values : result;
  }

  async function errorOf(body: HttpBody, by = executor) {
    const result = await send(body, by);
    if (result.outcome !== 'Failed') throw new Error(`expected a failure, got ${JSON.stringify(result)}`);
    return result.error;
  }

  test('JSON is parsed and made storable', async () => {
    expect(await valuesOf(request(site.url('/json')))).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: { a: [1, 'b\uFFFDc'] },
    });
    expect(await valuesOf(request(site.url('/broken-json')))).toMatchObject({ body: '{"a":' });
    expect(await errorOf(request(site.url('/deep')))).toMatchObject({ type: 'output', retryable: false });
  });

  test('bodies: a string as it is, anything else as JSON', async () => {
    await send(request(site.url('/json'), { method: 'POST', body: { n: 1 } }));
    expect(site.requests.at(-1)).toMatchObject({
      method: 'POST',
      body: '{"n":1}',
      headers: { 'content-type': 'application/json' },
    });
    await send(request(site.url('/json'), { method: 'PUT', body: 'a=1', headers: { 'Content-Type': 'text/x' } }));
    expect(site.requests.at(-1)).toMatchObject({ method: 'PUT', body: 'a=1', headers: { 'content-type': 'text/x' } });
  });

  test('all attempts of a step carry the same Idempotency-Key, other steps another', async () => {
    const keys: unknown[] = [];
    for (const key of [
      { runId: 'r1', step: 'a', item: -1, attempt: 1 },
      { runId: 'r1', step: 'a', item: -1, attempt: 2 },
      { runId: 'r1', step: 'b', item: -1, attempt: 1 },
    ]) {
      await send(request(site.url('/json')), executor, key);
      keys.push(site.requests.at(-1)?.headers['idempotency-key']);
    }
    expect(keys[0]).toMatch(/^[0-9a-f]{40}$/);
    expect(keys[1]).toBe(keys[0]);
    expect(keys[2]).not.toBe(keys[0]);
  });

  test('statuses: what is expected, what is worth a retry', async () => {
    expect(await errorOf(request(site.url('/missing')))).toMatchObject({ type: 'http', status: 404, retryable: false });
    expect(await errorOf(request(site.url('/down')))).toMatchObject({ status: 503, retryable: true });
    expect(await errorOf(request(site.url('/busy')))).toMatchObject({
      status: 429,
      retryable: true,
      retryAfterMs: 7000,
    });
    expect(await errorOf(request(site.url('/down'), { retryable: false }))).toMatchObject({ retryable: false });
    expect(await valuesOf(request(site.url('/missing'), { expect: ['2xx', '404'] }))).toMatchObject({ status: 404 });
    expect(await errorOf(request(site.url('/json'), { expect: ['201'] }))).toMatchObject({
      status: 200,
      retryable: false,
    });
  });

  test('Retry-After is seconds or a date', () => {
    const now = Date.parse('2026-03-01T00:00:00Z');
    expect(retryAfterMs('120', now)).toBe(120_000);
    expect(retryAfterMs('Sun, 01 Mar 2026 00:01:00 GMT', now)).toBe(60_000);
    expect(retryAfterMs('Sun, 01 Mar 2020 00:01:00 GMT', now)).toBe(0);
    expect(retryAfterMs('soon', now)).toBeNull();
    expect(retryAfterMs(undefined, now)).toBeNull();
  });

  test('connection errors are worth a retry', async () => {
    expect(await errorOf(request(site.url('/hangs-up')))).toMatchObject({ type: 'http', retryable: true });
    const gone = new Site({});
    await gone.listen();
    const url = gone.url('/');
    gone.close();
    expect(await errorOf(request(url))).toMatchObject({ type: 'http', retryable: true });
  });

  test('requestTimeout covers silence and a body that never ends', async () => {
    for (const path of ['/silent', '/slow-body']) {
      expect(await errorOf(request(site.url(path), { requestTimeoutMs: 50 }))).toEqual({
        type: 'http',
        message: 'no answer within 0.05 s',
        retryable: true,
        unreachable: true,
      });
    }
  });

  test('bodies of up to 1 MiB', async () => {
    expect(await valuesOf(request(site.url('/exact')))).toMatchObject({ status: 200 });
    expect(await errorOf(request(site.url('/large')))).toMatchObject({ retryable: false });
  });

  test('redirects are followed, at most five, with the method that browsers use', async () => {
    expect(await valuesOf(request(site.url('/here')))).toMatchObject({ status: 200 });
    await send(request(site.url('/form'), { method: 'POST', body: 'x' }));
    expect(site.requests.at(-1)).toMatchObject({ path: '/json', method: 'GET', body: '' });
    await send(request(site.url('/keep'), { method: 'POST', body: 'x' }));
    expect(site.requests.at(-1)).toMatchObject({ path: '/json', method: 'POST', body: 'x' });
    const before = site.requests.length;
    expect(await errorOf(request(site.url('/loop')))).toMatchObject({ retryable: false });
    expect(site.requests.length - before).toBe(6);
  });

  test('credentials stay with their origin', async () => {
    const body = (path: string) =>
      request(site.url(path), {
        headers: { Authorization: 'Basic abc', Cookie: 'a=b', 'X-Other': 'kept' },
        secretHeaders: { 'X-Api-Key': { name: 'api', key: 'token', prefix: 'Bearer ' } },
      });
    await send(body('/here'));
    expect(site.requests.at(-1)).toMatchObject({
      path: '/json',
      headers: { authorization: 'Basic abc', cookie: 'a=b', 'x-api-key': 'Bearer hunter2-token' },
    });
    await send(body('/there'));
    const landed = other.requests.at(-1);
    expect(landed).toMatchObject({ path: '/landed', headers: { 'x-other': 'kept' } });
    for (const name of ['authorization', 'cookie', 'x-api-key']) expect(landed?.headers).not.toHaveProperty(name);
  });

  test('an answer that shows the secret is refused', async () => {
    const secretHeaders = { 'X-Api-Key': { name: 'api', key: 'token', prefix: '' } };
    expect(await errorOf(request(site.url('/echo'), { secretHeaders }))).toMatchObject({
      type: 'secretInOutput',
      retryable: false,
    });
  });

  test('a secret that is missing keeps the request from being sent', async () => {
    const before = site.requests.length;
    const secretHeaders = { 'X-Api-Key': { name: 'nobody', key: 'token', prefix: '' } };
    expect(await errorOf(request(site.url('/json'), { secretHeaders }))).toMatchObject({ type: 'secretMissing' });
    expect(site.requests).toHaveLength(before);
  });

  test('what must not be reached is not, by address, by name or by redirect', async () => {
    const cautious = new HttpExecutor(options(sink, { allowLoopback: false }));
    for (const url of [site.url('/json'), site.url('/json', 'localhost'), site.url('/json', '[::ffff:127.0.0.1]')]) {
      expect(await errorOf(request(url), cautious)).toMatchObject({
        retryable: false,
        message: expect.stringContaining('loopback'),
      });
    }
    expect(await errorOf(request(site.url('/metadata')))).toMatchObject({
      retryable: false,
      message: expect.stringContaining('169.254.169.254'),
    });
    expect(await errorOf(request(site.url('/file')))).toMatchObject({ retryable: false });
    expect(await errorOf(request('http://user:pw@127.0.0.1/'))).toMatchObject({ retryable: false });
    expect(await errorOf(request('nonsense'))).toMatchObject({ retryable: false });
    await cautious.close();
  });

  test('a name is resolved once, and what it then means is what is connected to', async () => {
    const answers = ['127.0.0.1', '169.254.169.254'];
    const asked: string[] = [];
    const rebound = new HttpExecutor(
      options(sink, {
        resolve: async (name) => {
          asked.push(name);
          return [{ address: answers.shift() ?? '169.254.169.254', family: 4 }];
        },
      }),
    );
    const action = startAction(request(site.url('/json', 'rebind.test')));
    await rebound.start(action);
    expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded' });
    expect(asked).toEqual(['rebind.test']);
    expect(site.requests.at(-1)?.headers.host).toBe(`rebind.test:${site.port}`);
    expect(await errorOf(request(site.url('/json', 'rebind.test')), rebound)).toMatchObject({ retryable: false });
    await rebound.close();
  });

  test('a header that cannot be sent is a mistake, not a crash', async () => {
    expect(await errorOf(request(site.url('/json'), { headers: { 'X-A': 'a\r\nb: c' } }))).toMatchObject({
      type: 'http',
      retryable: false,
    });
    expect(await errorOf(request(site.url('/json'), { headers: { 'bad name': 'a' } }))).toMatchObject({
      retryable: false,
    });
    expect(await errorOf(request(site.url('/json'), { headers: { 'transfer-encoding': 'chunked' } }))).toMatchObject({
      retryable: false,
    });
  });

  test('stop ends the request', async () => {
    const action = startAction(request(site.url('/silent')));
    await executor.start(action);
    await site.arrives('/silent');
    await executor.stop(stopAction(action, 0));
    expect(sink.endsOf(action.key)).toEqual([{ outcome: 'Stopped' }]);
  });
});
