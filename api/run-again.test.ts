import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { addRun, addWorkflow, type ApiWorld, openApiWorld } from '../test/fixtures/api.ts';
import { runRow } from '../test/fixtures/history.ts';
import type { WorkflowRun } from '../crds/workflow-run.ts';
import type { RunRow } from '../controller/core/run/types.ts';
import type { DeadLetterResource, Redriven } from './resources/dead-letter.ts';
import type { Item, Run, RunSummary } from './resources/run.ts';
import type { CacheExplanation } from './routes/cache.ts';
import type { PlannedUnits } from './routes/run-again.ts';

let world: ApiWorld;
beforeAll(async () => {
  world = await openApiWorld({
    circuits: () => [{ host: 'api.example:443', state: 'Open', failures: 5, openUntil: 1_000 }],
  });
  await addWorkflow(world.store);
});
afterAll(() => world.close());

const at = Date.UTC(2026, 0, 5, 12, 0, 0);
const of = (name: string) => `/api/v1/namespaces/dev/runs/${name}`;
const error = { type: 'exit', message: 'exit code 1', retryable: true, exitCode: 1 };
const ended = { startedAt: at, finishedAt: at + 1000 };

/** A run whose second step failed; its object says so as the run's reconciler would. */
async function failed(name: string, created: Partial<RunRow> = {}): Promise<RunRow> {
  const row = await addRun(world.store, {
    name,
    created,
    run: { phase: 'Failed', outcome: 'Failed', error, ...ended },
    steps: [
      { step: 'fetch', phase: 'Succeeded', outputs: { rows: 1 }, ...ended },
      { step: 'approve', phase: 'Succeeded', ...ended },
      { step: 'publish', phase: 'Failed', error, attempts: 1, ...ended },
      { step: 'notify', phase: 'Succeeded', ...ended },
    ],
  });
  const key = { namespace: 'dev', name, uid: row.id };
  const finishedAt = new Date(at + 1000).toISOString();
  await world.store.objects.writeStatus('WorkflowRun', key, { phase: 'Failed', execution: 1, finishedAt });
  return row;
}

const actions = ({ items }: PlannedUnits) => Object.fromEntries(items.map(({ step, action }) => [step, action]));

describe('a retry', () => {
  test('says what it would do, and writes the next execution', async () => {
    await failed('retried');
    const planned = await world.call<PlannedUnits>('GET', `${of('retried')}/retry`);
    expect(actions(planned.body)).toEqual({ fetch: 'reuse', approve: 'reuse', publish: 'run', notify: 'run' });
    const { body } = await world.call<WorkflowRun>('POST', `${of('retried')}/retry`, { from: 'approve' });
    expect(body.spec.execution).toEqual({ number: 2, from: 'approve' });
    expect(await world.refused('POST', `${of('retried')}/retry`, {})).toMatchObject({ status: 409 });
  });

  test('is refused for a step that is not there, and while the run goes on', async () => {
    await failed('elsewhere');
    const unknown = await world.refused('POST', `${of('elsewhere')}/retry`, { from: 'nowhere' });
    expect(unknown).toMatchObject({ status: 409, detail: expect.stringContaining('nowhere') });
    await addRun(world.store, { name: 'going-on', run: { phase: 'Running' } });
    expect(await world.refused('GET', `${of('going-on')}/retry`)).toMatchObject({ status: 409 });
  });

  test('takes back that the run was cancelled', async () => {
    const row = await failed('cancelled-once');
    await world.store.objects.update('WorkflowRun', 'dev', 'cancelled-once', ({ spec }) => ({
      spec: { ...spec, desired: 'Cancelled', reason: 'no', force: true },
    }));
    const { body } = await world.call<WorkflowRun>('POST', `${of(row.name)}/retry`, {});
    expect(body.spec).toEqual({ workflow: 'report', execution: { number: 2 } });
  });
});

