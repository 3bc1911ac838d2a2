import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Run } from '../api/client.ts';
import { checkFile } from '../controller/core/lint/index.ts';
import type { JsonObject } from '../crds/json.ts';
import type { WorkflowSpec } from '../crds/workflow.ts';
import { type ControllerWorld, startWorld } from '../test/fixtures/controller.ts';

const here = import.meta.dirname;
const namespace = 'examples';

let world: ControllerWorld;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

/** The files of every example, by folder. */
async function workflowFiles(): Promise<{ folder: string; path: string }[]> {
  const entries = await readdir(here, { recursive: true });
  const files = entries.filter((path) => /(^|\/)workflows?(\/[^/]+)?\.yaml$/.test(path)).toSorted();
  return files.map((path) => ({ folder: path.split('/')[0] ?? '', path }));
}

/** Applies the workflow of an example; returns its name. */
async function apply(folder: string, file = 'workflow.yaml'): Promise<string> {
  const path = join(here, folder, file);
  const { documents, diagnostics } = checkFile(path, await readFile(path));
  expect(diagnostics).toEqual([]);
  const [document] = documents;
  const name = document?.name ?? '';
  const spec = document?.object.spec as WorkflowSpec;
  await world.client.apply({ kind: 'Workflow', metadata: { name, namespace }, spec });
  return name;
}

async function run(folder: string, inputs: JsonObject = {}): Promise<Run> {
  return await world.run(namespace, await apply(folder), inputs);
}

function phases({ steps }: Run): Record<string, string> {
  return Object.fromEntries(steps.map(({ name, phase }) => [name, phase]));
}

async function output(of: Run, step: string): Promise<string> {
  const { lines } = await world.client.stepLogs(of, step);
  return lines.map(({ text }) => text).join('');
}

/** Lets a script read a secret, as a person would. */
async function keepSecret(name: string, key: string, value: string): Promise<void> {
  const folder = join(world.data, 'secrets', namespace, name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, key), `${value}\n`, { mode: 0o600 });
  await chmod(join(folder, key), 0o600);
}

const files = await workflowFiles();

test('every example has a test here', () => {
  expect([...new Set(files.map(({ folder }) => folder))]).toEqual([
    'approval',
    'child-run',
    'cluster', // test/cluster/install.test.ts
    'container', // linted only: its images would have to be pulled; test/cluster/pod-container.test.ts
    'decisions',
    'http',
    'patterns', // test/integration/patterns.test.ts
    'quickstart', // test/integration/main-job.test.ts
    'retry-and-timeout',
    'secrets',
    'wait',
  ]);
});

test.each(files)('$path has neither errors nor warnings', async ({ path }) => {
  expect(checkFile(path, await readFile(join(here, path))).diagnostics).toEqual([]);
});

describe('approval', () => {
  async function waiting(): Promise<Run> {
    const { metadata } = await world.client.createRun(namespace, { workflow: await apply('approval') });
    return await world.until(
      'the step waits, and the run says so',
      () => world.client.run(metadata),
      ({ steps, conditions }) =>
        steps.some(({ name, reason }) => name === 'approve' && reason === 'WaitingForApproval') &&
        conditions.some(({ type, status }) => type === 'WaitingForApproval' && status === 'True'),
    );
  }

  test('waits, and goes on when somebody approves', async () => {
    const asked = await waiting();
    expect(phases(asked)).toMatchObject({ plan: 'Succeeded', clean: 'Pending' });
    await world.client.approveStep(asked, 'approve', { comment: 'looks right', as: 'grace' });
    const ended = await world.ended(asked);
    expect(ended).toMatchObject({ phase: 'Succeeded', approvals: [{ user: 'grace', comment: 'looks right' }] });
    expect(await output(ended, 'clean')).toBe('deleting files older than 30 days\n');
    expect(await output(ended, 'tell')).toBe('clean-up: Succeeded\n');
  });

  test('fails when somebody rejects, and cleans nothing', async () => {
    const asked = await waiting();
    await world.client.rejectStep(asked, 'approve', { comment: 'not in December' });
    const ended = await world.ended(asked);
    expect(ended.phase).toBe('Failed');
    expect(phases(ended)).toMatchObject({ approve: 'Failed', clean: 'Skipped', tell: 'Succeeded' });
    expect(await output(ended, 'tell')).toBe('clean-up: Failed\n');
  });
});

