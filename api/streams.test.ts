import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createVirtualClock } from '../test/fixtures/clock.ts';
import type { Store } from '../controller/store/types.ts';
import {
  addRun,
  addWorkflow,
  type ApiWorld,
  change,
  dependencies,
  host,
  openApiWorld,
  token,
} from '../test/fixtures/api.ts';
import { type ApiProblem, type Client, createClient, type LogEvent } from './client.ts';
import type { AppDependencies } from './dependencies.ts';
import { createApp } from './app.ts';
import { readServerEvents } from './event-source.ts';
import { formatCursor, parseCursor } from './log-follower.ts';

let world: ApiWorld;
let client: Client;
const closing = new AbortController();

/** A client whose connection is the app itself. */
function clientOf(send: (request: Request) => Promise<Response>): Client {
  return createClient({
    server: `http://${host}`,
    token,
    fetch(request) {
      request.headers.set('host', host);
      return send(request);
    },
  });
}

beforeAll(async () => {
  world = await openApiWorld({ closing: closing.signal });
  client = clientOf(async (request) => world.app.request(request));
  await addWorkflow(world.store);
});
afterAll(async () => {
  closing.abort();
  await world.close();
});

const key = (name: string) => ({ namespace: 'dev', name });
const append = (runId: string, step: string, attempt: number, position: number, text: string) =>
  world.store.logs.append({ runId, step, item: -1, attempt }, position, new TextEncoder().encode(text));
const textOf = (events: LogEvent[]) =>
  events.flatMap((e) => (e.event === 'log' ? e.lines.map((l) => l.text) : [`[${e.phase}]`])).join('');

async function collect<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of from) all.push(item);
  return all;
}