describe('a replay', () => {
  test('says what it would do, and creates a run that names the recorded one', async () => {
    const row = await failed('recorded');
    const planned = await world.call<PlannedUnits>('POST', `${of('recorded')}/replay/plan`, { from: 'publish' });
    expect(actions(planned.body)).toEqual({ fetch: 'reuse', approve: 'reuse', publish: 'run', notify: 'run' });
    const { status, body } = await world.call<WorkflowRun>('POST', `${of('recorded')}/replay`, {
      from: 'publish',
      inputs: { region: 'us' },
    });
    expect(status).toBe(201);
    expect(body.metadata.name).toMatch(/^recorded-replay-/);
    expect(body.spec).toEqual({
      workflow: 'report',
      inputs: { region: 'us' },
      replay: { run: row.id, from: 'publish' },
    });
  });

  test.each(['replay', 'replay/plan'])('is refused with inputs that the version does not take: %s', async (path) => {
    const name = `other-inputs-${path.length}`;
    await failed(name);
    const wrong = await world.refused('POST', `${of(name)}/${path}`, { inputs: { nope: 1, region: 7 } });
    expect(wrong).toMatchObject({
      status: 422,
      detail: expect.stringMatching(/unknown input "nope".*input "region": must be string/),
    });
  });

  test('is refused with a version that is not there', async () => {
    await failed('other-version');
    const version = `sha256:${'f'.repeat(64)}`;
    expect(await world.refused('POST', `${of('other-version')}/replay`, { version })).toMatchObject({ status: 404 });
  });
});

describe('items', () => {
  test('are listed in order, filtered and in pages, with their attempts', async () => {
    await addRun(world.store, {
      name: 'many',
      run: { phase: 'Running' },
      steps: [
        { step: 'fetch', phase: 'Running', items: 3 },
        { step: 'fetch', item: 0, label: 'eu', phase: 'Succeeded', outputs: { n: 1 } },
        { step: 'fetch', item: 1, label: 'us', phase: 'Failed', error },
        { step: 'fetch', item: 2, label: 'ap', phase: 'Running' },
      ],
      attempts: [{ step: 'fetch', item: 1, number: 1, phase: 'Failed', error }],
    });
    const path = `${of('many')}/steps/fetch/items`;
    const first = (await world.call<{ items: Item[]; next: string | null }>('GET', `${path}?limit=2`)).body;
    expect(first.items.map(({ item, label, phase }) => [item, label, phase])).toEqual([
      [0, 'eu', 'Succeeded'],
      [1, 'us', 'Failed'],
    ]);
    expect(first.items[1]?.attempts).toMatchObject([{ number: 1, phase: 'Failed' }]);
    const second = await world.call<{ items: Item[] }>('GET', `${path}?limit=2&after=${first.next}`);
    expect(second.body.items.map(({ item }) => item)).toEqual([2]);
    const bad = await world.call<{ items: Item[] }>('GET', `${path}?phase=Failed`);
    expect(bad.body.items.map(({ item }) => item)).toEqual([1]);
    const logs = { runId: (await world.call<Run>('GET', of('many'))).body.id, step: 'fetch', item: 1, attempt: 1 };
    await world.store.logs.append(logs, 0, new TextEncoder().encode('no such shop\n'));
    const page = await world.call('GET', `${of('many')}/steps/fetch/logs?item=1`);
    expect(page.body).toMatchObject({ step: 'fetch', item: 1, attempt: 1, lines: [{ text: 'no such shop\n' }] });
  });
});

