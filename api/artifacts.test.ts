import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createArtifactDirectory } from '../controller/artifacts/directory.ts';
import type { ArtifactRef } from '../controller/core/run/types.ts';
import { collect } from '../controller/executors/artifacts/collect.ts';
import { systemClock } from '../controller/runtime/clock.ts';
import { type ApiWorld, host, openApiWorld, token } from '../test/fixtures/api.ts';
import { runRow, stepRow, transition } from '../test/fixtures/history.ts';
import { createClient, type Page, type RunArtifact } from './client.ts';

const directory = mkdtempSync(join(tmpdir(), 'windlass-api-artifacts-'));
const store = createArtifactDirectory(join(directory, 'kept'), systemClock);
let world: ApiWorld;
let orders: ArtifactRef;
let site: ArtifactRef;

beforeAll(async () => {
  world = await openApiWorld({ artifacts: store });
  mkdirSync(join(directory, 'site/css'), { recursive: true });
  writeFileSync(join(directory, 'site/index.html'), '<p>');
  writeFileSync(join(directory, 'orders.json'), '[1, 2]');
  const keep = async (path: string): Promise<ArtifactRef> => {
    const { content, folder } = await collect(directory, path);
    return { ...(await store.put(content, 1e6)), folder };
  };
  [orders, site] = [await keep('orders.json'), await keep('site')];
  const run = runRow('run-1', { namespace: 'dev', name: 'nightly' });
  await world.store.runs.create(run);
  const [claim] = await world.store.runs.claim(10);
  const gone = { digest: `sha256:${'0'.repeat(64)}`, bytes: 3, folder: false };
  await world.store.runs.commit(
    transition(
      { ...run, revision: 2 },
      {
        steps: [
          stepRow('run-1', 'fetch', { artifacts: { orders, site, gone } }),
          stepRow('run-1', 'check'),
          stepRow('run-1', 'each', { items: 3 }),
          ...[0, 1, 2].map((item) =>
            stepRow('run-1', 'each', { item, label: `l${item}`, artifacts: { part: orders } }),
          ),
        ],
      },
    ),
    claim?.fence ?? 0,
  );
}, 60_000);
afterAll(async () => {
  await world.close();
  rmSync(directory, { recursive: true, force: true });
});

const base = '/api/v1/namespaces/dev/runs/nightly';

test('what a run has kept is listed, page by page', async () => {
  const all = await world.call<Page<RunArtifact>>('GET', `${base}/artifacts`);
  expect(all.body.items.map(({ step, item, name }) => [step, item, name])).toEqual([
    ['fetch', -1, 'gone'],
    ['fetch', -1, 'orders'],
    ['fetch', -1, 'site'],
    ['each', 0, 'part'],
    ['each', 1, 'part'],
    ['each', 2, 'part'],
  ]);
  expect(all.body.items[1]).toEqual({ step: 'fetch', item: -1, label: null, name: 'orders', ...orders });
  expect(all.body.items[3]?.label).toBe('l0');
  const pages: RunArtifact[] = [];
  for (let after = ''; ; ) {
    const { body } = await world.call<Page<RunArtifact>>('GET', `${base}/artifacts?limit=2${after}`);
    expect(body.items.length).toBeLessThanOrEqual(2);
    pages.push(...body.items);
    if (body.next === null) break;
    after = `&after=${body.next}`;
  }
  expect(pages).toEqual(all.body.items);
});

test('a file is downloaded as it was, under its name', async () => {
  const answer = await world.call<string>('GET', `${base}/steps/fetch/artifacts/orders`);
  expect([answer.status, answer.body]).toEqual([200, '[1, 2]']);
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'content-disposition': 'attachment; filename="orders"',
    'content-length': '6',
    'content-type': 'application/octet-stream',
    etag: `"${orders.digest}"`,
    'x-content-type-options': 'nosniff',
  });
});

test('a folder is downloaded as an archive', async () => {
  const response = await world.app.request(`http://${host}${base}/steps/fetch/artifacts/site`, {
    headers: { host, authorization: `Bearer ${token}` },
  });
  expect(response.headers.get('content-disposition')).toBe('attachment; filename="site.tar"');
  const listed = execFileSync('tar', ['tf', '-'], {
    input: Buffer.from(await response.arrayBuffer()),
    encoding: 'utf8',
  });
  expect(listed.trim().split('\n')).toEqual(['css/', 'index.html']);
});

test('of a step that runs for each item, the item is said', async () => {
  expect((await world.call('GET', `${base}/steps/each/artifacts/part?item=2`)).body).toBe('[1, 2]');
  const missing = await world.refused('GET', `${base}/steps/each/artifacts/part?item=3`);
  expect(missing.detail).toContain('artifact part of item 3 of step each');
});

test.each([
  ['an unknown name', 'fetch/artifacts/nothing', 404, 'There are: gone, orders, site'],
  ['a step without any', 'check/artifacts/orders', 404, 'There are none at all'],
  ['an unknown step', 'nowhere/artifacts/orders', 404, 'artifact orders of step nowhere'],
  ['content that has expired', 'fetch/artifacts/gone', 404, 'artifact gone of step fetch is no longer kept'],
  ['a name that is none', 'fetch/artifacts/..%2f..%2fetc', 400, 'artifact'],
  ['a name of every object', 'fetch/artifacts/constructor', 404, 'artifact constructor of step fetch'],
  ['no item of a step that has some', 'each/artifacts/part', 404, 'kept per item: say --item 0..2'],
  ['an item beyond any', 'each/artifacts/part?item=10000', 400, 'item'],
])('%s is refused with what to do', async (_, path, status, detail) => {
  const problem = await world.refused('GET', `${base}/steps/${path}`);
  expect(problem.status).toBe(status);
  expect(problem.detail).toContain(detail);
});

test('a run that is not there has none', async () => {
  expect((await world.refused('GET', '/api/v1/namespaces/dev/runs/other/artifacts')).status).toBe(404);
  expect((await world.refused('GET', '/api/v1/namespaces/dev/runs/other/steps/a/artifacts/b')).status).toBe(404);
});

test('nobody reads them without a token', async () => {
  const response = await world.app.request(`http://${host}${base}/steps/fetch/artifacts/orders`, { headers: { host } });
  expect(response.status).toBe(401);
});

test('the client hands the content on as it comes', async () => {
  const client = createClient({
    server: `http://${host}`,
    token,
    fetch: async (request) => {
      request.headers.set('host', host);
      return world.app.request(request);
    },
  });
  const key = { namespace: 'dev', name: 'nightly' };
  const { content, fileName } = await client.artifact(key, 'fetch', 'site');
  expect(fileName).toBe('site.tar');
  const bytes = Buffer.concat(await Readable.fromWeb(content as never).toArray());
  expect(bytes.byteLength).toBe(site.bytes);
  await expect(client.artifact(key, 'fetch', 'nothing')).rejects.toThrow('There are: gone, orders, site');
});