describe('logs', () => {
  test('are followed as they grow, over the attempts of a step, to its end', async () => {
    const run = await addRun(world.store, {
      name: 'grows',
      run: { phase: 'Running' },
      attempts: [{ step: 'fetch', number: 1 }],
    });
    await append(run.id, 'fetch', 1, 0, 'one\n');
    const events: LogEvent[] = [];
    const reader = client.followLogs(key('grows'), { step: 'fetch' });
    const next = async () => {
      const { value } = await reader.next();
      if (value) events.push(value);
    };
    await next();
    expect(textOf(events)).toBe('one\n');

    await append(run.id, 'fetch', 1, 4, 'two\n');
    await next();
    await change(world.store, run.id, {
      attempts: [
        { step: 'fetch', number: 1, phase: 'Failed', finishedAt: 1 },
        { step: 'fetch', number: 2, startedAt: Date.UTC(2026, 0, 6) },
      ],
    });
    await append(run.id, 'fetch', 2, 0, 'again\n');
    await next();
    await change(world.store, run.id, {
      steps: [{ step: 'fetch', phase: 'Succeeded', finishedAt: 2 }],
      attempts: [{ step: 'fetch', number: 2, phase: 'Succeeded', finishedAt: 2 }],
    });
    await next();
    expect(textOf(events)).toBe('one\ntwo\nagain\n[Succeeded]');
    expect((await reader.next()).done).toBe(true);
  });

  test('of one attempt end with it, though the step goes on', async () => {
    const run = await addRun(world.store, {
      name: 'retries',
      run: { phase: 'Running' },
      steps: [{ step: 'fetch', phase: 'Retrying' }],
      attempts: [{ step: 'fetch', number: 1, phase: 'Failed', finishedAt: 1 }],
    });
    await append(run.id, 'fetch', 1, 0, 'broken\n');
    const events = await collect(client.followLogs(key('retries'), { step: 'fetch', attempt: 1 }));
    expect(textOf(events)).toBe('broken\n[Failed]');
  });

  test('of an attempt that stayed open end with its run', async () => {
    await addRun(world.store, {
      name: 'unstorable',
      run: { phase: 'Failed', finishedAt: 9 },
      steps: [{ step: 'fetch', phase: 'Cancelled', finishedAt: 9 }],
      attempts: [{ step: 'fetch', number: 1, phase: 'Stopping' }],
    });
    const of = { step: 'fetch', attempt: 1 };
    expect(await collect(client.followLogs(key('unstorable'), of))).toEqual([{ event: 'end', phase: 'Failed' }]);
    expect(await client.stepLogs(key('unstorable'), 'fetch', { attempt: 1 })).toMatchObject({ ended: true });
  });

  test('of a whole run carry step and attempt, and end with the run', async () => {
    const run = await addRun(world.store, {
      name: 'whole',
      run: { phase: 'Succeeded', finishedAt: 9 },
      attempts: [
        { step: 'fetch', number: 1, phase: 'Succeeded', finishedAt: 2 },
        { step: 'publish', number: 1, startedAt: Date.UTC(2026, 0, 6), phase: 'Succeeded', finishedAt: 3 },
      ],
    });
    await append(run.id, 'fetch', 1, 0, 'fetched\n');
    await append(run.id, 'publish', 1, 0, 'published\n');
    expect(await collect(client.followLogs(key('whole')))).toEqual([
      { event: 'log', step: 'fetch', item: -1, attempt: 1, lines: [{ position: 8, text: 'fetched\n' }] },
      { event: 'log', step: 'publish', item: -1, attempt: 1, lines: [{ position: 10, text: 'published\n' }] },
      { event: 'end', phase: 'Succeeded' },
    ]);
  });

  test.each([1, 2, 3, 4])('go on where connection number %i was cut, with nothing lost or twice', async (cutAfter) => {
    const name = `cut-${cutAfter}`;
    const run = await addRun(world.store, {
      name,
      run: { phase: 'Failed', finishedAt: 9 },
      attempts: [1, 2].flatMap((number) => [
        { step: 'fetch', number, startedAt: number, phase: 'Failed', finishedAt: 10 } as const,
        { step: 'publish', number, startedAt: number + 2, phase: 'Failed', finishedAt: 10 } as const,
      ]),
    });
    for (const step of ['fetch', 'publish']) {
      for (const attempt of [1, 2]) await append(run.id, step, attempt, 0, `${step} ${attempt}\n`);
    }
    let connections = 0;
    const cut = clientOf(async (request) => {
      const response = await world.app.request(request);
      return ++connections === 1 ? cutEvents(response, cutAfter) : response;
    });
    expect(textOf(await collect(cut.followLogs(key(name))))).toBe('fetch 1\nfetch 2\npublish 1\npublish 2\n[Failed]');
    expect(connections).toBe(2);
  });

  test('of a run that has not begun wait for it', async () => {
    const object = await world.store.objects.create({
      kind: 'WorkflowRun',
      metadata: key('later'),
      spec: { workflow: 'report' },
    });
    const leave = new AbortController();
    const reader = client.followLogs(key('later'), { signal: leave.signal });
    const first = reader.next();
    const run = await addRun(world.store, { name: 'other-later', object: false });
    await world.store.runs.create({ ...run, id: object.metadata.uid, name: 'later', revision: 0 });
    await change(world.store, object.metadata.uid, { attempts: [{ step: 'fetch', number: 1 }] });
    await append(object.metadata.uid, 'fetch', 1, 0, 'begun\n');
    expect((await first).value).toMatchObject({ lines: [{ text: 'begun\n' }] });
    leave.abort();
    expect((await reader.next()).done).toBe(true);
  });

  test.each(['deleted', 'cancelled'])('of a run that is %s before it began end', async (how) => {
    const name = `${how}-early`;
    const { metadata } = await world.store.objects.create({
      kind: 'WorkflowRun',
      metadata: key(name),
      spec: { workflow: 'report' },
    });
    const open = Promise.withResolvers<void>();
    const follower = clientOf(async (request) => {
      const response = await world.app.request(request);
      open.resolve();
      return response;
    });
    const events = collect(follower.followLogs(key(name)));
    await open.promise;
    if (how === 'deleted') await world.store.objects.delete('WorkflowRun', 'dev', name);
    else {
      const finishedAt = new Date(0).toISOString();
      await world.store.objects.writeStatus('WorkflowRun', metadata, { phase: 'Cancelled', finishedAt });
      expect(await client.run(key(name))).toMatchObject({ phase: 'Cancelled', finishedAt });
      await expect(client.cancelRun(key(name))).rejects.toMatchObject({ status: 409 });
    }
    expect(await events).toEqual([{ event: 'end', phase: 'Cancelled' }]);
  });

  test('are refused with a problem, not retried', async () => {
    await expect(collect(client.followLogs(key('none')))).rejects.toMatchObject({ name: 'ApiProblem', status: 404 });
    const path = '/api/v1/namespaces/dev/runs/whole/logs';
    expect(await world.refused('GET', path, undefined, { 'last-event-id': 'nonsense' })).toMatchObject({ status: 400 });
  });

  test('cursors survive the way through an id', () => {
    const cursor = new Map([
      ['fetch', { attempt: 1, position: 0 }],
      ['a_b2', { attempt: 40, position: 4_194_304 }],
    ]);
    expect(parseCursor(formatCursor(cursor))).toEqual(cursor);
    expect(parseCursor(undefined)).toEqual(new Map());
  });
});

