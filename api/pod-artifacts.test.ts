import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hono } from 'hono';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createArtifactDirectory } from '../controller/artifacts/directory.ts';
import { systemClock } from '../controller/runtime/clock.ts';
import { openStore } from '../controller/store/open.ts';
import type { Store } from '../controller/store/types.ts';
import { runRow, stepRow, transition } from '../test/fixtures/history.ts';
import { type Listening, listen } from './listen.ts';
import { podArtifactRoutes } from './pod-artifacts.ts';

const maxBytes = 300_000;
const mine = Buffer.from('mine');
let directory: string;
let store: Store;
let server: Listening;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-pod-api-'));
  store = await openStore({ dataDir: directory }, { clock: systemClock, home: 'test' });
  const artifacts = createArtifactDirectory(join(directory, 'kept'), systemClock);
  const app = new Hono();
  podArtifactRoutes(app, {
    store,
    log: { error: () => {}, warn: () => {} },
    podArtifacts: {
      store: artifacts,
      maxBytes,
      identify: async (token) => {
        const [namespace = '', runId = ''] = token.split('/');
        return token.startsWith('wrong') ? null : { namespace, runId };
      },
    },
  });
  server = await listen(app, { host: '127.0.0.1', port: 0 });
  const { digest, bytes } = await put(mine).then(
    (answer) => answer.json() as Promise<{ digest: string; bytes: number }>,
  );
  const run = runRow('run-1', { namespace: 'dev' });
  await store.runs.create(run);
  const [claim] = await store.runs.claim(10);
  const steps = [stepRow('run-1', 'made', { artifacts: { it: { digest, bytes, folder: false } } })];
  await store.runs.commit(transition(run, { steps }), claim?.fence ?? 0);
}, 60_000);
afterAll(async () => {
  await server.close();
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

const as = (token: string) => ({ authorization: `Bearer ${token}` });

function put(body: Uint8Array, token = 'dev/run-1'): Promise<Response> {
  return fetch(new URL('/pod/v1/artifacts', server.url), {
    method: 'PUT',
    body: Buffer.from(body),
    headers: as(token),
  });
}

function get(digest: string, token = 'dev/run-1'): Promise<Response> {
  return fetch(new URL(`/pod/v1/artifacts/${digest}`, server.url), { headers: as(token) });
}

test('what a Pod sends is kept by its digest', async () => {
  for (const bytes of [randomBytes(maxBytes), Buffer.alloc(0)]) {
    const answer = await put(bytes);
    expect([answer.status, await answer.json()]).toEqual([200, { digest: digestOf(bytes), bytes: bytes.byteLength }]);
  }
});

test('one byte more than is allowed is refused', async () => {
  expect((await put(randomBytes(maxBytes + 1))).status).toBe(413);
});

test('a body that breaks off is not kept', async () => {
  const before = await readdir(join(directory, 'kept'), { recursive: true });
  await new Promise<void>((resolve) => {
    const url = new URL('/pod/v1/artifacts', server.url);
    const sending = request(url, { method: 'PUT', headers: { ...as('dev/run-1'), 'content-length': 1000 } });
    sending.on('error', () => resolve());
    sending.write(randomBytes(10), () => sending.destroy());
    sending.on('close', () => resolve());
  });
  // Whatever it does with it, it has done when it answers the next one.
  await put(mine);
  expect(await readdir(join(directory, 'kept'), { recursive: true })).toEqual(before);
});

test.each([
  ['its own run’s', 'dev/run-1', 200],
  ['another run’s', 'dev/run-2', 404],
  ['that of a run which its namespace does not have', 'prod/run-1', 404],
  ['nobody’s', 'wrong', 401],
])('a Pod reads %s', async (_, token, status) => {
  const answer = await get(digestOf(mine), token);
  expect(answer.status).toBe(status);
  if (status === 200) expect(await answer.text()).toBe('mine');
});

test.each([[`sha256:${'0'.repeat(64)}`], ['sha256:..%2f..%2fx'], ['x']])('there is no %s', async (digest) => {
  expect((await get(digest)).status).toBe(404);
});

test('who has no token may do nothing', async () => {
  const url = new URL('/pod/v1/artifacts', server.url);
  expect((await fetch(url, { method: 'PUT', body: 'x' })).status).toBe(401);
  expect((await put(mine, 'wrong')).status).toBe(401);
});
