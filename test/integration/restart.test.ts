import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, rm, watch, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Client } from '../../api/client.ts';
import { openLaptop } from '../../controller/start-laptop.ts';
import { DataDirectoryInUse } from '../../controller/store/errors.ts';
import { type DemoController, startDemoController } from '../../examples/quickstart/demo/controller.ts';
import { controllerOptions } from '../fixtures/controller.ts';
import { createRepository, type ScratchRepository } from '../fixtures/repository.ts';

// Each test starts two controllers, and makes a database.
vi.setConfig({ testTimeout: 90_000 });
const limitMs = 60_000;

let directory: string;
let repository: ScratchRepository;
const running: DemoController[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-restart-'));
  await mkdir(join(directory, 'team'));
  repository = await createRepository(join(directory, 'team'));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((controller) => controller.stop()));
  await rm(directory, { recursive: true, force: true });
});

/** `windlass up` in a process of its own, always on the same data. */
async function up(): Promise<DemoController> {
  const controller = await startDemoController({
    repository: repository.url,
    data: join(directory, '.windlass'),
    log: join(directory, 'controller.log'),
    signal: AbortSignal.timeout(limitMs),
  });
  running.push(controller);
  return controller;
}

/** Resolves once a file is there and has a whole line. */
async function written(path: string): Promise<string> {
  const changes = watch(directory, { signal: AbortSignal.timeout(limitMs) });
  for (;;) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (text.endsWith('\n')) return text;
    await changes.next();
  }
}

/** Events of a run until it has ended. */
async function untilEnded(client: Client, name: string): Promise<string[]> {
  const reasons: string[] = [];
  for await (const { reason } of client.followEvents({ kind: 'WorkflowRun', name }, AbortSignal.timeout(limitMs))) {
    reasons.push(reason);
    if (/^Run(Succeeded|Failed|Cancelled|TimedOut)$/.test(reason)) break;
  }
  return reasons;
}

/** Waits for the version of the only environment, and runs its workflow. */
async function runInDev(client: Client, workflow: string): Promise<{ namespace: string; name: string }> {
  for await (const { reason } of client.followEvents({ kind: 'Promotion' }, AbortSignal.timeout(limitMs))) {
    if (reason === 'Promoted') break;
  }
  const created = await client.createRun('dev', { workflow });
  return { namespace: 'dev', name: created.metadata.name };
}

/** Two steps: one notes that it began and waits to be let go on, the other follows it. */
function waitingWorkflow(begun: string, gate: string): string {
  return JSON.stringify({
    apiVersion: 'windlass.dev/v1alpha1',
    kind: 'Workflow',
    metadata: { name: 'waits' },
    spec: {
      steps: [
        {
          name: 'waits',
          run: 'echo begun >> "$BEGUN"; echo waiting; read -r word < "$GATE"; echo "word=$word" >> "$WINDLASS_OUTPUT"',
          env: { BEGUN: begun, GATE: gate },
          outputs: { word: { type: 'string' } },
        },
        { name: 'follows', run: 'echo "heard $WORD"', env: { WORD: '${{ steps.waits.outputs.word }}' } },
      ],
    },
  });
}

describe('a controller that was killed in the middle of a run', () => {
  test('goes on at its next start: what ran runs on, nothing is begun twice, history is whole', async () => {
    const begun = join(directory, 'begun');
    const gate = join(directory, 'gate');
    await promisify(execFile)('mkfifo', [gate]);
    await repository.commit({ 'workflows/waits.yaml': waitingWorkflow(begun, gate) }, 'A workflow that waits');

    const first = await up();
    const run = await runInDev(first.client, 'waits');
    await written(begun);
    process.kill(first.pid, 'SIGKILL');
    await first.stop();
    // As a controller leaves it that was killed after an attempt's end was recorded.
    const leftover = join(directory, '.windlass', 'attempts', '0'.repeat(40));
    await mkdir(leftover);

    const second = await up();
    await expect(access(leftover)).rejects.toThrow('ENOENT');
    const ended = untilEnded(second.client, run.name);
    await writeFile(gate, 'go\n');
    expect(await ended).toEqual(['RunStarted', 'RunSucceeded']);
    expect(await readFile(begun, 'utf8')).toBe('begun\n');
    const { phase, steps } = await second.client.run(run);
    expect(phase).toBe('Succeeded');
    expect(steps.map(({ name, phase: was, attempts }) => [name, was, attempts.length])).toEqual([
      ['waits', 'Succeeded', 1],
      ['follows', 'Succeeded', 1],
    ]);
    expect((await second.client.stepLogs(run, 'waits')).lines).toMatchObject([{ text: 'waiting\n' }]);
    expect((await second.client.stepLogs(run, 'follows')).lines).toMatchObject([{ text: 'heard go\n' }]);
    expect((await second.client.environment('dev')).active).toMatchObject([{ workflow: 'waits' }]);
  });

  test('finds out at its next start how a step ended meanwhile', async () => {
    const begun = join(directory, 'begun');
    const gate = join(directory, 'gate');
    await promisify(execFile)('mkfifo', [gate]);
    await repository.commit({ 'workflows/waits.yaml': waitingWorkflow(begun, gate) }, 'A workflow that waits');

    const first = await up();
    const run = await runInDev(first.client, 'waits');
    await written(begun);
    process.kill(first.pid, 'SIGKILL');
    await first.stop();
    await writeFile(gate, 'alone\n');

    const { client } = await up();
    expect(await untilEnded(client, run.name)).toEqual(['RunStarted', 'RunSucceeded']);
    expect(await readFile(begun, 'utf8')).toBe('begun\n');
    expect((await client.stepLogs(run, 'follows')).lines).toMatchObject([{ text: 'heard alone\n' }]);
  });

  test('has lost no promotion, and sees what was pushed meanwhile', async () => {
    const workflow = (text: string) =>
      JSON.stringify({
        apiVersion: 'windlass.dev/v1alpha1',
        kind: 'Workflow',
        metadata: { name: 'greets' },
        spec: { steps: [{ name: 'greet', run: `echo ${text}` }] },
      });
    await repository.commit({ 'workflows/greets.yaml': workflow('one') }, 'One');
    const first = await up();
    await runInDev(first.client, 'greets');
    process.kill(first.pid, 'SIGKILL');
    await first.stop();
    const next = await repository.commit({ 'workflows/greets.yaml': workflow('two') }, 'Two');

    const { client } = await up();
    const promoted: string[] = [];
    for await (const { reason, message } of client.followEvents({ kind: 'Promotion' }, AbortSignal.timeout(limitMs))) {
      if (reason === 'Promoted') promoted.push(message);
      if (promoted.length === 2) break;
    }
    expect(promoted[1]).toContain(next.slice(0, 12));
    expect((await client.environment('dev')).active).toMatchObject([{ ref: next }]);
  });
});

describe('a second controller on the same data', () => {
  test('is refused, and says who has it and what to do; the first goes on', async () => {
    await repository.commit({ 'workflows/.gitkeep': '' }, 'Nothing yet');
    const first = await up();
    await expect(openLaptop(controllerOptions(join(directory, '.windlass')))).rejects.toThrow(DataDirectoryInUse);
    await expect(up()).rejects.toThrow(
      new RegExp(`is in use by process ${first.pid}\\. Stop that process or choose another data directory`),
    );
    expect(await first.client.readiness()).toEqual({ ok: true, reasons: [] });
  });
});
