/** Runs that share a namespace: groups, locks, child runs, retries, replays and the cache, on a controller of this machine. */
import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { WorkflowSpec } from '../../crds/workflow.ts';
import type { WorkflowRun, WorkflowRunSpec } from '../../crds/workflow-run.ts';
import { childId } from '../../controller/reconcilers/child-runs.ts';
import { wholeStep } from '../../controller/core/run/types.ts';
import { stepReason } from '../../cli/resources/steps.ts';
import { openLaptop } from '../../controller/start-laptop.ts';
import type { Store } from '../../controller/store/types.ts';
import { controllerOptions, type ControllerWorld, startWorld } from '../fixtures/controller.ts';

vi.setConfig({ testTimeout: 60_000 });

const namespace = 'here';
let world: ControllerWorld;
let names = 0;
const fresh = (prefix: string) => `${prefix}-${++names}`;

beforeAll(async () => {
  world = await startWorld();
}, 60_000);
afterAll(() => world.stop());

const objects = () => world.controller.store.objects;
const runs = () => world.controller.store.runs;

async function apply(spec: WorkflowSpec, name = fresh('w')): Promise<string> {
  await objects().apply({ kind: 'Workflow', metadata: { name, namespace }, spec });
  return name;
}

async function start(workflow: string, more: Partial<WorkflowRunSpec> = {}): Promise<WorkflowRun> {
  const metadata = { name: fresh('r'), namespace };
  return await objects().create({ kind: 'WorkflowRun', metadata, spec: { workflow, ...more } });
}

async function change(run: WorkflowRun, spec: Partial<WorkflowRunSpec>): Promise<void> {
  await objects().update('WorkflowRun', namespace, run.metadata.name, (object) => ({
    spec: { ...object.spec, ...spec },
  }));
}

/** Resolves once the status of the run's object is so. */
function until(run: WorkflowRun, what: string, isSo: (status: NonNullable<WorkflowRun['status']>) => boolean) {
  const read = () => objects().get('WorkflowRun', namespace, run.metadata.name);
  return world.until(`${run.metadata.name}: ${what}`, read, (seen) => isSo(seen?.status ?? {}));
}
const ended = (run: WorkflowRun, execution = 1) =>
  until(run, 'ends', ({ conditions, execution: which }) => {
    const finished = conditions?.find(({ type }) => type === 'Finished')?.status === 'True';
    return finished && which === execution;
  });
const inPhase = (run: WorkflowRun, phase: string) => until(run, phase, (status) => status.phase === phase);

async function stepsOf(id: string): Promise<Record<string, string>> {
  const steps = await runs().steps(id);
  return Object.fromEntries(
    steps.map(({ step, phase, reason }) => [step, reason === null ? phase : `${phase} ${reason}`]),
  );
}
const stepIs = (id: string, step: string, is: string) =>
  world.until(
    `step ${step} is ${is}`,
    () => stepsOf(id),
    (steps) => steps[step] === is,
  );

/** A script that says that it has begun, and goes on once it is let. */
async function gate(): Promise<{ script: string; env: Record<string, string>; open(): Promise<void> }> {
  const path = join(world.directory, fresh('gate'));
  await promisify(execFile)('mkfifo', [path]);
  return { script: 'read -r _ < "$GATE"', env: { GATE: path }, open: () => appendFile(path, 'go\n') };
}