describe('events', () => {
  const event = (name: string) => ({
    kind: 'Environment',
    namespace: 'default',
    name,
    type: 'Normal' as const,
    reason: 'Promoted',
    message: name,
    at: 0,
  });

  test('are followed, filtered, and resumed by Last-Event-ID', async () => {
    await world.store.events.append([event('a'), event('b'), event('a')]);
    const { items } = await client.events({ kind: 'Environment', name: 'a' });
    expect(items).toHaveLength(2);
    let connections = 0;
    const asked: (string | null)[] = [];
    const cut = clientOf(async (request) => {
      asked.push(request.headers.get('last-event-id'));
      const response = await world.app.request(request);
      return ++connections === 1 ? cutEvents(response, 1) : response;
    });
    const leave = new AbortController();
    const reader = cut.followEvents({ kind: 'Environment', name: 'a' }, leave.signal);
    expect((await reader.next()).value).toEqual(items[0]);
    expect((await reader.next()).value).toEqual(items[1]);
    expect(asked).toEqual([null, String(items[0]?.id)]);
    const coming = reader.next();
    await world.store.events.append([event('b'), { ...event('a'), message: 'live' }]);
    expect((await coming).value).toMatchObject({ message: 'live' });
    leave.abort();
    expect((await reader.next()).done).toBe(true);
  });

  test('an id that is none is refused', async () => {
    const headers = { accept: 'text/event-stream', 'last-event-id': 'x' };
    expect(await world.refused('GET', '/api/v1/events', undefined, headers)).toMatchObject({ status: 400 });
  });
});

/** An app of its own over the same database. */
function streamOf(changes: Partial<AppDependencies>, store: Store = world.store): Promise<Response> | Response {
  return createApp(dependencies(store, changes)).request(
    `http://${host}/api/v1/events?after=${Number.MAX_SAFE_INTEGER}`,
    {
      headers: { host, authorization: `Bearer ${token}`, accept: 'text/event-stream' },
    },
  );
}

test('streams end when the server is about to stop', async () => {
  const stop = new AbortController();
  const response = await streamOf({ closing: stop.signal });
  const done = collect(readServerEvents(response.body as ReadableStream<Uint8Array>));
  stop.abort();
  expect(await done).toEqual([]);
});