describe('a child run', () => {
  test('is listed by its parent alone, and what is wanted of it is written into its row', async () => {
    const parent = await addRun(world.store, { name: 'parent', run: { phase: 'Running' } });
    const child = await addRun(world.store, {
      name: 'parent-fetch-ab',
      object: false,
      created: {
        parent: { runId: parent.id, step: 'fetch', item: -1, attempt: 1 },
        root: parent.id,
        rootName: 'parent',
        depth: 1,
      },
      run: { phase: 'Running' },
      steps: [{ step: 'approve', phase: 'Waiting', reason: 'WaitingForApproval' }],
    });
    const children = await world.call<{ items: RunSummary[] }>('GET', `/api/v1/runs?parent=${parent.id}`);
    expect(children.body.items.map(({ name }) => name)).toEqual(['parent-fetch-ab']);
    const all = await world.call<{ items: RunSummary[] }>('GET', '/api/v1/runs?limit=500');
    expect(all.body.items.map(({ name }) => name)).not.toContain('parent-fetch-ab');
    expect((await world.call<Run>('GET', of(child.name))).body.deleted).toBe(false);

    await world.call('POST', `${of(child.name)}/steps/approve/approve`, { as: 'ada', comment: 'good' });
    expect((await world.call('POST', `${of(child.name)}/pause`, { reason: 'wait' })).body).toMatchObject({
      name: child.name,
      desired: 'Paused',
    });
    const pausedAbove = 'the run that started it is paused';
    await world.store.runs.changeSpec(child.id, (spec) => ({ ...spec, reason: pausedAbove }));
    expect((await world.call('POST', `${of(child.name)}/pause`, { reason: 'mine' })).body).toMatchObject({
      desired: 'Paused',
      reason: 'mine',
    });
    await world.call('POST', `${of(child.name)}/cancel`, { force: true });
    expect(await world.refused('POST', `${of(child.name)}/resume`, {})).toMatchObject({ status: 409 });
    expect((await world.store.runs.specs([child.id])).get(child.id)).toMatchObject({
      desired: 'Cancelled',
      force: true,
      approvals: [{ step: 'approve', user: 'ada', decision: 'Approve', comment: 'good' }],
    });
    expect(await world.refused('POST', `${of(child.name)}/retry`, {})).toMatchObject({ status: 409 });
  });
});

describe('dead letters', () => {
  const list = async (query = '') =>
    (await world.call<{ items: DeadLetterResource[] }>('GET', `/api/v1/dead-letters?limit=500${query}`)).body.items;

  test('are what failed for good: looked at, started again, put aside with a reason', async () => {
    const there = await failed('lost-one');
    const gone = await failed('lost-two', { inputs: { region: 'us' }, priority: 7 });
    await world.store.objects.delete('WorkflowRun', 'dev', 'lost-two');
    const letters = await list();
    const idOf = (row: RunRow) => letters.find(({ runId }) => runId === row.id)?.id ?? 0;
    expect((await world.call('GET', `/api/v1/dead-letters/${idOf(there)}`)).body).toMatchObject({
      name: 'lost-one',
      state: 'Waiting',
      error: { message: 'exit code 1' },
    });

    const ids = [idOf(there), idOf(gone), 999_999];
    const { body } = await world.call<Redriven>('POST', '/api/v1/dead-letters/redrive', { ids, perSecond: 50 });
    expect(body.items).toMatchObject([
      { id: ids[0], run: 'lost-one', problem: null },
      { id: ids[1], run: `lost-two-again-${ids[1]}-1`, problem: null },
      { id: 999_999, run: null, problem: expect.stringContaining('999999') },
    ]);
    const again = await world.store.objects.get('WorkflowRun', 'dev', body.items[1]?.run ?? '');
    expect(again?.spec).toEqual({ workflow: 'report', inputs: { region: 'us' }, priority: 7 });
    expect((await list('&state=Redriven')).map(({ name }) => name).sort()).toEqual(['lost-one', 'lost-two']);

    const reason = { reason: 'a test of last week' };
    const put = await world.call('POST', `/api/v1/dead-letters/${ids[1]}/discard`, reason);
    expect(put.body).toMatchObject({ state: 'Discarded', closedBy: 'local', closedReason: 'a test of last week' });
    expect(await world.refused('POST', `/api/v1/dead-letters/${ids[1]}/discard`, reason)).toMatchObject({
      status: 409,
    });
    const late = await world.call<Redriven>('POST', '/api/v1/dead-letters/redrive', { ids: [ids[1]] });
    expect(late.body.items[0]?.problem).toContain('Discarded already');
    expect(await world.refused('POST', `/api/v1/dead-letters/${ids[0]}/discard`, {})).toMatchObject({ status: 422 });
  });
});

