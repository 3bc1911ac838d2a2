import { Registry } from 'prom-client';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { WindlassObject } from '../crds/metadata.ts';
import { kinds } from '../crds/kinds.ts';
import {
  addEnvironment,
  addPromotion,
  addRun,
  addWorkflow,
  type ApiWorld,
  change,
  dependencies,
  host,
  openApiWorld,
  token,
  workflowSpec,
} from '../test/fixtures/api.ts';
import { createApp } from './app.ts';
import { immutableFields } from './objects.ts';
import { openapiDocument } from './openapi.ts';
import type { Run, RunSummary, Step } from './resources/run.ts';
import type { PromotionDetail, PromotionSummary } from './resources/promotion.ts';

type Listed<T> = { items: T[]; next: string | null };
type Stored = WindlassObject<string, Record<string, unknown>>;

let world: ApiWorld;
beforeAll(async () => {
  world = await openApiWorld();
});
afterAll(() => world.close());

describe('objects', () => {
  const path = '/api/v1/namespaces/dev/workflows/report';
  const object = {
    apiVersion: 'windlass.dev/v1alpha1',
    kind: 'Workflow',
    metadata: { name: 'report' },
    spec: workflowSpec,
  };

  test('are applied, read, listed and deleted', async () => {
    const { body: created } = await world.call<Stored>('PUT', path, object);
    expect(created).toMatchObject({
      kind: 'Workflow',
      metadata: { namespace: 'dev', generation: 1 },
      spec: workflowSpec,
    });
    expect((await world.call('GET', path)).body).toEqual(created);
    expect((await world.call<Listed<Stored>>('GET', '/api/v1/namespaces/dev/workflows')).body.items).toEqual([created]);
    expect((await world.call('DELETE', path)).status).toBe(204);
    expect(await world.refused('DELETE', path)).toMatchObject({ status: 404 });
  });

  test('an object that was read may be sent back; only a changed spec raises the generation', async () => {
    const { body: read } = await world.call<Stored>('PUT', path, object);
    const { body: same } = await world.call<Stored>('PUT', path, { ...read, status: { digest: 'forged' } });
    expect(same).toEqual(read);
    const edited = { ...read, spec: { ...read.spec, description: 'Another.' } };
    expect((await world.call<Stored>('PUT', path, edited)).body.metadata.generation).toBe(read.metadata.generation + 1);
    // a state that was overtaken
    expect(await world.refused('PUT', path, edited)).toMatchObject({ status: 409 });
    const other = { ...object, metadata: { name: 'report', uid: 'another' } };
    expect(await world.refused('PUT', path, other)).toMatchObject({ status: 409 });
    await world.call('DELETE', path);
    // one that was deleted meanwhile
    expect(await world.refused('PUT', path, read)).toMatchObject({ status: 409 });
  });

  test.each([
    ['an unknown field', { spec: { ...workflowSpec, stepz: [] } }, 'spec'],
    ['an unknown metadata field', { metadata: { lables: {} } }, 'metadata'],
    ['an unknown field at the top', { sepc: {} }, ''],
    ['no spec', { spec: undefined }, ''],
    ['a step without a kind', { spec: { steps: [{ name: 'a' }] } }, 'spec.steps[0]'],
    ['a NUL character', { spec: { ...workflowSpec, description: 'a\0b' } }, 'spec.description'],
    ['another kind than the path', { kind: 'Environment' }, 'kind'],
    ['another name than the path', { metadata: { name: 'other' } }, 'metadata.name'],
    ['labels that are no map', { metadata: { labels: [] } }, 'metadata.labels'],
  ])('%s is refused with where it is', async (_, wrong, at) => {
    const problem = await world.refused('PUT', path, { ...object, ...wrong });
    expect(problem).toMatchObject({ status: 422, instance: path, type: 'https://windlass.dev/problems/invalid' });
    expect(problem.problems?.[0]?.path.startsWith(at)).toBe(true);
    expect(problem.problems?.[0]?.rule).toMatch(/^[a-z-]+$/);
    expect(problem.problems?.[0]?.message).not.toBe('');
  });

  test('that a repository owns are neither changed nor deleted here', async () => {
    const inDefault = { namespace: 'default' };
    const url = '/api/v1/namespaces';
    const { objects } = world.store;
    await objects.apply({
      kind: 'WorkflowSource',
      metadata: { ...inDefault, name: 'owner' },
      spec: { url: '/srv/team.git', branch: 'main' },
    });
    const spec = { source: { name: 'owner' }, track: { branch: 'main' } };
    const labels = { 'windlass.dev/source': 'owner' };
    await objects.apply({ kind: 'Environment', metadata: { ...inDefault, name: 'owned', labels }, spec });
    const ofEnvironment = { 'windlass.dev/environment': 'owned', 'windlass.dev/project': 'default' };
    await objects.apply({
      kind: 'Workflow',
      metadata: { namespace: 'owned', name: 'report', labels: ofEnvironment },
      spec: workflowSpec,
    });
    const environment = `${url}/default/environments/owned`;
    const workflow = `${url}/owned/workflows/report`;
    for (const [path, body, detail] of [
      [
        environment,
        { spec },
        'Environment owned comes from environments/owned.yaml of source owner; change it by a merge.',
      ],
      [workflow, object, 'Workflow report comes from what was promoted into owned; change it by a merge.'],
    ] as const) {
      expect(await world.refused('PUT', path, body)).toMatchObject({ status: 409, detail });
      expect(await world.refused('DELETE', path)).toMatchObject({ status: 409, detail });
    }
    // Nothing is left behind that nobody can take away.
    await objects.delete('WorkflowSource', 'default', 'owner');
    expect((await world.call('DELETE', environment)).status).toBe(204);
    expect((await world.call('DELETE', workflow)).status).toBe(204);
  });

  test('deep nesting is refused, not followed', async () => {
    const deep = `{"spec":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`;
    expect(await world.refused('PUT', path, deep)).toMatchObject({ status: 422 });
  });

  test('lists are paged by name', async () => {
    for (const name of ['c', 'a', 'b'])
      await world.call('PUT', `/api/v1/namespaces/paged/workflows/${name}`, { spec: workflowSpec });
    const first = (await world.call<Listed<Stored>>('GET', '/api/v1/namespaces/paged/workflows?limit=2')).body;
    expect(first.items.map((o) => o.metadata.name)).toEqual(['a', 'b']);
    const second = (
      await world.call<Listed<Stored>>('GET', `/api/v1/namespaces/paged/workflows?limit=2&after=${first.next}`)
    ).body;
    expect([second.items.map((o) => o.metadata.name), second.next]).toEqual([['c'], null]);
  });

  test('every kind has the four operations', async () => {
    const specs = {
      Workflow: workflowSpec,
      WorkflowRun: { workflow: 'report' },
      WorkflowSource: { url: 'https://git.example/team.git', branch: 'main' },
      Environment: { source: { name: 'repo' }, track: { branch: 'main' } },
      Promotion: { environment: 'dev', ref: 'v1.0.0' },
    };
    for (const [kind, spec] of Object.entries(specs)) {
      const list = `/api/v1/namespaces/every/${kinds[kind as keyof typeof specs].plural}`;
      expect((await world.call('PUT', `${list}/one`, { kind, spec })).body).toMatchObject({ kind, spec });
      expect((await world.call('GET', `${list}/one`)).status).toBe(200);
      expect((await world.call<Listed<Stored>>('GET', list)).body.items).toHaveLength(1);
      expect((await world.call('DELETE', `${list}/one`)).status).toBe(204);
    }
  });

  test('what the CRDs call immutable cannot be changed', async () => {
    for (const [kind, definition] of Object.entries(kinds)) {
      const said = definition.rules.flatMap((r) => /^(\w+) (?:is|are) immutable$/.exec(r.message)?.[1] ?? []);
      expect({ kind, fields: immutableFields[kind as keyof typeof kinds] ?? [] }).toEqual({ kind, fields: said });
    }
    const run = '/api/v1/namespaces/dev/workflowruns/fixed';
    await world.call('PUT', run, { spec: { workflow: 'report', inputs: { a: 1 } } });
    for (const spec of [{ workflow: 'other', inputs: { a: 1 } }, { workflow: 'report' }]) {
      expect(await world.refused('PUT', run, { spec })).toMatchObject({
        status: 422,
        problems: [{ rule: 'immutable' }],
      });
    }
    expect(
      (await world.call('PUT', run, { spec: { workflow: 'report', inputs: { a: 1 }, desired: 'Paused' } })).status,
    ).toBe(200);
    await world.call('DELETE', run);
  });
});

