import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createArtifactDirectory } from '../controller/artifacts/directory.ts';
import { systemClock } from '../controller/runtime/clock.ts';
import { type ApiWorld, addRun, addWorkflow, host, openApiWorld, token } from '../test/fixtures/api.ts';
import { createClient, type LogEvent, type LogPage } from './client.ts';

const border = 4 * 1024 * 1024;
const whole = Buffer.from('ä line of output that goes on and on\n'.repeat(130_000));
const directory = mkdtempSync(join(tmpdir(), 'windlass-api-logs-'));
const artifacts = createArtifactDirectory(directory, systemClock);
const path = '/api/v1/namespaces/dev/runs/prints/steps/fetch/logs';
let world: ApiWorld;

beforeAll(async () => {
  world = await openApiWorld({ artifacts });
  await addWorkflow(world.store);
  const ended = { phase: 'Succeeded', finishedAt: 2 } as const;
  const run = await addRun(world.store, {
    name: 'prints',
    run: ended,
    steps: [{ step: 'fetch', ...ended }],
    attempts: [{ step: 'fetch', number: 1, ...ended }],
  });
  const log = { runId: run.id, step: 'fetch', item: -1, attempt: 1 };
  for (let at = 0; at < border; at += 65_536) await world.store.logs.append(log, at, whole.subarray(at, at + 65_536));
  const rest = await artifacts.put(Readable.from([whole.subarray(border - 3)]), 1e9);
  await world.store.logs.overflow(log, border - 3, rest);
}, 60_000);
afterAll(async () => {
  await world.close();
  rmSync(directory, { recursive: true, force: true });
});

test('pages go on from the database into the artifact, to the end', async () => {
  let text = '';
  for (let position = 0; ; ) {
    const { body } = await world.call<LogPage>('GET', `${path}?position=${position}`);
    text += body.lines.map((line) => line.text).join('');
    expect(body.ended).toBe(body.lines.length === 0);
    if (body.ended) break;
    expect(body.next).toBe(Buffer.byteLength(text));
    position = body.next;
  }
  expect(text === whole.toString()).toBe(true);
});

test('who follows gets the same', async () => {
  const client = createClient({
    server: `http://${host}`,
    token,
    fetch: async (request) => {
      request.headers.set('host', host);
      return world.app.request(request);
    },
  });
  const textOf = (events: LogEvent[]) =>
    events.flatMap((event) => (event.event === 'log' ? event.lines.map((line) => line.text) : [])).join('');
  const events: LogEvent[] = [];
  for await (const event of client.followLogs({ namespace: 'dev', name: 'prints' }, { step: 'fetch' })) {
    events.push(event);
  }
  expect(textOf(events) === whole.toString()).toBe(true);
  expect(events.at(-1)).toMatchObject({ event: 'end', phase: 'Succeeded' });
});
