import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { KubernetesClient } from './client.ts';
import type { Listed } from './list.ts';
import { listWatch } from './list-watch.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** Answers requests in turn, each at the word of the test: `list` or `watch=VERSION`, and where to answer. */
async function follow() {
  const came: { asked: string; seconds: string | null; answer: ServerResponse }[] = [];
  let bell = Promise.withResolvers<void>();
  const server = createServer(({ url = '' }, answer) => {
    const { searchParams: query } = new URL(url, 'http://x');
    const page = query.get('continue');
    const list = page === null ? 'list' : `list ${page}`;
    const asked = query.has('watch') ? `watch=${query.get('resourceVersion')}` : list;
    came.push({ asked, seconds: query.get('timeoutSeconds'), answer });
    bell.resolve();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: 'c', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }, { name: 'u' });
  const client = new KubernetesClient(config);
  const clock = createVirtualClock();
  const stopping = new AbortController();
  const seen: string[] = [];
  const ended = listWatch<Listed>({
    client,
    path: '/api/v1/pods',
    clock,
    onList: (objects, version) => void seen.push(`${objects.map((o) => o.metadata.name).join()} at ${version}`),
    onChange: (type, { metadata }) => void seen.push(`${metadata.name} ${type}`),
    onError: (error, normal) => void seen.push(`${normal ? 'normal' : 'trouble'}: ${(error as Error).message}`),
    signal: stopping.signal,
  });
  closing.push(() => {
    stopping.abort();
    client.close();
    server.closeAllConnections();
    server.close();
  });

  /** The next request, which the clock is turned for. Returns how long that was. */
  async function next(asked: string) {
    const before = clock.now();
    while (came.length === 0) {
      bell = Promise.withResolvers<void>();
      const pausing = setInterval(() => clock.next(), 1);
      await bell.promise;
      clearInterval(pausing);
    }
    const got = came.shift();
    expect(got?.asked).toBe(asked);
    const { answer, seconds } = got as (typeof came)[number];
    return {
      seconds,
      waited: clock.now() - before,
      tell: (type: string, object: object) => answer.write(`${JSON.stringify({ type, object })}\n`),
      end: () => void answer.end(),
      list: (version: string, names: string[], more?: string) =>
        answer.end(JSON.stringify({ metadata: { resourceVersion: version, continue: more }, items: names.map(named) })),
      refuse: (code: number, headers: Record<string, string> = {}) =>
        answer.writeHead(code, headers).end(JSON.stringify({ kind: 'Status', code, reason: 'No', message: 'no' })),
    };
  }

  return { next, seen, clock, stop: () => (stopping.abort(), ended) };
}

function named(name: string, version = 0): Listed & { metadata: { managedFields: object[] } } {
  return { metadata: { name, uid: name, resourceVersion: String(version), managedFields: [] } };
}

test('a watch that ends in good order goes on from what was heard last, at once and without a list', async () => {
  const { next, seen, clock, stop } = await follow();
  (await next('list')).list('5', ['a']);
  const first = await next('watch=5');
  first.tell('ADDED', named('b', 6));
  first.tell('DELETED', named('a', 7));
  first.tell('BOOKMARK', { metadata: { resourceVersion: '9' } });
  first.end();
  expect((await next('watch=9')).waited).toBe(0);
  expect(seen).toEqual(['a at 5', 'b changed', 'a gone']);
  await stop();
  expect(clock.pending()).toBe(0);
});

test('everything is listed anew after ten minutes, for which a watch may run at most', async () => {
  const { next, clock } = await follow();
  (await next('list')).list('5', []);
  const first = await next('watch=5');
  expect(first.seconds).toBe('600');
  clock.advance(200_000);
  first.end();
  const second = await next('watch=5');
  expect(second.seconds).toBe('400');
  clock.advance(400_000);
  second.end();
  (await next('list')).list('6', []);
  await next('watch=6');
});

test('a list in pages is one list; it begins anew when the history of its first page is gone', async () => {
  const { next, seen } = await follow();
  (await next('list')).list('5', ['a'], 'p2');
  (await next('list p2')).refuse(410);
  (await next('list')).list('7', ['b'], 'p2');
  (await next('list p2')).list('7', ['c']);
  await next('watch=7');
  expect(seen).toEqual(['b,c at 7']);
});

test('lost history is normal once, whichever way it is said', async () => {
  const { next, seen } = await follow();
  (await next('list')).list('5', []);
  (await next('watch=5')).refuse(410);
  (await next('list')).list('6', []);
  const watch = await next('watch=6');
  watch.tell('BOOKMARK', { metadata: { resourceVersion: '7' } });
  watch.end();
  (await next('watch=7')).tell('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' });
  await next('list');
  expect(seen.filter((line) => line.includes('410')).map((line) => line.split(' ')[0])).toEqual(['normal:', 'normal:']);
});

test('a throttled watch is asked for again when the API server says so', async () => {
  const { next, seen } = await follow();
  (await next('list')).list('5', []);
  (await next('watch=5')).refuse(429, { 'retry-after': '3' });
  expect((await next('list')).waited).toBe(3000);
  expect(seen.at(-1)).toMatch(/^normal: .*429/);
});

test('watches that end as soon as they begin are no storm: the pauses grow', async () => {
  const { next, seen } = await follow();
  (await next('list')).list('5', []);
  const waited: number[] = [];
  for (let i = 0; i < 3; i++) {
    const watch = await next('watch=5');
    waited.push(watch.waited);
    watch.end();
  }
  for (let i = 0; i < 6; i++) {
    const list = await next('list');
    waited.push(list.waited);
    list.list('5', []);
    (await next('watch=5')).end();
  }
  expect(waited[1]).toBeGreaterThanOrEqual(50);
  expect(waited.at(-1)).toBeGreaterThanOrEqual(1600);
  expect(seen).toContain('trouble: watches are ended as soon as they begin');
});