async function lines(path: string): Promise<string[]> {
  return (await readFile(path, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
}

describe('concurrency groups', () => {
  async function grouped(policy: 'Queue' | 'CancelRunning' | 'Reject') {
    const { script, env, open } = await gate();
    const workflow = await apply({
      concurrency: { group: fresh('group'), policy },
      steps: [{ name: 'work', run: script, env }],
    });
    const first = await start(workflow);
    await stepIs(first.metadata.uid, 'work', 'Running');
    return { first, second: await start(workflow), open };
  }

  test('Queue: the second run waits for the end of the first', async () => {
    const { first, second, open } = await grouped('Queue');
    await inPhase(second, 'Queued');
    await open();
    expect((await ended(first))?.status?.phase).toBe('Succeeded');
    await stepIs(second.metadata.uid, 'work', 'Running');
    await open();
    expect((await ended(second))?.status?.phase).toBe('Succeeded');
  });

  test('Reject: the second run is turned away, says who has its place, and is no dead letter', async () => {
    const { first, second, open } = await grouped('Reject');
    await ended(second);
    const row = await runs().get(second.metadata.uid);
    expect(row).toMatchObject({ phase: 'Cancelled', error: { type: 'groupTaken' } });
    expect(await world.controller.store.deadLetters.ofRun(second.metadata.uid)).toBeNull();
    expect(row?.error?.message).toContain(`taken by run ${first.metadata.name}`);
    await open();
    await ended(first);
  });

  test('CancelRunning: the first run is cancelled, and says by whom', async () => {
    const { first, second, open } = await grouped('CancelRunning');
    await ended(first);
    const row = await runs().get(first.metadata.uid);
    expect(row?.phase).toBe('Cancelled');
    expect(row?.error?.message).toContain(`run ${second.metadata.name} takes its place`);
    await stepIs(second.metadata.uid, 'work', 'Running');
    await open();
    expect((await ended(second))?.status?.phase).toBe('Succeeded');
  });

  test('a run that waits in the queue is cancelled at once', async () => {
    const { first, second, open } = await grouped('Queue');
    await inPhase(second, 'Queued');
    await change(second, { desired: 'Cancelled' });
    expect((await ended(second))?.status?.phase).toBe('Cancelled');
    await open();
    await ended(first);
  });
});

test('steps of two runs that need one lock run one after the other; a higher priority goes first', async () => {
  const lock = fresh('lock');
  const { script, env, open } = await gate();
  const workflow = await apply({ steps: [{ name: 'work', run: script, env, locks: [{ name: lock }] }] });
  const first = await start(workflow);
  await stepIs(first.metadata.uid, 'work', 'Running');
  const second = await start(workflow);
  await stepIs(second.metadata.uid, 'work', 'Waiting WaitingForLocks');
  const third = await start(workflow, { priority: 5 });
  await stepIs(third.metadata.uid, 'work', 'Waiting WaitingForLocks');
  await open();
  await ended(first);
  await stepIs(third.metadata.uid, 'work', 'Running');
  expect(await stepsOf(second.metadata.uid)).toEqual({ work: 'Waiting WaitingForLocks' });
  await open();
  await ended(third);
  await stepIs(second.metadata.uid, 'work', 'Running');
  await open();
  expect((await ended(second))?.status?.phase).toBe('Succeeded');
});

test('a compensation waits for the lock of its step, and nobody has it meanwhile', async () => {
  const lock = fresh('lock');
  const [fails, holds, undoes] = [await gate(), await gate(), await gate()];
  const undone = await apply({
    steps: [
      { name: 'book', run: 'true', env: undoes.env, locks: [{ name: lock }], compensate: { run: undoes.script } },
      { name: 'fail', needs: ['book'], run: `${fails.script}; exit 1`, env: fails.env },
    ],
  });
  const other = await apply({ steps: [{ name: 'work', run: holds.script, env: holds.env, locks: [{ name: lock }] }] });
  const run = await start(undone);
  await stepIs(run.metadata.uid, 'fail', 'Running');
  const before = await start(other);
  await stepIs(before.metadata.uid, 'work', 'Running');
  await fails.open();
  await stepIs(run.metadata.uid, 'book', 'Succeeded CompensationWaitingForLocks');
  await holds.open();
  await ended(before);
  await stepIs(run.metadata.uid, 'book', 'Succeeded Compensating');
  const after = await start(other);
  await stepIs(after.metadata.uid, 'work', 'Waiting WaitingForLocks');
  await undoes.open();
  expect((await ended(run))?.status?.phase).toBe('Failed');
  expect(await stepsOf(run.metadata.uid)).toMatchObject({ book: 'Compensated' });
  await stepIs(after.metadata.uid, 'work', 'Running');
  await holds.open();
  expect((await ended(after))?.status?.phase).toBe('Succeeded');
});

test('what was undone, of a fan-out each item, and what could not be, is told where steps are listed', async () => {
  const workflow = await apply({
    steps: [
      { name: 'book', forEach: { items: [1, 2, 3] }, run: 'true', compensate: { run: 'true' } },
      { name: 'pay', run: 'true', compensate: { run: 'exit 3' } },
      { name: 'fail', needs: ['book', 'pay'], run: 'exit 1' },
    ],
  });
  const run = await start(workflow);
  await ended(run);
  const { items } = await world.client.steps(run.metadata);
  expect(Object.fromEntries(items.map((step) => [step.name, stepReason(step)]))).toEqual({
    book: '3/3 items undone',
    pay: expect.stringMatching(/^compensation failed: exit: .*3/),
    fail: expect.stringMatching(/^exit: /),
  });
});

test('two runs that want what the other holds: one fails and says why, the other ends well', async () => {
  const [x, y] = [fresh('x'), fresh('y')];
  const gates = [await gate(), await gate()];
  const crossed = await Promise.all(
    [[x, y] as const, [y, x] as const].map(([own, other], i) =>
      apply({
        locks: [{ name: own }],
        steps: [
          { name: 'before', run: gates[i]?.script ?? '', env: gates[i]?.env ?? {} },
          { name: 'both', needs: ['before'], run: 'true', locks: [{ name: other }] },
        ],
      }),
    ),
  );
  const [one, two] = [await start(crossed[0] as string), await start(crossed[1] as string)];
  for (const run of [one, two]) await stepIs(run.metadata.uid, 'before', 'Running');
  await gates[0]?.open();
  await stepIs(one.metadata.uid, 'both', 'Waiting WaitingForLocks');
  await gates[1]?.open();
  expect((await ended(two))?.status?.phase).toBe('Failed');
  expect((await runs().get(two.metadata.uid))?.error?.message).toMatch(
    new RegExp(`lock "${x}", held by run ${one.metadata.name}`),
  );
  expect((await ended(one))?.status?.phase).toBe('Succeeded');
});

test('two runs that want what the other holds, one to undo what it did: that is undone, and the other fails', async () => {
  const [x, y] = [fresh('x'), fresh('y')];
  const [fails, before] = [await gate(), await gate()];
  const undone = await apply({
    locks: [{ name: x }],
    steps: [
      { name: 'book', run: 'true', locks: [{ name: y }], compensate: { run: 'true' } },
      { name: 'fail', needs: ['book'], run: `${fails.script}; exit 1`, env: fails.env },
    ],
  });
  const crossing = await apply({
    locks: [{ name: y }],
    steps: [
      { name: 'before', run: before.script, env: before.env },
      { name: 'both', needs: ['before'], run: 'true', locks: [{ name: x }] },
    ],
  });
  const one = await start(undone);
  await stepIs(one.metadata.uid, 'fail', 'Running');
  const two = await start(crossing);
  await stepIs(two.metadata.uid, 'before', 'Running');
  await before.open();
  await stepIs(two.metadata.uid, 'both', 'Waiting WaitingForLocks');
  await fails.open();
  expect((await ended(one))?.status?.phase).toBe('Failed');
  expect(await stepsOf(one.metadata.uid)).toMatchObject({ book: 'Compensated' });
  expect((await ended(two))?.status?.phase).toBe('Failed');
  expect((await runs().step(two.metadata.uid, 'both', wholeStep))?.error).toMatchObject({ type: 'lock' });
});

describe('child runs', () => {
  const idOf = (run: WorkflowRun, item = wholeStep) =>
    childId({ runId: run.metadata.uid, step: 'call', item, attempt: 1 });

  test('yield their outputs; one a step, or one an item', async () => {
    const child = await apply({
      inputs: { n: { type: 'integer' } },
      outputs: { doubled: '${{ inputs.n * 2 }}' },
      steps: [{ name: 'work', run: 'true' }],
    });
    const parent = await apply({
      outputs: { all: '${{ steps.call.outputs }}', one: '${{ steps.alone.outputs.doubled }}' },
      steps: [
        { name: 'call', forEach: { items: [1, 2, 3], as: 'n' }, workflow: { name: child, inputs: { n: '${{ n }}' } } },
        { name: 'alone', workflow: { name: child, inputs: { n: 21 } } },
      ],
    });
    const run = await start(parent);
    expect((await ended(run))?.status).toMatchObject({
      phase: 'Succeeded',
      outputs: { all: [{ doubled: 2 }, { doubled: 4 }, { doubled: 6 }], one: 42 },
    });
    const children = await runs().list({ parent: run.metadata.uid }, { limit: 10 });
    expect(children.items).toHaveLength(4);
    expect(children.items.every(({ root, depth }) => root === run.metadata.uid && depth === 1)).toBe(true);
    expect(await runs().get(idOf(run, 1))).toMatchObject({ workflow: child, outputs: { doubled: 4 } });
  });

  test('fail the step that started them, with their own words', async () => {
    const child = await apply({ steps: [{ name: 'work', run: 'exit 3' }] });
    const run = await start(await apply({ steps: [{ name: 'call', workflow: { name: child } }] }));
    expect((await ended(run))?.status?.phase).toBe('Failed');
    const [step] = await runs().steps(run.metadata.uid);
    expect(step).toMatchObject({ phase: 'Failed', error: { type: 'child', message: expect.stringContaining('exit') } });
  });

  test('of a workflow that is not there, or that would start itself, are refused', async () => {
    const missing = await start(await apply({ steps: [{ name: 'call', workflow: { name: 'nowhere' } }] }));
    await ended(missing);
    expect((await runs().get(missing.metadata.uid))?.error?.message).toContain('no workflow nowhere');
    const [outer, inner] = [fresh('w'), fresh('w')];
    await apply({ steps: [{ name: 'call', workflow: { name: outer } }] }, inner);
    await apply({ steps: [{ name: 'call', workflow: { name: inner } }] }, outer);
    const circle = await start(outer);
    expect((await ended(circle))?.status?.phase).toBe('Failed');
    expect((await runs().get(idOf(circle)))?.error?.message).toContain(`workflow ${outer} would start itself`);
  });

  test('are paused, resumed and cancelled with the run that started them', async () => {
    const { script, env, open } = await gate();
    const child = await apply({
      steps: [
        { name: 'work', run: script, env },
        { name: 'after', needs: ['work'], run: script, env },
      ],
    });
    const run = await start(await apply({ steps: [{ name: 'call', workflow: { name: child } }] }));
    await expect.poll(() => stepsOf(idOf(run)), { timeout: 20_000 }).toEqual({ work: 'Running' });
    await change(run, { desired: 'Paused' });
    await expect.poll(async () => (await runs().get(idOf(run)))?.desired, { timeout: 20_000 }).toBe('Paused');
    await open();
    await expect.poll(() => stepsOf(idOf(run)), { timeout: 20_000 }).toMatchObject({ work: 'Succeeded' });
    expect(await stepsOf(idOf(run))).not.toHaveProperty('after', 'Running');
    await change(run, { desired: 'Running' });
    await expect.poll(() => stepsOf(idOf(run)), { timeout: 20_000 }).toMatchObject({ after: 'Running' });
    await change(run, { desired: 'Cancelled', reason: 'enough' });
    expect((await ended(run))?.status?.phase).toBe('Cancelled');
    expect((await runs().get(idOf(run)))?.phase).toBe('Cancelled');
  });

  test('have the locks of the run that started them', async () => {
    const lock = fresh('lock');
    const child = await apply({ steps: [{ name: 'work', run: 'true', locks: [{ name: lock }] }] });
    const run = await start(
      await apply({ locks: [{ name: lock }], steps: [{ name: 'call', workflow: { name: child } }] }),
    );
    expect((await ended(run))?.status?.phase).toBe('Succeeded');
  });
});

describe('runs that go on, and runs anew', () => {
  /** `good` succeeds; `flaky` fails until a file is there. Both note that they ran. */
  async function flaky() {
    const [ran, ok] = [join(world.directory, fresh('ran')), join(world.directory, fresh('ok'))];
    const env = { RAN: ran, OK: ok };
    const workflow = await apply({
      outputs: { said: '${{ steps.good.outputs.said }}' },
      steps: [
        {
          name: 'good',
          run: 'echo good >> "$RAN"; echo "said=hello" >> "$WINDLASS_OUTPUT"',
          env,
          outputs: { said: { type: 'string' } },
        },
        { name: 'flaky', needs: ['good'], run: 'echo flaky >> "$RAN"; test -f "$OK"', env },
      ],
    });
    return { workflow, ran, heal: () => writeFile(ok, '') };
  }

  test('a retry runs what failed, and keeps what succeeded', async () => {
    const { workflow, ran, heal } = await flaky();
    const run = await start(workflow);
    expect((await ended(run))?.status?.phase).toBe('Failed');
    await heal();
    await change(run, { execution: { number: 2 } });
    expect((await ended(run, 2))?.status).toMatchObject({ phase: 'Succeeded', outputs: { said: 'hello' } });
    expect(await lines(ran)).toEqual(['good', 'flaky', 'flaky']);
    expect(await runs().get(run.metadata.uid)).toMatchObject({ execution: 2, phase: 'Succeeded', error: null });
  });

  test('a retry runs the failed items of a fan-out alone', async () => {
    const [ran, ok] = [join(world.directory, fresh('ran')), join(world.directory, fresh('ok'))];
    const workflow = await apply({
      steps: [
        {
          name: 'each',
          forEach: { items: [0, 1, 2, 3], as: 'n', failFast: false },
          run: 'echo "$N" >> "$RAN"; test "$N" != 2 || test -f "$OK"',
          env: { RAN: ran, OK: ok, N: '${{ n }}' },
        },
      ],
    });
    const run = await start(workflow);
    expect((await ended(run))?.status?.phase).toBe('Failed');
    await writeFile(ok, '');
    await change(run, { execution: { number: 2 } });
    expect((await ended(run, 2))?.status?.phase).toBe('Succeeded');
    expect((await lines(ran)).toSorted()).toEqual(['0', '1', '2', '2', '3']);
  });

  describe('with a child run', () => {
    const childrenOf = async (run: WorkflowRun) =>
      (await runs().list({ parent: run.metadata.uid }, { limit: 9 })).items;
    const call = (workflow: string, more = {}) => ({ name: 'call', workflow: { name: workflow }, ...more });

    test('a retry goes on in the child, and keeps what succeeded there', async () => {
      const { workflow, ran, heal } = await flaky();
      const run = await start(await apply({ steps: [call(workflow)] }));
      expect((await ended(run))?.status?.phase).toBe('Failed');
      await heal();
      await change(run, { execution: { number: 2 } });
      expect((await ended(run, 2))?.status?.phase).toBe('Succeeded');
      expect(await lines(ran)).toEqual(['good', 'flaky', 'flaky']);
      expect(await childrenOf(run)).toMatchObject([{ execution: 2, phase: 'Succeeded', parent: { attempt: 2 } }]);
    });

    test('a retry that begins before it starts another child', async () => {
      const { workflow, ran, heal } = await flaky();
      const steps = [{ name: 'before', run: 'true' }, call(workflow, { needs: ['before'] })];
      const run = await start(await apply({ steps }));
      await ended(run);
      await heal();
      await change(run, { execution: { number: 2, from: 'before' } });
      expect((await ended(run, 2))?.status?.phase).toBe('Succeeded');
      expect(await lines(ran)).toEqual(['good', 'flaky', 'good', 'flaky']);
      expect(await childrenOf(run)).toMatchObject([{ execution: 1 }, { execution: 1 }]);
    });

    test('the next attempt of its step goes on in the child, unless trying again is of no use there', async () => {
      const retry = { limit: 2, backoff: { initial: '10ms' } };
      const { workflow, ran } = await flaky();
      const run = await start(await apply({ steps: [call(workflow, { retry })] }));
      expect((await ended(run))?.status?.phase).toBe('Failed');
      expect(await lines(ran)).toEqual(['good', 'flaky', 'flaky', 'flaky']);
      expect(await childrenOf(run)).toMatchObject([{ execution: 3, parent: { attempt: 3 } }]);
      const useless = await apply({ steps: [{ name: 'check', assert: [{ that: 'false', message: 'never' }] }] });
      const once = await start(await apply({ steps: [call(useless, { retry })] }));
      await ended(once);
      expect(await childrenOf(once)).toMatchObject([{ execution: 1, parent: { attempt: 1 } }]);
    });

    test('a run that was cancelled goes on in the child', async () => {
      const { script, env, open } = await gate();
      const ran = join(world.directory, fresh('ran'));
      const child = await apply({
        steps: [
          { name: 'good', run: 'echo good >> "$RAN"', env: { RAN: ran } },
          { name: 'slow', needs: ['good'], run: script, env },
        ],
      });
      const run = await start(await apply({ steps: [call(child)] }));
      const id = childId({ runId: run.metadata.uid, step: 'call', item: wholeStep, attempt: 1 });
      const isSlow = () => expect.poll(() => stepsOf(id), { timeout: 20_000 }).toMatchObject({ slow: 'Running' });
      await isSlow();
      await change(run, { desired: 'Cancelled' });
      expect((await ended(run))?.status?.phase).toBe('Cancelled');
      await change(run, { desired: 'Running', execution: { number: 2 } });
      await isSlow();
      await open();
      expect((await ended(run, 2))?.status?.phase).toBe('Succeeded');
      expect(await lines(ran)).toEqual(['good']);
    });
  });

  test('a retry that cannot be says why, and is tried again when it is corrected', async () => {
    const { workflow, heal } = await flaky();
    const run = await start(workflow);
    await ended(run);
    const refusal = (what: RegExp) =>
      until(run, `refused: ${what}`, ({ conditions }) =>
        Boolean(conditions?.some(({ type, message }) => type === 'ExecutionRefused' && what.test(message))),
      );
    await change(run, { execution: { number: 5 } });
    await refusal(/the next is 2, not 5/);
    await change(run, { execution: { number: 2, from: 'nowhere' } });
    await refusal(/no step nowhere/);
    await heal();
    await change(run, { execution: { number: 2, from: 'good' } });
    const again = await ended(run, 2);
    expect(again?.status?.phase).toBe('Succeeded');
    expect(again?.status?.conditions?.some(({ type }) => type === 'ExecutionRefused')).toBe(false);
  });

  test('a replay takes the inputs and the outputs before its step', async () => {
    const { workflow, ran, heal } = await flaky();
    const first = await start(workflow);
    await ended(first);
    await heal();
    const replay = await start(workflow, { replay: { run: first.metadata.uid, from: 'flaky' } });
    expect((await ended(replay))?.status).toMatchObject({ phase: 'Succeeded', outputs: { said: 'hello' } });
    expect(await lines(ran)).toEqual(['good', 'flaky', 'flaky']);
    expect(await stepsOf(replay.metadata.uid)).toMatchObject({ good: 'Succeeded Reused' });
    expect((await runs().get(replay.metadata.uid))?.replayOf).toBe(first.metadata.uid);
  });

  test('a replay of what is not recorded fails, and says what is missing', async () => {
    const { workflow } = await flaky();
    const run = await start(workflow, { replay: { run: 'nobody' } });
    await ended(run);
    expect((await runs().get(run.metadata.uid))?.error?.message).toBe(
      `no run nobody is recorded in namespace ${namespace}`,
    );
  });
});

test('a step with a cache runs once: for a second run, and for items of the same key at once', async () => {
  const ran = join(world.directory, fresh('ran'));
  const workflow = await apply({
    steps: [
      {
        name: 'work',
        forEach: { items: [1, 2, 3, 4, 5] },
        run: 'echo ran >> "$RAN"; echo "value=7" >> "$WINDLASS_OUTPUT"',
        env: { RAN: ran },
        outputs: { value: { type: 'integer' } },
        cache: { key: ['same'] },
      },
    ],
    outputs: { values: '${{ steps.work.outputs }}' },
  });
  for (let i = 0; i < 2; i++) {
    const run = await start(workflow);
    expect((await ended(run))?.status?.outputs).toEqual({ values: Array.from({ length: 5 }, () => ({ value: 7 })) });
    const { items } = await runs().items(run.metadata.uid, 'work', { limit: 10 });
    expect(items.filter(({ phase }) => phase === 'Cached')).toHaveLength(i === 0 ? 4 : 5);
  }
  expect(await lines(ran)).toEqual(['ran']);
});

describe('a namespace with a limit of running steps', () => {
  test('runs no more at once, of all its runs together', async () => {
    const limited = await startWorld({ maxStepsPerNamespace: 2 });
    try {
      const { store } = limited.controller;
      const now = join(limited.directory, 'now');
      const script = 'ln -s x "$NOW.$$"; ls "$NOW".* | wc -l >> "$NOW"; rm "$NOW.$$"';
      const step = { forEach: { items: [1, 2, 3, 4, 5, 6] }, run: script, env: { NOW: now } };
      const spec: WorkflowSpec = { steps: [{ name: 'a', ...step }] };
      await store.objects.apply({ kind: 'Workflow', metadata: { name: 'many', namespace }, spec });
      const started = await Promise.all([1, 2].map(() => limited.client.createRun(namespace, { workflow: 'many' })));
      for (const { metadata } of started) expect((await limited.ended(metadata)).phase).toBe('Succeeded');
      const seen = (await lines(now)).map(Number);
      expect(seen).toHaveLength(12);
      expect(Math.max(...seen)).toBeLessThanOrEqual(2);
    } finally {
      await limited.stop();
    }
  });
});

test('after a restart runs are superseded, and children found, as if there had been none', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-again-'));
  const data = join(directory, 'data');
  const first = await openLaptop(controllerOptions(data));
  const path = join(directory, 'gate');
  await promisify(execFile)('mkfifo', [path]);
  const work = { run: 'read -r _ < "$GATE"', env: { GATE: path } };
  const put = async (name: string, spec: WorkflowSpec) => {
    await first.controller.store.objects.apply({ kind: 'Workflow', metadata: { name, namespace }, spec });
  };
  await put('grouped', {
    concurrency: { group: 'g', policy: 'CancelRunning' },
    steps: [{ name: 'work', run: 'sleep 600' }],
  });
  await put('child', { steps: [{ name: 'work', ...work }] });
  await put('parent', { steps: [{ name: 'call', workflow: { name: 'child' } }] });
  const { store } = first.controller;
  const run = (of: Store, name: string, workflow: string) =>
    of.objects.create({ kind: 'WorkflowRun', metadata: { name, namespace }, spec: { workflow } });
  const [held, calls] = [await run(store, 'held', 'grouped'), await run(store, 'calls', 'parent')];
  const child = childId({ runId: calls.metadata.uid, step: 'call', item: wholeStep, attempt: 1 });
  const phaseOf = async (of: Store, id: string, step: string) => (await of.runs.step(id, step, wholeStep))?.phase;
  await expect.poll(() => phaseOf(store, held.metadata.uid, 'work'), { timeout: 20_000 }).toBe('Running');
  await expect.poll(() => phaseOf(store, child, 'work'), { timeout: 20_000 }).toBe('Running');
  await first.controller.stop(0);

  const second = await openLaptop(controllerOptions(data));
  try {
    const again = second.controller.store;
    const phase = (id: string) => async () => (await again.runs.get(id))?.phase;
    const taker = await run(again, 'taker', 'grouped');
    await expect.poll(phase(held.metadata.uid), { timeout: 20_000 }).toBe('Cancelled');
    await expect.poll(() => phaseOf(again, taker.metadata.uid, 'work'), { timeout: 20_000 }).toBe('Running');
    await appendFile(path, 'go\n');
    await expect.poll(phase(calls.metadata.uid), { timeout: 20_000 }).toBe('Succeeded');
    await again.objects.delete('WorkflowRun', namespace, 'taker');
    await expect.poll(phase(taker.metadata.uid), { timeout: 20_000 }).toBe('Cancelled');
  } finally {
    await second.controller.stop(0);
    await rm(directory, { recursive: true, force: true });
  }
}, 120_000);