describe('runs', () => {
  const runs = '/api/v1/namespaces/dev/runs';
  beforeAll(async () => {
    await addWorkflow(world.store);
  });

  test('are created at once and are there before the controller has taken them up', async () => {
    const { status, headers, body } = await world.call<Stored>('POST', runs, {
      workflow: 'report',
      inputs: { region: 'eu' },
    });
    expect(status).toBe(201);
    expect(body.metadata.name).toMatch(/^report-[a-z0-9]{5}$/);
    const { body: run } = await world.call<Run>('GET', headers.get('location') ?? '');
    expect(run).toMatchObject({
      phase: 'Pending',
      name: body.metadata.name,
      inputs: { region: 'eu' },
      steps: [],
      deleted: false,
    });
    const { body: list } = await world.call<Listed<RunSummary>>('GET', '/api/v1/runs?phase=Pending');
    expect(list.items.map((r) => r.name)).toContain(body.metadata.name);
    const { name, uid } = body.metadata;
    const told = { type: 'Succeeded', status: 'Unknown', reason: 'WorkflowNotFound', message: 'apply it' } as const;
    await world.store.objects.writeStatus(
      'WorkflowRun',
      { namespace: 'dev', name, uid },
      { phase: 'Pending', conditions: [{ ...told, lastTransitionTime: '2026-01-01T00:00:00Z' }] },
    );
    const waits = { reason: 'WorkflowNotFound', message: 'apply it' };
    expect((await world.call<Run>('GET', headers.get('location') ?? '')).body).toMatchObject({ waits });
    await world.call('DELETE', `/api/v1/namespaces/dev/workflowruns/${body.metadata.name}`);
  });

  test('get the name that is asked for, once', async () => {
    expect((await world.call<Stored>('POST', runs, { workflow: 'report', name: 'mine' })).body.metadata.name).toBe(
      'mine',
    );
    expect(await world.refused('POST', runs, { workflow: 'report', name: 'mine' })).toMatchObject({ status: 409 });
    const { body } = await world.call<Stored>('POST', runs, { workflow: 'report', generateName: 'team-' });
    expect(body.metadata.name).toMatch(/^team-[a-z0-9]{5}$/);
    for (const name of ['mine', body.metadata.name])
      await world.call('DELETE', `/api/v1/namespaces/dev/workflowruns/${name}`);
  });

  test.each([
    ['a workflow that is not there', { workflow: 'reprot' }, 404, 'There are: report.'],
    ['no workflow', {}, 422, 'workflow is missing'],
    ['an unknown field', { workflow: 'report', input: {} }, 422, 'input is not known here'],
    ['inputs that are no map', { workflow: 'report', inputs: [] }, 422, 'inputs'],
    ['a name that is none', { workflow: 'report', name: 'No Such Name' }, 422, 'name'],
    ['both names', { workflow: 'report', name: 'a', generateName: 'b' }, 422, 'either'],
    ['an input that is unknown', { workflow: 'report', inputs: { regoin: 'eu' } }, 422, 'did you mean region?'],
    [
      'an input that does not fit',
      { workflow: 'report', inputs: { region: 7 } },
      422,
      'input "region": must be string',
    ],
    [
      'a name that is none',
      { workflow: 'report', name: 'Bad_Name' },
      422,
      'must hold only lowercase letters, digits, - and .',
    ],
    ['inputs with NUL', { workflow: 'report', inputs: { a: '\0' } }, 422, 'inputs.a'],
  ])('%s: %o → %i', async (_, body, status, words) => {
    const problem = await world.refused('POST', runs, body);
    expect(problem.status).toBe(status);
    expect(problem.detail).toContain(words);
  });

  test('show their steps in the order of the file, with attempts', async () => {
    const at = Date.UTC(2026, 0, 5, 12, 0, 1);
    await addRun(world.store, {
      name: 'whole',
      run: { phase: 'Running', startedAt: at },
      steps: [
        { step: 'fetch', phase: 'Succeeded', startedAt: at, finishedAt: at + 1500, attempts: 2, outputs: { rows: 3 } },
      ],
      attempts: [
        {
          step: 'fetch',
          number: 1,
          phase: 'Failed',
          startedAt: at,
          finishedAt: at + 500,
          error: { type: 'exit', message: 'exit code 1', retryable: true, exitCode: 1 },
        },
        {
          step: 'fetch',
          number: 2,
          phase: 'Succeeded',
          startedAt: at + 600,
          finishedAt: at + 1500,
          imageId: 'busybox@sha256:aa',
        },
      ],
    });
    const { body } = await world.call<Run>('GET', `${runs}/whole`);
    expect(body).toMatchObject({
      phase: 'Running',
      version: 'v1.0.0',
      environment: 'dev',
      startedAt: '2026-01-05T12:00:01.000Z',
    });
    expect(body.steps.map((s) => [s.name, s.kind, s.section, s.phase])).toEqual([
      ['fetch', 'run', 'main', 'Succeeded'],
      ['approve', 'approval', 'main', 'Pending'],
      ['publish', 'run', 'main', 'Pending'],
      ['notify', 'run', 'finally', 'Pending'],
    ]);
    expect(body.steps[0]).toMatchObject({
      durationMs: 1500,
      outputs: { rows: 3 },
      attempts: [
        { number: 1, error: { exitCode: 1 }, imageId: null },
        { number: 2, imageId: 'busybox@sha256:aa' },
      ],
    });
    expect(body.steps[1]?.approval).toEqual({ groups: ['editors'], count: 2, missing: null });
    expect((await world.call<Listed<unknown>>('GET', `${runs}/whole/steps`)).body).toEqual({
      items: body.steps,
      next: null,
    });
  });

  test('stay readable when their object is deleted', async () => {
    await addRun(world.store, { name: 'gone', object: false });
    expect((await world.call<Run>('GET', `${runs}/gone`)).body).toMatchObject({ deleted: true, phase: 'Queued' });
    expect(await world.refused('POST', `${runs}/gone/cancel`, {})).toMatchObject({ status: 409 });
  });

  test('are cancelled, paused and resumed by intent', async () => {
    const row = await addRun(world.store, { name: 'steered', run: { phase: 'Running' } });
    const spec = async (verb: string, body: object = {}) =>
      (await world.call<Stored>('POST', `${runs}/steered/${verb}`, body)).body.spec;
    expect(await spec('pause', { reason: 'lunch' })).toMatchObject({ desired: 'Paused', reason: 'lunch' });
    expect(await spec('resume')).toEqual({ workflow: 'report', desired: 'Running' });
    expect(await spec('cancel', { reason: 'wrong data' })).toMatchObject({
      desired: 'Cancelled',
      reason: 'wrong data',
    });
    // the first reason stays
    expect(await spec('cancel', { reason: 'again' })).toMatchObject({ reason: 'wrong data' });
    expect(await world.refused('POST', `${runs}/steered/resume`, {})).toMatchObject({ status: 409 });
    await change(world.store, row.id, { run: { phase: 'Cancelled', finishedAt: 1 } });
    expect(await world.refused('POST', `${runs}/steered/cancel`, {})).toMatchObject({
      status: 409,
      detail: 'Run steered is Cancelled already.',
    });
    expect(await world.refused('POST', `${runs}/nobody/cancel`, {})).toMatchObject({ status: 404 });
  });

  test('lists are filtered', async () => {
    const at = Date.now();
    await addRun(world.store, {
      name: 'old',
      namespace: 'filter',
      run: { createdAt: at - 3 * 86_400_000, phase: 'Failed', finishedAt: at },
    });
    await addRun(world.store, {
      name: 'late',
      namespace: 'filter',
      run: { createdAt: at - 3_600_000, phase: 'TimedOut', finishedAt: at },
    });
    await addRun(world.store, {
      name: 'good',
      namespace: 'filter',
      run: { createdAt: at - 1000, phase: 'Succeeded', finishedAt: at, environment: 'prod' },
    });
    await world.store.objects.create({
      kind: 'WorkflowRun',
      metadata: { name: 'new', namespace: 'filter' },
      spec: { workflow: 'report' },
    });
    const names = async (query: string) =>
      (await world.call<Listed<RunSummary>>('GET', `/api/v1/runs?namespace=filter${query}`)).body.items.map(
        (r) => r.name,
      );
    expect(await names('')).toEqual(['new', 'good', 'late', 'old']);
    expect(await names('&failed=true')).toEqual(['late', 'old']);
    expect(await names('&failed=true&since=1d')).toEqual(['late']);
    expect(await names(`&since=${new Date(at - 7_200_000).toISOString()}`)).toEqual(['new', 'good', 'late']);
    expect(await names('&phase=Succeeded&phase=TimedOut')).toEqual(['good', 'late']);
    expect(await names('&phase=Pending')).toEqual(['new']);
    expect(await names('&environment=prod')).toEqual(['good']);
    expect(await names('&workflow=other')).toEqual([]);
    expect(await names('&name=old')).toEqual(['old']);
  });

  test('lists are paged without gaps or repeats', async () => {
    for (let i = 0; i < 7; i++) {
      // some share an instant: the id decides then
      await addRun(world.store, { name: `run-${i}`, namespace: 'many', run: { createdAt: 1000 + Math.floor(i / 3) } });
    }
    const seen: string[] = [];
    for (let after = ''; ; ) {
      const { body } = await world.call<Listed<RunSummary>>('GET', `/api/v1/runs?namespace=many&limit=2${after}`);
      expect(body.items.length).toBeLessThanOrEqual(2);
      seen.push(...body.items.map((r) => r.name));
      if (body.next === null) break;
      after = `&after=${encodeURIComponent(body.next)}`;
    }
    expect(seen.toSorted()).toEqual(Array.from({ length: 7 }, (_, i) => `run-${i}`));
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=501', 'limit'],
    ['limit=ten', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['phase=Done', 'phase'],
    ['since=yesterday', 'since'],
    ['since=2026-13-01T00:00:00Z', 'since'],
    ['namespace=%00', 'namespace'],
    ['colour=red', 'colour'],
    ['failed=true&phase=Failed', 'phase'],
    ['after=nonsense', 'after'],
    ['after=%00', 'after'],
  ])('?%s is refused', async (query, word) => {
    const problem = await world.refused('GET', `/api/v1/runs?${query}`);
    expect(problem.status).toBe(400);
    expect(problem.detail).toContain(word);
  });
});

describe('approvals of a step', () => {
  const steps = '/api/v1/namespaces/dev/runs/asked/steps';
  let id = '';
  beforeAll(async () => {
    const row = await addRun(world.store, {
      name: 'asked',
      run: { phase: 'Running' },
      steps: [{ step: 'approve', phase: 'Waiting', reason: 'WaitingForApproval' }],
    });
    id = row.id;
  });
  const approvals = (body: unknown) => (body as Stored).spec['approvals'];

  test('are entries in the spec: one a person, in every group that is asked for', async () => {
    const at = expect.stringMatching(/^20..-.*Z$/);
    const local = { step: 'approve', user: 'local', groups: ['editors'], decision: 'Approve', at };
    expect(approvals((await world.call('POST', `${steps}/approve/approve`, {})).body)).toEqual([local]);
    const ann = { ...local, user: 'ann', comment: 'fine' };
    expect(
      approvals((await world.call('POST', `${steps}/approve/approve`, { as: 'ann', comment: 'fine' })).body),
    ).toEqual([local, ann]);
    const { body } = await world.call('POST', `${steps}/approve/reject`, { comment: 'no' });
    expect(approvals(body)).toEqual([ann, { ...local, decision: 'Reject', comment: 'no' }]);
    expect((await world.call<Run>('GET', '/api/v1/namespaces/dev/runs/asked')).body.approvals).toHaveLength(2);
  });

  test('are missed by the step, in the words of the conditions of its run, until it has ended', async () => {
    const path = '/api/v1/namespaces/dev/runs/misses';
    const missing = async () => (await world.call<Run>('GET', path)).body.steps.map((step) => step.approval?.missing);
    const row = await addRun(world.store, { name: 'misses', run: { phase: 'Running' } });
    expect(await missing()).toEqual([undefined, null, undefined, undefined]);
    const waiting = { step: 'approve', phase: 'Waiting' as const, reason: 'WaitingForApproval' };
    await change(world.store, row.id, { steps: [waiting] });
    expect((await missing())[1]).toBe('2 more approvals of groups editors');
    const write = (entries: { user: string; groups: string[]; execution?: number }[]) =>
      world.store.objects.update('WorkflowRun', 'dev', 'misses', ({ spec }) => ({
        spec: {
          ...spec,
          approvals: entries.map((entry) => ({ step: 'approve', decision: 'Approve' as const, ...entry })),
        },
      }));
    const ada = { user: 'ada', groups: ['editors'] };
    await write([ada, { ...ada, user: 'eve', execution: 2 }, { user: 'bob', groups: ['guests'] }]);
    expect((await missing())[1]).toBe('1 more approval of groups editors; not counted: bob (in none of them)');
    expect((await world.call<Listed<Step>>('GET', `${path}/steps`)).body.items[1]?.approval?.missing).toMatch(
      /^1 more/,
    );

    const held = createApp({
      ...world.deps,
      registry: new Registry(),
      believed: async () => ({ approvals: [], held: 'No policy.' }),
    });
    const headers = { host, authorization: `Bearer ${token}` };
    const run = (await (await held.request(`http://${host}${path}`, { headers })).json()) as Run;
    expect(run.steps[1]?.approval?.missing).toBe('2 more approvals of groups editors. No policy.');

    await change(world.store, row.id, { steps: [{ ...waiting, phase: 'Succeeded', reason: null, finishedAt: 2 }] });
    expect((await missing())[1]).toBeNull();
  });

  test('are missed by the items of a step, and by a child run', async () => {
    const spec = { ...workflowSpec, steps: [{ name: 'ask', forEach: { items: [1, 2] }, approval: {} }] };
    const digest = `sha256:${'a5'.repeat(32)}`;
    const version = { digest, workflow: 'report', spec: JSON.parse(JSON.stringify(spec)), files: {} };
    await world.store.versions.put([version], new Map(), 1);
    const parent = { runId: id, step: 'fetch', item: -1, attempt: 1 };
    const row = await addRun(world.store, {
      name: 'asks-below',
      object: false,
      created: { digest, parent, root: id, rootName: 'asked', depth: 1 },
      run: { phase: 'Running' },
      steps: [
        { step: 'ask', phase: 'Running', items: 2 },
        { step: 'ask', item: 0, phase: 'Waiting', reason: 'WaitingForApproval' },
      ],
    });
    const path = '/api/v1/namespaces/dev/runs/asks-below';
    expect((await world.call<Run>('GET', path)).body.steps[0]?.approval?.missing).toBe('1 more approval');
    await world.call('POST', `${path}/steps/ask/approve`, {});
    expect((await world.call<Run>('GET', path)).body.steps[0]?.approval?.missing).toBe('0 more approvals');
    await change(world.store, row.id, { steps: [{ step: 'ask', item: 0, phase: 'Succeeded', finishedAt: 2 }] });
    expect((await world.call<Run>('GET', path)).body.steps[0]?.approval?.missing).toBeNull();
  });

  test('are refused where nothing waits for them', async () => {
    expect(await world.refused('POST', `${steps}/nothing/approve`, {})).toMatchObject({
      status: 404,
      detail: expect.stringContaining('fetch, approve'),
    });
    expect(await world.refused('POST', `${steps}/fetch/approve`, {})).toMatchObject({ status: 409 });
    expect(await world.refused('POST', `${steps}/approve/approve`, { as: '' })).toMatchObject({ status: 422 });
    await change(world.store, id, { steps: [{ step: 'approve', phase: 'Failed', finishedAt: 2 }] });
    expect(await world.refused('POST', `${steps}/approve/approve`, {})).toMatchObject({
      status: 409,
      detail: 'Step approve is Failed already.',
    });
  });
});

describe('promotions', () => {
  const path = '/api/v1/promotions';
  beforeAll(async () => {
    await addEnvironment(world.store, 'staging');
    await addEnvironment(world.store, 'prod', {
      after: ['staging'],
      gates: [{ approval: { groups: ['release-managers'] } }],
    });
    await world.store.promotions.own({ project: 'default', name: 'prod', uid: 'u' }, 'workflows-prod', 1);
  });

  test('are created by hand, once for a ref that is under way', async () => {
    const { status, body } = await world.call<Stored>('POST', path, { environment: 'staging', ref: 'v1.1.0' });
    expect(status).toBe(201);
    expect(body).toMatchObject({ kind: 'Promotion', spec: { environment: 'staging', ref: 'v1.1.0' } });
    expect(body.metadata.name).toMatch(/^staging-v1-1-0-[a-z0-9]{5}$/);
    expect((await world.call<PromotionDetail>('GET', `${path}/${body.metadata.name}`)).body).toMatchObject({
      phase: 'Pending',
      automatic: false,
      reason: null,
    });
    const { name, uid, namespace } = body.metadata;
    const told = { type: 'Ready', status: 'Unknown', reason: 'EnvironmentNotFound', message: 'apply it' } as const;
    await world.store.objects.writeStatus(
      'Promotion',
      { namespace, name, uid },
      { phase: 'Pending', conditions: [{ ...told, lastTransitionTime: '2026-01-01T00:00:00Z' }] },
    );
    expect((await world.call<Listed<PromotionSummary>>('GET', path)).body.items).toContainEqual(
      expect.objectContaining({ name, reason: 'EnvironmentNotFound', message: 'apply it' }),
    );
    expect(await world.refused('POST', path, { environment: 'staging', ref: 'v1.1.0' })).toMatchObject({ status: 409 });
    expect(await world.refused('POST', path, { environment: 'stagign', ref: 'v1.1.0' })).toMatchObject({
      status: 404,
      detail: 'There is no Environment stagign in namespace default. There are: prod, staging.',
    });
    expect(await world.refused('POST', path, { environment: 'staging', ref: 'a b' })).toMatchObject({ status: 422 });
    expect((await world.call<Listed<PromotionSummary>>('GET', `${path}?environment=staging`)).body.items).toHaveLength(
      1,
    );
  });

  test('are refused at once for a ref that is none', async () => {
    const metadata = { name: 'team', namespace: 'default' };
    const { objects } = world.store;
    const { object: made } = await objects.apply({
      kind: 'WorkflowSource',
      metadata,
      spec: { url: '/srv/team.git', branch: 'main' },
    });
    const source = { source: { name: 'team' }, track: { branch: 'main' } };
    await objects.apply({ kind: 'Environment', metadata: { ...metadata, name: 'team-dev' }, spec: source });
    const ask = (ref: string) => world.refused('POST', path, { environment: 'team-dev', ref });
    // Before the first fetch nobody knows.
    expect((await world.call('POST', path, { environment: 'team-dev', ref: 'v3.0.0' })).status).toBe(201);
    await objects.writeStatus('WorkflowSource', { ...metadata, uid: made.metadata.uid }, { commit: 'a'.repeat(40) });
    expect(await ask('v2.0.0')).toMatchObject({
      status: 404,
      detail: 'There is no tag v2.0.0 in source team. There are: v1.1.0, v1.0.0.',
    });
    expect(await ask('abc1234')).toMatchObject({
      status: 422,
      detail: expect.stringContaining('git rev-parse abc1234'),
    });
    for (const ref of ['v1.1.0', 'b'.repeat(40)])
      expect((await world.call('POST', path, { environment: 'team-dev', ref })).status).toBe(201);
    await objects.delete('Environment', 'default', 'team-dev');
    await objects.delete('WorkflowSource', 'default', 'team');
  });

  test('are approved in the groups that the gates ask for', async () => {
    await addPromotion(world.store, {
      name: 'prod-v1',
      row: { gatesAtStart: [{ approval: { groups: ['security'] } }] },
    });
    const { body } = await world.call<Stored>('POST', `${path}/prod-v1/approve`, { as: 'ann' });
    expect(body.spec['approvals']).toEqual([
      { user: 'ann', groups: ['release-managers', 'security'], decision: 'Approve', at: expect.any(String) },
    ]);
    // Another entry than before, so that one which is not believed is replaced by it.
    await vi.waitUntil(async () => {
      const again = await world.call<Stored>('POST', `${path}/prod-v1/approve`, { as: 'ann' });
      return JSON.stringify(again.body.spec['approvals']) !== JSON.stringify(body.spec['approvals']);
    });
    const rejected = await world.call<Stored>('POST', `${path}/prod-v1/reject`, { as: 'ann', comment: 'wait' });
    expect(rejected.body.spec['approvals']).toMatchObject([{ user: 'ann', decision: 'Reject', comment: 'wait' }]);
    const { body: detail } = await world.call<PromotionDetail>('GET', `${path}/prod-v1`);
    expect(detail).toMatchObject({
      phase: 'Gating',
      gates: [{ gate: 'approval', open: false }],
      approvals: [{ user: 'ann' }],
    });
  });

  test('that are over are decided no more, and may be asked for anew', async () => {
    await addPromotion(world.store, { name: 'prod-v0', row: { phase: 'Succeeded', ref: 'v0.9.0', finishedAt: 5 } });
    expect(await world.refused('POST', `${path}/prod-v0/approve`, {})).toMatchObject({ status: 409 });
    expect((await world.call('POST', path, { environment: 'prod', ref: 'v0.9.0' })).status).toBe(201);
  });

  test('lists are filtered', async () => {
    const names = async (query: string) =>
      (await world.call<Listed<PromotionSummary>>('GET', `${path}?${query}`)).body.items.map((p) => p.name);
    expect(await names('environment=prod&phase=Succeeded')).toEqual(['prod-v0']);
    expect(await names('environment=prod&phase=Gating')).toEqual(['prod-v1']);
    expect(await world.refused('GET', `${path}/none`)).toMatchObject({ status: 404 });
  });

  test('show in environments, versions and workflows', async () => {
    const { body: prod } = await world.call('GET', '/api/v1/environments/prod');
    expect(prod).toMatchObject({
      name: 'prod',
      active: [{ workflow: 'report', ref: 'v0.9.0' }],
      spec: { after: ['staging'] },
    });
    const { body: all } = await world.call<Listed<{ name: string }>>('GET', '/api/v1/environments');
    expect(all.items.map((e) => e.name)).toEqual(['prod', 'staging']);
    expect(await world.refused('GET', '/api/v1/environments/none')).toMatchObject({ status: 404 });

    await addWorkflow(world.store, 'workflows-prod');
    const { body: workflow } = await world.call('GET', '/api/v1/workflows/workflows-prod/report');
    expect(workflow).toMatchObject({ environment: 'prod', version: 'v0.9.0', spec: workflowSpec });
    const { body: workflows } = await world.call<Listed<{ namespace: string }>>(
      'GET',
      '/api/v1/workflows?namespace=workflows-prod',
    );
    expect(workflows.items).toMatchObject([
      { namespace: 'workflows-prod', name: 'report', steps: [{ name: 'fetch', kind: 'run' }, {}, {}] },
    ]);

    const { body: names } = await world.call<Listed<{ ref: string; digest: string }>>(
      'GET',
      '/api/v1/versions?workflow=report',
    );
    expect(names.items.map((v) => v.ref)).toEqual(expect.arrayContaining(['v0.9.0', 'v1.0.0']));
    const { body: version } = await world.call('GET', `/api/v1/versions/${names.items[0]?.digest}`);
    expect(version).toMatchObject({ workflow: 'report', spec: workflowSpec, files: {} });
    expect(await world.refused('GET', `/api/v1/versions/sha256:${'f'.repeat(64)}`)).toMatchObject({ status: 404 });
    expect(await world.refused('GET', '/api/v1/versions/v1.0.0')).toMatchObject({ status: 400 });
  });
});

test('workflows are paged by namespace and name', async () => {
  for (const [namespace, name] of [
    ['p-a', 'z'],
    ['p', 'a'],
    ['p', 'a-b'],
  ] as const)
    await addWorkflow(world.store, namespace, name);
  const seen: string[] = [];
  for (let after = ''; ; ) {
    const { body } = await world.call<Listed<{ namespace: string; name: string }>>(
      'GET',
      `/api/v1/workflows?limit=1${after}`,
    );
    seen.push(...body.items.map((w) => `${w.namespace}/${w.name}`));
    if (body.next === null) break;
    after = `&after=${encodeURIComponent(body.next)}`;
  }
  expect(seen.filter((name) => name.startsWith('p'))).toEqual([
    'p/a',
    'p/a-b',
    'p-a/z',
    'paged/a',
    'paged/b',
    'paged/c',
  ]);
  expect(new Set(seen).size).toBe(seen.length);
});

describe('sources', () => {
  beforeEach(async () => {
    await world.store.objects.apply({
      kind: 'WorkflowSource',
      metadata: { name: 'repo', namespace: 'default' },
      spec: { url: 'https://ann:geheim@git.example/team.git', branch: 'main' },
    });
  });

  test('are listed without credentials, with what they refuse', async () => {
    const source = await world.store.objects.get('WorkflowSource', 'default', 'repo');
    await world.store.objects.writeStatus(
      'WorkflowSource',
      { namespace: 'default', name: 'repo', uid: source?.metadata.uid ?? '' },
      {
        refused: [{ ref: 'v1.0.0', commit: 'c'.repeat(40), reason: 'TagMoved', message: 'the tag was moved' }],
      },
    );
    const { body } = await world.call<Listed<unknown>>('GET', '/api/v1/sources');
    expect(body.items).toMatchObject([
      { name: 'repo', url: 'https://git.example/team.git', refused: [{ reason: 'TagMoved' }] },
    ]);
  });

  test('are reconciled on request', async () => {
    const path = '/api/v1/namespaces/default/workflowsources/repo/reconcile';
    const { status, body } = await world.call<Stored>('POST', path, {});
    expect(status).toBe(202);
    expect(body.metadata.annotations['windlass.dev/requestedAt']).toMatch(/^\d{4}-.*Z$/);
    expect(await world.refused('POST', path.replace('repo', 'none'), {})).toMatchObject({ status: 404 });
  });
});

test('the server says what it is and whether it is ready', async () => {
  expect((await world.call('GET', '/api/v1/server')).body).toEqual({
    version: '0.0.0-test',
    project: 'default',
    user: 'local',
    database: 'pglite',
  });
  expect((await world.call('GET', '/healthz')).body).toEqual({ ok: true });
  expect((await world.call('GET', '/readyz')).body).toEqual({ ok: true, reasons: [] });
  expect((await world.call('GET', '/metrics')).status).toBe(200);
});

test('not being ready is an answer with reasons', async () => {
  const app = createApp(dependencies(world.store, { ready: async () => ({ ok: false, reasons: ['no leader'] }) }));
  const response = await app.request(`http://${host}/readyz`, { headers: { host } });
  expect([response.status, await response.json()]).toEqual([503, { ok: false, reasons: ['no leader'] }]);
});

test('events and logs as pages', async () => {
  const { body } = await world.call<Listed<{ id: number; kind: string }>>(
    'GET',
    '/api/v1/events?kind=Promotion&limit=1',
  );
  expect(body.items).toHaveLength(1);
  expect(body.next).toBe(String(body.items[0]?.id));
  const row = await addRun(world.store, {
    name: 'talks',
    run: { phase: 'Running' },
    attempts: [{ step: 'fetch', number: 1 }],
  });
  const bytes = new TextEncoder().encode('one\ntwo\n');
  await world.store.logs.append({ runId: row.id, step: 'fetch', item: -1, attempt: 1 }, 0, bytes);
  const path = '/api/v1/namespaces/dev/runs/talks/steps/fetch/logs';
  expect((await world.call('GET', path)).body).toEqual({
    step: 'fetch',
    item: -1,
    attempt: 1,
    lines: [
      { position: 4, text: 'one\n' },
      { position: 8, text: 'two\n' },
    ],
    next: 8,
    ended: false,
  });
  expect((await world.call('GET', `${path}?position=4`)).body).toMatchObject({ lines: [{ text: 'two\n' }], next: 8 });
  await change(world.store, row.id, { attempts: [{ step: 'fetch', number: 1, phase: 'Succeeded', finishedAt: 2 }] });
  expect((await world.call('GET', `${path}?position=8`)).body).toMatchObject({ lines: [], next: 8, ended: true });
  expect(await world.refused('GET', `${path}?attempt=2`)).toMatchObject({ status: 404 });
  expect(await world.refused('GET', path.replace('fetch', 'nothing'))).toMatchObject({ status: 404 });
  expect(await world.refused('GET', '/api/v1/namespaces/dev/runs/none/logs')).toMatchObject({ status: 404 });
});

test('every operation of the document has answered well above', async () => {
  const { paths } = await openapiDocument();
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((m) => `${m.toUpperCase()} ${path}`),
  );
  // streams.test.ts, artifacts.test.ts and run-again.test.ts
  const elsewhere = /\/(logs|items|retry|replay\/plan|replay|cache|artifacts.*|dead-letters.*|circuits)$/;
  expect(operations.filter((o) => !world.exercised.has(o) && !elsewhere.test(o))).toEqual([]);
});