describe('a redrive', () => {
  const letterOf = async (run: { id: string }) => (await world.store.deadLetters.ofRun(run.id))?.id ?? 0;
  const state = async (id: number) => (await world.call<DeadLetterResource>('GET', `/api/v1/dead-letters/${id}`)).body;
  const redrive = async (id: number) =>
    (await world.call<Redriven>('POST', '/api/v1/dead-letters/redrive', { ids: [id] })).body.items[0];
  const runsNamed = async (start: string) =>
    (await world.store.objects.list('WorkflowRun', { namespace: 'dev' })).filter(({ metadata }) =>
      metadata.name.startsWith(start),
    );

  /** The letter of a run whose object is gone. */
  async function gone(name: string): Promise<number> {
    const id = await letterOf(await failed(name));
    await world.store.objects.delete('WorkflowRun', 'dev', name);
    return id;
  }

  /** Records how the run of an object came out, as its reconciler would. */
  async function ends(name: string, phase: 'Succeeded' | 'Failed'): Promise<RunRow> {
    const object = await world.store.objects.get('WorkflowRun', 'dev', name);
    const id = object?.metadata.uid ?? '';
    const row = runRow(id, { name, ...ended, phase, outcome: phase, error: phase === 'Failed' ? error : null });
    await world.store.runs.create(row);
    const status = { phase, execution: 1, finishedAt: new Date(at + 1000).toISOString() };
    await world.store.objects.writeStatus('WorkflowRun', { namespace: 'dev', name, uid: id }, status);
    return row;
  }

  test('of a run that is gone is resolved when the new run ends well', async () => {
    const id = await gone('well');
    const again = await redrive(id);
    expect(await state(id)).toMatchObject({ state: 'Redriven', redrives: 1, redrivenName: again?.run });
    await ends(again?.run ?? '', 'Succeeded');
    expect(await state(id)).toMatchObject({ state: 'Resolved', name: 'well' });
  });

  test('that fails is the same dead letter, and goes on as the run that failed last', async () => {
    const id = await gone('badly');
    const first = `badly-again-${id}-1`;
    expect(await redrive(id)).toMatchObject({ run: first });
    const row = await ends(first, 'Failed');
    expect(await state(id)).toMatchObject({ state: 'Waiting', name: first, runId: row.id, redrives: 1 });
    expect(await redrive(id)).toMatchObject({ run: first, problem: null });
    expect((await runsNamed('badly')).map(({ spec }) => spec.execution)).toEqual([{ number: 2 }]);
    await world.store.objects.delete('WorkflowRun', 'dev', first);
    expect(await redrive(id)).toMatchObject({ run: `badly-again-${id}-3`, problem: null });
  });

  test('is refused while what it started goes on', async () => {
    const id = await gone('goes');
    const again = (await redrive(id))?.run ?? '';
    expect(await redrive(id)).toMatchObject({
      run: null,
      problem: expect.stringContaining(`${again}, which has not ended`),
    });
    const there = await letterOf(await failed('still-there'));
    expect(await redrive(there)).toMatchObject({ run: 'still-there' });
    expect(await redrive(there)).toMatchObject({ run: null, problem: expect.stringContaining('retried already') });
    expect(await runsNamed('goes')).toHaveLength(1);
    expect(await state(id)).toMatchObject({ redrives: 1 });
  });

  test.each([true, false])('that many ask for at once starts one run (object gone: %s)', async (isGone) => {
    const name = `many-ask-${isGone}`;
    const id = isGone ? await gone(name) : await letterOf(await failed(name));
    const answers = await Promise.all(Array.from({ length: 6 }, () => redrive(id)));
    const started = isGone ? `${name}-again-${id}-1` : name;
    expect(answers.map((answer) => answer?.run)).toContain(started);
    expect(new Set(answers.map((answer) => answer?.run ?? started))).toEqual(new Set([started]));
    const runs = await runsNamed(name);
    expect(runs.map(({ metadata, spec }) => [metadata.name, spec.execution?.number])).toEqual([
      [started, isGone ? undefined : 2],
    ]);
    expect(await state(id)).toMatchObject({ state: 'Redriven', redrives: 1, redrivenAs: runs[0]?.metadata.uid });
  });

  test.each([true, false])('that was cut short anywhere goes on as the same (object gone: %s)', async (isGone) => {
    const name = `cut-short-${isGone}`;
    const id = isGone ? await gone(name) : await letterOf(await failed(name));
    const { store } = world;
    const cut = new Error('cut');
    const breaks = vi.spyOn(store.objects, isGone ? 'create' : 'update').mockRejectedValueOnce(cut);
    expect(await world.refused('POST', '/api/v1/dead-letters/redrive', { ids: [id] })).toMatchObject({ status: 500 });
    expect(await state(id)).toMatchObject({ state: 'Waiting', redrives: 1, redrivenAs: null });
    breaks.mockRestore();
    const marks = vi.spyOn(store.deadLetters, 'markRedriven').mockRejectedValueOnce(cut);
    expect(await world.refused('POST', '/api/v1/dead-letters/redrive', { ids: [id] })).toMatchObject({ status: 500 });
    expect(await state(id)).toMatchObject({ state: 'Waiting', redrives: 1, redrivenAs: null });
    marks.mockRestore();
    const started = isGone ? `${name}-again-${id}-1` : name;
    expect(await redrive(id)).toMatchObject({ run: started, problem: null });
    const runs = await runsNamed(name);
    expect(runs).toHaveLength(1);
    expect(await state(id)).toMatchObject({ state: 'Redriven', redrives: 1, redrivenAs: runs[0]?.metadata.uid });
  });

  test('does not take a run of somebody else for its own', async () => {
    const id = await gone('taken');
    const { objects, deadLetters } = world.store;
    const theirs = (number: number) =>
      objects.create({
        kind: 'WorkflowRun',
        metadata: { name: `taken-again-${id}-${number}`, namespace: 'dev' },
        spec: { workflow: 'report' },
      });
    await theirs(1);
    const letter = await deadLetters.get(id);
    if (!letter) throw new Error('it is gone');
    // cut short, and then the name was taken
    await deadLetters.beginRedrive(letter, { by: 'ada', name: `taken-again-${id}-2`, at });
    await theirs(2);
    const run = `taken-again-${id}-3`;
    // taken at the very last moment
    const { create } = objects;
    const late = vi.spyOn(objects, 'create').mockImplementationOnce(async (draft) => {
      await theirs(3);
      return create(draft);
    });
    expect(await redrive(id)).toMatchObject({ run: null, problem: expect.stringContaining(run) });
    late.mockRestore();
    expect(await redrive(id)).toMatchObject({ run: `taken-again-${id}-4`, problem: null });
  });

  test('begins anew when what it began was cancelled before anything of it was recorded', async () => {
    const id = await gone('never-was');
    const name = (await redrive(id))?.run ?? '';
    const uid = (await state(id)).redrivenAs ?? '';
    const status = { phase: 'Cancelled', finishedAt: new Date(at).toISOString() };
    await world.store.objects.writeStatus('WorkflowRun', { namespace: 'dev', name, uid }, status);
    expect(await redrive(id)).toMatchObject({ run: `never-was-again-${id}-2`, problem: null });
  });

  test('of a run that is there goes on after a cancelled execution, and after one that was refused', async () => {
    const row = await failed('there-again');
    const id = await letterOf(row);
    const { objects } = world.store;
    const key = { namespace: 'dev', name: row.name, uid: row.id };
    const number = async () => (await objects.get('WorkflowRun', 'dev', row.name))?.spec.execution?.number;
    await redrive(id);
    const finishedAt = new Date(at).toISOString();
    await objects.writeStatus('WorkflowRun', key, { phase: 'Cancelled', execution: 2, finishedAt });
    expect(await redrive(id)).toMatchObject({ run: row.name, problem: null });
    expect(await number()).toBe(3);
    expect(await redrive(id)).toMatchObject({ run: null, problem: expect.stringContaining('retried already') });

    // Before that has begun somebody cancels it with kubectl: so it is refused.
    const cancelled = await objects.update('WorkflowRun', 'dev', row.name, ({ spec }) => ({
      spec: { ...spec, desired: 'Cancelled' },
    }));
    const refuse = async ({ metadata: { generation } }: WorkflowRun) => {
      const refused = { type: 'ExecutionRefused', status: 'True' as const, reason: 'ExecutionRefused' };
      const said = { ...refused, message: 'execution 3 is refused: no', lastTransitionTime: finishedAt };
      const conditions = [{ ...said, observedGeneration: generation }];
      await objects.writeStatus('WorkflowRun', key, { phase: 'Cancelled', execution: 2, finishedAt, conditions });
    };
    await refuse(cancelled);
    expect(await redrive(id)).toMatchObject({ run: row.name, problem: null });
    const wanted = await objects.get('WorkflowRun', 'dev', row.name);
    expect(wanted?.spec).toMatchObject({ execution: { number: 3 } });
    expect(wanted?.spec.desired).toBeUndefined();
    // Refused as it stands, asking for the same changes nothing.
    await refuse(wanted as WorkflowRun);
    expect(await redrive(id)).toMatchObject({ run: null, problem: expect.stringContaining('3 is refused: no') });
  });
});