describe('child-run', () => {
  test('starts a child run for each language, and reads what they gave', async () => {
    await apply('child-run', 'workflows/greeting.yaml');
    const name = await apply('child-run', 'workflows/welcome.yaml');
    const ended = await world.run(namespace, name, { guest: 'Ada', languages: ['es', 'fr'] });
    expect(ended).toMatchObject({ phase: 'Succeeded', outputs: { sign: 'Hola Ada / Bonjour Ada' } });
    const { items } = await world.client.runs({ namespace, parent: ended.id });
    expect(items.map(({ workflow, phase }) => `${workflow} ${phase}`)).toEqual([
      'greeting Succeeded',
      'greeting Succeeded',
    ]);
  });
});

describe('http', () => {
  const requests: { url: string | undefined; authorization: string | undefined; accept: string | undefined }[] = [];
  function answer({ url, headers }: IncomingMessage, response: ServerResponse): void {
    requests.push({ url, authorization: headers.authorization, accept: headers.accept });
    // The first time it is out of order, which is worth another try.
    if (requests.length === 1) response.writeHead(503).end();
    else response.writeHead(200, { 'content-type': 'application/json' }).end('{"rain": 0.8}');
  }

  test('asks with the secret header, tries again after 503, and uses the answer', async () => {
    const server = createServer(answer).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const address = server.address();
      const port = typeof address === 'object' ? address?.port : 0;
      await keepSecret('weather', 'token', 'cloud-token');
      const ended = await run('http', { server: `http://127.0.0.1:${port}` });
      expect(ended).toMatchObject({ phase: 'Succeeded', outputs: { advice: 'Berlin: take an umbrella' } });
      const asked = { url: '/today?city=Berlin', authorization: 'Bearer cloud-token', accept: 'application/json' };
      expect(requests).toEqual([asked, asked]);
      expect(JSON.stringify(ended)).not.toContain('cloud-token');
    } finally {
      server.close();
    }
  });
});

describe('decisions', () => {
  test('takes the van for many parcels', async () => {
    const ended = await run('decisions');
    expect(ended).toMatchObject({ phase: 'Succeeded', outputs: { vehicle: 'van' } });
    expect(phases(ended)).toEqual({
      check: 'Succeeded',
      choose: 'Succeeded',
      cycle: 'Skipped',
      drive: 'Succeeded',
      call_workshop: 'Skipped',
      report: 'Succeeded',
      celebrate: 'Succeeded',
      close: 'Succeeded',
    });
    expect(await output(ended, 'drive')).toBe('1 trips by van\n');
  });

  test('takes the bicycle for few', async () => {
    const ended = await run('decisions', { parcels: 3 });
    expect(phases(ended)).toMatchObject({ cycle: 'Succeeded', drive: 'Skipped', celebrate: 'Succeeded' });
    expect(await output(ended, 'report')).toBe('van: Skipped\n');
  });

  test('goes on to what looks after a failure, and ends Failed', async () => {
    const ended = await run('decisions', { parcels: 120, broken_van: true });
    expect(ended.phase).toBe('Failed');
    expect(phases(ended)).toMatchObject({
      drive: 'Failed',
      call_workshop: 'Succeeded',
      report: 'Succeeded',
      celebrate: 'Skipped',
      close: 'Succeeded',
    });
    expect(await output(ended, 'report')).toBe('van: Failed\n');
    expect(await output(ended, 'close')).toBe('the day ended: Failed\n');
  });

  test('does nothing for no parcels', async () => {
    const ended = await run('decisions', { parcels: 0 });
    expect(ended).toMatchObject({ phase: 'Failed', error: { message: expect.stringContaining('nothing to deliver') } });
  });
});

test('retry-and-timeout: tries again, and cuts what takes too long', async () => {
  const ended = await run('retry-and-timeout');
  expect(ended.phase).toBe('Succeeded');
  const [fetch, slow] = ended.steps;
  expect(fetch?.attempts.map(({ phase }) => phase)).toEqual(['Failed', 'Failed', 'Succeeded']);
  expect(fetch?.outputs).toEqual({ answered: 3 });
  expect(slow?.attempts.map(({ phase }) => phase)).toEqual(['TimedOut', 'Succeeded']);
});

describe('secrets', () => {
  test('has the value in the step that names it, and nowhere in what is kept', async () => {
    await keepSecret('shop', 'password', 'correct-horse-battery');
    const ended = await run('secrets');
    expect(ended.phase).toBe('Succeeded');
    expect(await output(ended, 'log_in')).toBe('logging in with ***\n');
    expect(await output(ended, 'go_on')).toBe('password here: none\n');
  });
});

test('wait: waits, and does not wait for what is over', async () => {
  const ended = await run('wait');
  expect(ended.phase).toBe('Succeeded');
  const [breathe, until] = ended.steps;
  expect(breathe?.durationMs).toBeGreaterThanOrEqual(200);
  expect(until?.durationMs).toBeLessThan(200);
  expect(await output(ended, 'remind')).toBe('it is time: 2026-01-01T09:00:00Z\n');
});