test('a silent stream is kept open by comments', async () => {
  const clock = createVirtualClock();
  const response = await streamOf({ clock });
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const text = async () => new TextDecoder().decode((await reader.read()).value);
  expect(await text()).toBe(': open\n\n');
  const kept = text();
  while (clock.monotonic() < 20_000) {
    // the stream sets its timer once it has looked for news
    await new Promise(setImmediate);
    clock.next();
  }
  expect(await kept).toBe(': keep-alive\n\n');
  await reader.cancel();
});

test('HEAD starts no stream', async () => {
  let subscribed = 0;
  const onAppend = () => {
    subscribed++;
    return () => {};
  };
  const store = { ...world.store, events: { ...world.store.events, onAppend } };
  const headers = { host, authorization: `Bearer ${token}`, accept: 'text/event-stream' };
  const app = createApp(dependencies(store));
  const response = await app.request(`http://${host}/api/v1/events`, { method: 'HEAD', headers });
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
  expect(subscribed).toBe(0);
});

test('a failure inside a stream is told without internals, and logged', async () => {
  const events = { ...world.store.events, list: () => Promise.reject(new Error('secret internals')) };
  const logged: string[] = [];
  const log = { error: (_: object, message: string) => void logged.push(message), warn: () => {} };
  const response = await streamOf({ log }, { ...world.store, events });
  const [told] = await collect(readServerEvents(response.body as ReadableStream<Uint8Array>));
  expect(told).toMatchObject({ event: 'error' });
  expect(told?.data).not.toContain('secret');
  expect(logged).toEqual(['event stream failed']);
});

describe('the client', () => {
  test('turns problems into errors', async () => {
    const error = await client.createRun('dev', { workflow: 'reprot' }).then(
      () => undefined,
      (e: ApiProblem) => e,
    );
    expect(error).toMatchObject({ name: 'ApiProblem', status: 404, problem: { title: 'There is no such thing' } });
    expect(error?.message).toContain('There are: report.');
  });

  test('says what came when it was no problem+json', async () => {
    const proxied = clientOf(async () => new Response('<h1>Bad gateway</h1>', { status: 502 }));
    await expect(proxied.runs()).rejects.toMatchObject({
      status: 502,
      message: expect.stringContaining('Bad gateway'),
    });
  });

  test('sends lists as repeated parameters and bodies as JSON', async () => {
    const object = await client.createRun('dev', { workflow: 'report', name: 'by-client', inputs: { region: 'eu' } });
    expect(object.metadata.name).toBe('by-client');
    const { items } = await client.runs({ phase: ['Pending', 'Failed'], namespace: 'dev', name: 'by-client' });
    expect(items).toMatchObject([{ name: 'by-client', phase: 'Pending' }]);
    expect(await client.pauseRun(key('by-client'), { reason: 'why not' })).toMatchObject({
      spec: { desired: 'Paused' },
    });
    expect(await client.get('WorkflowRun', key('by-client'))).toMatchObject({ spec: { reason: 'why not' } });
    await client.delete('WorkflowRun', key('by-client'));
    await expect(client.run(key('by-client'))).rejects.toMatchObject({ status: 404 });
    expect(await client.readiness()).toEqual({ ok: true, reasons: [] });
  });
});

/** The answer, broken off in the middle of the event after the first `count`. */
function cutEvents(response: Response, count: number): Response {
  let seen = 0;
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let rest = '';
  const body = (response.body as ReadableStream<Uint8Array>).pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller) {
        rest += decoder.decode(bytes, { stream: true });
        for (let end = rest.indexOf('\n\n'); end !== -1; end = rest.indexOf('\n\n')) {
          const block = rest.slice(0, end + 2);
          rest = rest.slice(end + 2);
          if (!block.startsWith(':') && ++seen > count) {
            controller.enqueue(encoder.encode(block.slice(0, block.length / 2)));
            controller.terminate();
            return;
          }
          controller.enqueue(encoder.encode(block));
        }
      },
    }),
  );
  return new Response(body, { status: response.status, headers: response.headers });
}
