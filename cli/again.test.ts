/** What is done again and what failed for good: retry, replay, dead letters, items, child runs, the cache, circuits. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Item, Page, Run, RunSummary, Step } from '../api/client.ts';
import type { WorkflowRun } from '../crds/workflow-run.ts';
import type { Laptop } from '../controller/start-laptop.ts';
import { invoke, type InvocationOptions, windlass } from '../test/fixtures/cli.ts';
import { startQuietLaptop } from '../test/fixtures/laptop.ts';
import { createRepository, type ScratchRepository } from '../test/fixtures/repository.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const workflow = (name: string, spec: object) =>
  JSON.stringify({ apiVersion: 'windlass.dev/v1alpha1', kind: 'Workflow', metadata: { name }, spec });

let root = '';
let repository: ScratchRepository;
let laptop: Laptop;
let options: InvocationOptions;

const files = () => ({
  // Works once there is a file, so that a retry ends well.
  'workflows/shops.yaml': workflow('shops', {
    inputs: { region: { type: 'string', default: 'eu' } },
    steps: [
      { name: 'list', run: 'echo "list of $REGION"', env: { REGION: '${{ inputs.region }}' } },
      {
        name: 'each',
        needs: ['list'],
        forEach: { items: ['north', 'south'], as: 'shop', failFast: false },
        run: `echo "shop $SHOP"; [ "$SHOP" = north ] || [ -e "${join(root, 'mended')}" ]`,
        env: { SHOP: '${{ shop }}' },
      },
    ],
  }),
  'workflows/parent.yaml': workflow('parent', { steps: [{ name: 'call', workflow: { name: 'child' } }] }),
  'workflows/child.yaml': workflow('child', { steps: [{ name: 'ask', approval: {} }] }),
  'workflows/kept.yaml': workflow('kept', {
    inputs: { region: { type: 'string', default: 'eu' } },
    steps: [{ name: 'work', run: 'echo worked', env: { REGION: '${{ inputs.region }}' }, cache: {} }],
  }),
  'workflows/fan.yaml': workflow('fan', {
    steps: [
      {
        name: 'each',
        forEach: { range: { to: 10_000 }, as: 'n', failFast: false },
        assert: [{ that: 'n != 7777', message: 'not this one' }],
      },
    ],
  }),
  'workflows/weak.yaml': workflow('weak', {
    steps: [{ name: 'try', run: 'exit 1', criticality: 'low' }],
  }),
  'workflows/slow.yaml': workflow('slow', {
    steps: [{ name: 'wait', run: 'sleep 1000' }],
    finally: [{ name: 'end', run: 'sleep 1000' }],
  }),
});

const cli = (...argv: string[]) => windlass(argv, options);
const json = async <T>(...argv: string[]) => JSON.parse((await cli(...argv, '-o', 'json')).stdout) as T;
const runNamed = (name: string) => json<Run>('get', 'run', name);

async function eventually<T>(look: () => Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await look();
    if (wanted(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
const ended = (name: string, execution = 1) =>
  eventually(
    () => runNamed(name),
    (run) => run.finishedAt !== null && run.execution === execution,
  );

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'windlass-again-'));
  repository = await createRepository(root);
  await repository.commit(files(), 'first');
  options = { cwd: repository.work, env: { HOME: root } };
  laptop = await startQuietLaptop(root, repository.url);
  await eventually(
    () => json<Page<unknown>>('get', 'workflows'),
    ({ items }) => items.length === Object.keys(files()).length,
  );
});

afterAll(async () => {
  await laptop?.controller.stop(0);
  await rm(root, { recursive: true, force: true });
});

describe('a run that failed in part', () => {
  const name = 'shops-1';

  test('shows its items, which failed, and what each has printed', async () => {
    expect((await cli('run', 'shops', '--name', name, '--wait')).code).toBe(1);
    const { items: steps } = await json<Page<Step>>('get', 'steps', name);
    expect(steps[1]?.items).toEqual({ total: 2, phases: { Succeeded: 1, Failed: 1 } });
    expect((await cli('get', 'steps', name)).stdout).toContain('1/2 items, 1 failed');
    const table = (await cli('get', 'items', name, 'each')).stdout;
    expect(table).toMatch(/^ITEM +LABEL +PHASE/);
    expect(table).toMatch(/^0 +north +Succeeded/m);
    expect(table).toMatch(/^1 +south +Failed .*exit code 1/m);
    const bad = await json<Page<Item>>('get', 'items', name, 'each', '--failed');
    expect(bad.items.map(({ item }) => item)).toEqual([1]);
    expect((await cli('logs', name)).stdout).toContain('each[1]');
    expect((await cli('logs', name, 'each', '--item', '1')).stdout).toBe('shop south\n');
    expect((await cli('logs', name, 'each', '-f')).stdout.split('\n').sort()).toEqual(['', 'shop north', 'shop south']);
    expect((await cli('get', 'items', name)).code).toBe(2);
    expect((await cli('get', 'runs', name, 'each')).code).toBe(2);
    expect((await cli('logs', name, '--item', '1')).code).toBe(2);
  });

  test('is a dead letter, and goes on where it failed once that is mended', async () => {
    const letters = (await cli('get', 'dead-letters')).stdout;
    expect(letters).toMatch(/^ID +NAMESPACE +RUN +WORKFLOW +STATE/);
    const id = /^(\d+) +dev +shops-1 +shops +Waiting/m.exec(letters)?.[1] ?? '';
    expect(JSON.parse((await cli('get', 'dead-letter', id, '-o', 'json')).stdout)).toMatchObject({ name });

    const plan = (await cli('retry', name, '--dry-run')).stdout;
    expect(plan).toMatch(/^list +reuse/m);
    expect(plan).toMatch(/^each: 1 item +reuse +succeeded$/m);
    expect(plan).toMatch(/^each\[1\] \(south\) +run +failed$/m);
    expect((await runNamed(name)).execution).toBe(1);

    await writeFile(join(root, 'mended'), '');
    expect((await cli('retry', name)).stdout).toBe(`run ${name} in dev goes on\n`);
    expect((await ended(name, 2)).phase).toBe('Succeeded');
    const { items } = await json<Page<Item>>('get', 'items', name, 'each');
    expect(items.map(({ attempts }) => attempts.length)).toEqual([1, 2]);
    expect((await cli('describe', 'run', name)).stdout).toMatch(/^Execution: +2$/m);
    expect((await cli('get', 'dead-letters')).stdout).not.toContain('shops-1');
    expect((await cli('redrive', id)).code).toBe(4);
    expect((await cli('retry', name)).stderr).toContain('nothing of run shops-1 failed');
    await rm(join(root, 'mended'));
  });

  test('is replayed from a step with another input', async () => {
    const plan = (await cli('replay', name, '--from', 'each', '--dry-run')).stdout;
    expect(plan).toMatch(/^list +reuse +succeeded there$/m);
    expect(plan).toMatch(/^each +run/m);
    const made = await cli('replay', name, '--from', 'each', '-i', 'region=us', '--name', 'shops-again');
    expect(made.stdout).toBe('run shops-again created in dev\n');
    const run = await ended('shops-again');
    expect(run).toMatchObject({ phase: 'Failed', inputs: { region: 'us' }, replayOf: (await runNamed(name)).id });
    expect(run.steps[0]).toMatchObject({ phase: 'Succeeded', reason: 'Reused', attempts: [] });
    expect((await cli('replay', name, '--use-version', 'v9')).code).toBe(3);
    expect((await cli('replay', name, '--version', 'v9')).stderr).toContain('has no version v9');
    expect((await cli('replay', name, '--from', 'nowhere')).code).toBe(4);
    for (const more of [[], ['--dry-run']]) {
      expect(await cli('replay', name, '-i', 'nope=1', ...more)).toMatchObject({
        code: 4,
        stderr: expect.stringContaining('unknown input "nope"'),
      });
    }
  });

  test('is started again, or put aside with a reason', async () => {
    const again = await cli('redrive', '--all', '--workflow', 'shops');
    expect(again.stdout).toMatch(/^dead letter \d+: run shops-again in dev started again$/m);
    expect((await ended('shops-again', 2)).phase).toBe('Failed');
    const id = /^(\d+) .*shops-again/m.exec((await cli('get', 'dead-letters')).stdout)?.[1] ?? '';
    expect((await cli('discard', id)).code).toBe(2);
    const put = await cli('discard', id, '--reason', 'the shop was closed');
    expect(put.stdout).toBe(`dead letter ${id} (run shops-again in dev) discarded\n`);
    expect((await cli('get', 'dead-letters')).stdout).not.toContain('shops-again');
    expect((await cli('redrive', '--all')).stderr).toContain('none waits');
    expect((await cli('redrive')).code).toBe(2);
    expect((await cli('redrive', '1', '--workflow', 'shops')).code).toBe(2);
  });
});

test('a run whose object is gone is redriven as one new run, whose end is the dead letter’s', async () => {
  const { objects } = laptop.controller.store;
  expect((await cli('run', 'shops', '--name', 'lost', '--wait')).code).toBe(1);
  const letters = async () => (await cli('get', 'dead-letters', '-n', 'dev', '--workflow', 'shops')).stdout;
  const id = /^(\d+) .* lost /m.exec(await letters())?.[1] ?? '';
  await objects.delete('WorkflowRun', 'dev', 'lost');
  const first = `lost-again-${id}-1`;
  expect((await cli('redrive', id)).stdout).toBe(`dead letter ${id}: run ${first} in dev started again\n`);
  expect((await ended(first)).phase).toBe('Failed');
  expect((await letters()).match(/ lost/g)).toHaveLength(1);
  expect(await letters()).toMatch(new RegExp(`^${id} +dev +${first} +shops +Waiting +1 `, 'm'));

  await objects.delete('WorkflowRun', 'dev', first);
  await writeFile(join(root, 'mended'), '');
  expect((await cli('redrive', id)).stdout).toContain(`lost-again-${id}-2`);
  expect((await ended(`lost-again-${id}-2`)).phase).toBe('Succeeded');
  expect((await cli('get', 'dead-letter', id)).stdout).toContain('Resolved');
  await rm(join(root, 'mended'));
});

test('child runs are listed by their parent, approved by their own name, and end it', async () => {
  await cli('run', 'parent', '--name', 'parent-1');
  const children = () => json<Page<RunSummary>>('get', 'runs', '--parent', 'parent-1');
  const { items } = await eventually(children, (page) => page.items.length === 1);
  const child = items[0]?.name ?? '';
  await eventually(
    () => runNamed(child),
    (run) => run.steps[0]?.reason === 'WaitingForApproval',
  );
  expect((await cli('get', 'runs')).stdout).not.toContain(child);
  expect((await cli('describe', 'run', child)).stdout).toMatch(/^Child of: +step call of run parent-1$/m);
  expect((await cli('approve', child, 'ask', '-n', 'dev')).code).toBe(0);
  expect((await ended('parent-1')).phase).toBe('Succeeded');
  const pointer = `step call is run ${child}; its output: windlass logs ${child} -n dev\n`;
  for (const argv of [[], ['call'], ['-f']]) {
    expect(await cli('logs', 'parent-1', ...argv)).toMatchObject({ code: 0, stdout: '', stderr: pointer });
  }
  expect((await cli('logs', child)).stderr).toBe('');
});

test('where two runs have one name, -n says whose child runs are listed', async () => {
  await cli('run', 'parent', '--name', 'two-1');
  const children = (...more: string[]) => json<Page<RunSummary>>('get', 'runs', '--parent', 'two-1', ...more);
  const { items } = await eventually(children, (page) => page.items.length === 1);
  const twin = workflow('twin', { steps: [{ name: 'ask', approval: {} }] });
  await windlass(['apply', '-f', '-', '-n', 'other'], { ...options, stdin: twin });
  await cli('run', 'twin', '-n', 'other', '--name', 'two-1');
  const unsaid = () => cli('get', 'runs', '--parent', 'two-1');
  expect((await eventually(unsaid, ({ code }) => code !== 0)).stderr).toContain('say which with -n');
  expect((await children('-n', 'dev')).items).toMatchObject([{ name: items[0]?.name }]);
  expect((await children('-n', 'other')).items).toEqual([]);
  for (const namespace of ['dev', 'other']) await cli('cancel', 'two-1', '-n', namespace);
});

test('retry and replay show what they begin until it has ended, as run does', async () => {
  const name = 'shops-waited';
  await cli('run', 'shops', '--name', name, '--wait');
  const replayed = await cli('replay', name, '--name', 'shops-replayed', '--wait');
  expect(replayed.code).toBe(1);
  expect(replayed.stdout).toMatch(/^run shops-replayed in dev\n[^]*^shops-replayed Failed after /m);
  await writeFile(join(root, 'mended'), '');
  const retried = await cli('retry', name, '-w', '--timeout', '10m');
  await rm(join(root, 'mended'));
  expect(retried).toMatchObject({ code: 0, stderr: '' });
  expect(retried.stdout).toMatch(/^run shops-waited in dev\n[^]*^shops-waited Succeeded after /m);
  expect(retried.stdout).not.toContain('Failed');
  expect((await runNamed(name)).execution).toBe(2);
  for (const wrong of [
    ['--timeout', '1m'],
    ['--wait', '--dry-run'],
  ]) {
    for (const verb of ['retry', 'replay']) expect((await cli(verb, name, ...wrong)).code).toBe(2);
  }
});

test('a fan-out of 10,000 items ends, and can be read', async () => {
  const ran = await cli('run', 'fan', '--name', 'fan-1', '--wait');
  expect(ran.code).toBe(1);
  expect(ran.stdout.length + ran.stderr.length).toBeLessThan(10_000);
  expect((await cli('get', 'steps', 'fan-1')).stdout).toContain('9999/10000 items, 1 failed');
  const bad = (await cli('get', 'items', 'fan-1', 'each', '--failed')).stdout;
  expect(bad).toMatch(/^7777 .*assertion: not this one/m);
  expect(bad.trimEnd().split('\n')).toHaveLength(2);
  for (const [command, lines] of [
    ['describe run fan-1', 60],
    ['retry fan-1 --dry-run', 6],
  ] as const) {
    const { stdout } = await cli(...command.split(' '));
    expect(stdout).toContain('each');
    expect(stdout.split('\n').length).toBeLessThan(lines);
  }
  expect((await json<Page<unknown>>('get', 'items', 'fan-1', 'each')).items).toHaveLength(50);
  expect((await json<Page<unknown>>('get', 'items', 'fan-1', 'each', '--limit', '3')).items).toHaveLength(3);
});

test('retry and replay print what they plan, begin and await as data, too', async () => {
  const name = 'shops-data';
  await cli('run', 'shops', '--name', name, '--wait');
  const planned = [
    { step: 'list', item: -1, label: null, action: 'reuse', why: 'succeeded' },
    { step: 'each', item: -1, action: 'run' },
  ];
  expect((await json<Page<unknown>>('retry', name, '--dry-run')).items.slice(0, 2)).toMatchObject(planned);
  const plan = await cli('replay', name, '--from', 'each', '--dry-run', '-o', 'yaml');
  expect(plan.stdout).toMatch(/^items:\n {2}- step: list\n/);

  const replayed = await json<WorkflowRun>('replay', name, '--name', 'shops-copied');
  expect(replayed).toMatchObject({ kind: 'WorkflowRun', metadata: { name: 'shops-copied', namespace: 'dev' } });
  const retried = await json<WorkflowRun>('retry', name, '--only-failed');
  expect(retried).toMatchObject({ metadata: { name }, spec: { execution: { number: 2, onlyFailed: true } } });
  await ended(name, 2);

  const waited = await cli('retry', name, '--wait', '-o', 'json');
  expect(waited.code).toBe(1);
  expect(JSON.parse(waited.stdout)).toMatchObject({ name, phase: 'Failed', execution: 3 });
  const again = await cli('replay', name, '--name', 'shops-copied-2', '--wait', '-o', 'yaml');
  expect(again).toMatchObject({ code: 1, stdout: expect.stringMatching(/^name: shops-copied-2$/m) as string });
  for (const verb of ['retry', 'replay']) expect((await cli(verb, name, '-o', 'xml')).code).toBe(2);
});

test('the cache says what a key is made of, and which part has changed', async () => {
  for (const name of ['kept-1', 'kept-2']) await cli('run', 'kept', '--name', name, '--wait');
  expect((await runNamed('kept-2')).steps[0]?.phase).toBe('Cached');
  expect((await cli('cache', 'explain', 'kept-2', 'work')).stdout).toContain('an entry of this key was taken');
  await cli('run', 'kept', '--name', 'kept-3', '-i', 'region=us', '--wait');
  const explained = await eventually(
    () => cli('cache', 'explain', 'kept-3', 'work', '-o', 'json'),
    ({ stdout }) => stdout.includes('"entries"') && JSON.parse(stdout).entries.length === 2,
  );
  const { entries } = JSON.parse(explained.stdout) as { entries: { changed: { part: string }[] }[] };
  expect(entries.map(({ changed }) => changed.map(({ part }) => part))).toEqual([[], ['env REGION']]);
  const told = (await cli('cache', 'explain', 'kept-3', 'work')).stdout;
  expect(told).toContain('an entry of this key is there');
  expect(told).toMatch(/what differs:\nPART +THEN +NOW\nenv REGION +\S+ +us\n/);
  expect((await cli('cache', 'explain', 'kept-3', 'nowhere')).code).toBe(3);
});

test('a run that is Degraded has ended well', async () => {
  const { code, stdout } = await cli('run', 'weak', '--name', 'weak-1', '--wait');
  expect(code).toBe(0);
  expect(stdout).toContain('Degraded');
});

test('cancel --force runs no finally, also when it runs already', async () => {
  await cli('run', 'slow', '--name', 'slow-1');
  await eventually(
    () => runNamed('slow-1'),
    (run) => run.steps[0]?.phase === 'Running',
  );
  await cli('cancel', 'slow-1');
  await eventually(
    () => runNamed('slow-1'),
    (run) => run.phase === 'Finalizing',
  );
  expect((await cli('cancel', 'slow-1', '--force')).code).toBe(0);
  expect((await ended('slow-1')).phase).toBe('Cancelled');
});

test('there are no circuits while every host answers', async () => {
  const { code, stderr } = await cli('get', 'circuits');
  expect([code, stderr]).toEqual([0, 'nothing found\n']);
});

test('--priority is recorded', async () => {
  const invocation = invoke(['run', 'kept', '--name', 'kept-4', '--priority', '7'], options);
  expect(await invocation.exitCode).toBe(0);
  expect((await ended('kept-4')).priority).toBe(7);
  expect((await cli('run', 'kept', '--priority', 'high')).code).toBe(2);
});

test('a run that has not begun cannot be replayed yet, and says so; why it has not is where runs are listed', async () => {
  const metadata = { name: 'astray', namespace: 'dev' };
  const run = { apiVersion: 'windlass.dev/v1alpha1', kind: 'WorkflowRun', metadata, spec: { workflow: 'nowhere' } };
  expect((await windlass(['apply', '-f', '-'], { ...options, stdin: JSON.stringify(run) })).code).toBe(0);
  await eventually(
    () => cli('get', 'runs', '--phase', 'Pending'),
    ({ stdout }) => /astray +nowhere +- +Pending .* NotPromoted: .*nowhere/.test(stdout),
  );
  for (const more of [[], ['--dry-run']]) {
    const { code, stderr } = await cli('replay', 'astray', ...more);
    expect([code, stderr]).toEqual([4, expect.stringContaining('Run astray has not begun yet')]);
  }
  await cli('delete', 'run', 'astray');
});