test('the cache is explained by the parts in which a key differs from the entries', async () => {
  const parts = { 'env REGION': 'eu', files: 'sha256:aa' };
  const run = await addRun(world.store, {
    name: 'cached',
    run: { phase: 'Running' },
    steps: [{ step: 'fetch', phase: 'Running', cache: { key: 'sha256:k1', parts } }],
  });
  const unit = {
    runId: run.id,
    step: 'fetch',
    item: -1,
    namespace: 'dev',
    workflow: 'report',
    ttlMs: 1e12,
    image: null,
  };
  const other = { key: 'sha256:k2', parts: { ...parts, 'env REGION': 'us' } };
  expect(await world.store.cache.lookUp({ ...unit, cache: other })).toEqual({ type: 'fill' });
  const entry = { ...unit, key: other.key, outputs: { n: 1 }, artifacts: {}, imageId: null };
  // oxlint-disable-next-line no-array-fill-with-reference-type -- no array
  await world.store.cache.fill(entry);
  const { body } = await world.call<CacheExplanation>('GET', `${of('cached')}/steps/fetch/cache`);
  expect(body).toMatchObject({
    step: 'fetch',
    key: 'sha256:k1',
    parts,
    entries: [{ key: 'sha256:k2', changed: [{ part: 'env REGION', here: 'eu', there: 'us' }] }],
  });
});

test('circuits are listed', async () => {
  expect((await world.call('GET', '/api/v1/circuits')).body).toEqual({
    items: [{ host: 'api.example:443', state: 'Open', failures: 5, openUntil: '1970-01-01T00:00:01.000Z' }],
    next: null,
  });
});

test('every operation of these has answered well above', async () => {
  const expected = [
    'GET /api/v1/namespaces/{namespace}/runs/{name}/retry',
    'POST /api/v1/namespaces/{namespace}/runs/{name}/retry',
    'POST /api/v1/namespaces/{namespace}/runs/{name}/replay/plan',
    'POST /api/v1/namespaces/{namespace}/runs/{name}/replay',
    'GET /api/v1/namespaces/{namespace}/runs/{name}/steps/{step}/items',
    'GET /api/v1/namespaces/{namespace}/runs/{name}/steps/{step}/cache',
    'GET /api/v1/dead-letters',
    'GET /api/v1/dead-letters/{id}',
    'POST /api/v1/dead-letters/redrive',
    'POST /api/v1/dead-letters/{id}/discard',
    'GET /api/v1/circuits',
  ];
  expect(expected.filter((operation) => !world.exercised.has(operation))).toEqual([]);
});
