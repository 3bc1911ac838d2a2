import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiProblem, type SourceResource } from '../../api/client.ts';
import { type ControllerWorld, quickstartFiles, quickstartRepository, startWorld } from '../fixtures/controller.ts';
import { startPostgres } from '../fixtures/postgres.ts';
import type { ScratchRepository } from '../fixtures/repository.ts';

const workflow = 'nightly-report';
const workflowFile = `workflows/${workflow}.yaml`;

/** From a merge to prod; what follows builds on it. */
function mainJob(get: () => { world: ControllerWorld; repository: ScratchRepository }): void {
  test('a merge is active in dev by itself', async () => {
    const { world, repository } = get();
    await repository.branch('busier');
    await repository.commit({ 'workflows/report.md.j2': '{{ rows }} rows of {{ region }}\n' }, 'Say less', {
      push: false,
    });
    await repository.branch('main');
    await repository.git(['merge', '-q', '--no-ff', '-m', 'Merge busier', 'busier']);
    await repository.push();
    const merge = await repository.git(['rev-parse', 'HEAD']);
    await world.active('dev', workflow, merge);
    const { items } = await world.client.events({ kind: 'Promotion' });
    expect(items.at(-1)).toMatchObject({
      reason: 'Promoted',
      message: expect.stringContaining(`${merge.slice(0, 12)} into dev`),
    });
  });

  test('a prerelease tag waits for a good run in dev, then it is active in staging', async () => {
    const { world, repository } = get();
    const { client } = world;
    const commit = await repository.tag('v1.1.0-rc.1', { annotated: true });
    const held = await world.promotion('staging', 'v1.1.0-rc.1', ({ phase }) => phase === 'Gating');
    expect(held).toMatchObject({
      reason: 'WaitingForUpstream',
      message: 'upstream: dev: nightly-report has 0 of 1 finished runs, 1 missing.',
      commit,
    });
    expect((await client.environment('staging')).active).toEqual([]);
    const run = await world.run('dev', workflow);
    expect(run).toMatchObject({ phase: 'Succeeded', environment: 'dev', outputs: { lane: 'bulk' } });
    expect(run.outputs?.['report']).toBe('60 rows of eu');
    await world.active('staging', workflow, 'v1.1.0-rc.1');
    const [version] = (await client.environment('staging')).active;
    expect(version).toMatchObject({ commit, digest: run.digest });
  });

  test('a release tag waits for staging and for approval, then it is active in prod', async () => {
    const { world, repository } = get();
    const { client } = world;
    await repository.tag('v1.1.0');
    await world.promotion(
      'prod',
      'v1.1.0',
      ({ gates }) => gates.length > 0 && gates.slice(-2).every((gate) => !gate.open),
    );
    expect(await world.run('staging', workflow, { region: 'us', limit: 3 })).toMatchObject({
      phase: 'Succeeded',
      version: 'v1.1.0-rc.1',
      outputs: { lane: 'normal' },
    });
    const held = await world.promotion('prod', 'v1.1.0', ({ reason }) => reason === 'WaitingForApproval');
    expect(held.message).toContain('0 of 1 approvals from release-managers');
    expect((await client.environment('prod')).active).toEqual([]);
    await client.approvePromotion(held.name, { comment: 'ship it', as: 'grace' });
    await world.active('prod', workflow, 'v1.1.0');
    const done = await client.promotion(held.name);
    expect(done).toMatchObject({ phase: 'Succeeded', approvals: [{ user: 'grace', comment: 'ship it' }] });
    expect(done.gates).toContainEqual(expect.objectContaining({ gate: 'approval', open: true }));
    expect(await world.run('prod', workflow)).toMatchObject({ phase: 'Succeeded', version: 'v1.1.0' });
  });

  test('a run whose first attempt fails recovers by retry, and both are told', async () => {
    const { world } = get();
    const run = await world.run('prod', workflow, { flaky: true });
    expect(run.phase).toBe('Succeeded');
    expect(run.steps[0]?.attempts).toMatchObject([
      { number: 1, phase: 'Failed', error: { message: expect.stringContaining('exit code 7') } },
      { number: 2, phase: 'Succeeded' },
    ]);
    const { lines } = await world.client.stepLogs(run, 'fetch', { attempt: 1 });
    expect(lines.map(({ text }) => text).join('')).toBe('the orders service did not answer\n');
  });
}

async function start(
  databaseUrl: string | null = null,
): Promise<{ world: ControllerWorld; repository: ScratchRepository }> {
  const world = await startWorld({ databaseUrl });
  const repository = await quickstartRepository(join(world.directory, 'team'));
  await world.serve(repository);
  await world.active('dev', workflow, await repository.git(['rev-parse', 'HEAD']));
  return { world, repository };
}

describe('the main job on the embedded database', () => {
  let world: ControllerWorld;
  let repository: ScratchRepository;
  beforeAll(async () => {
    ({ world, repository } = await start());
  });
  afterAll(() => world.stop());

  const source = (isSo: (seen: SourceResource) => boolean) =>
    world.until(
      'the source',
      async () => (await world.client.sources()).items[0],
      (seen) => seen !== undefined && isSo(seen),
    );
  const condition = ({ conditions }: SourceResource) => conditions.find(({ type }) => type === 'Ready');
  const everyActive = async () =>
    (await world.client.environments()).items.map(({ name, active }) => ({ name, active }));

  mainJob(() => ({ world, repository }));

  test('a version with a mistake is refused with its place, and dev keeps the last good one', async () => {
    const before = await everyActive();
    const good = (await quickstartFiles())[workflowFile] ?? '';
    const bad = await repository.commit({ [workflowFile]: good.replace('timeout: 1m', 'timout: 1m') }, 'A mistake');
    const refused = await world.promotion('dev', bad, ({ phase }) => phase === 'Rejected');
    expect(refused).toMatchObject({
      reason: 'InvalidRef',
      message: expect.stringContaining('nothing of it is promoted'),
    });
    expect(refused.diagnostics).toMatchObject([
      { file: workflowFile, line: 30, column: 7, rule: 'schema-unknown-field', severity: 'error' },
    ]);
    expect(await everyActive()).toEqual(before);
    expect(await world.run('dev', workflow)).toMatchObject({ phase: 'Succeeded' });
    await repository.commit({ [workflowFile]: good }, 'Corrected');
  });

  test('a moved tag is refused, and prod keeps the commit it had', async () => {
    const before = await everyActive();
    const tip = await repository.moveTag('v1.1.0');
    const seen = await source(({ refused }) => refused.length > 0);
    expect(seen?.refused).toEqual([
      { ref: 'v1.1.0', commit: tip, reason: 'TagMoved', message: expect.stringContaining('Push a new tag instead') },
    ]);
    const { items } = await world.until(
      'the event TagMoved',
      () => world.client.events({ kind: 'Promotion' }),
      (events) => events.items.some(({ reason }) => reason === 'TagMoved'),
    );
    expect(items.filter(({ reason }) => reason === 'TagMoved').map(({ name }) => name)).toContainEqual(
      expect.stringMatching(/^prod-v1\.1\.0-/),
    );
    expect(await everyActive()).toEqual(before);
  });

  test('a broken environment file changes no environment, and says where it is broken', async () => {
    const before = (await world.client.environments()).items.map(({ spec }) => spec);
    const file = 'environments/staging.yaml';
    const good = (await quickstartFiles())[file] ?? '';
    await repository.commit(
      { [file]: good.replace('after: [dev]', 'after: dev'), 'environments/dev.yaml': null },
      'Broken',
    );
    const seen = await source((now) => condition(now)?.reason === 'InvalidEnvironments');
    expect(condition(seen as SourceResource)?.message).toContain(`${file}:7:`);
    expect((await world.client.environments()).items.map(({ spec }) => spec)).toEqual(before);
    await repository.commit(
      { [file]: good, 'environments/dev.yaml': (await quickstartFiles())['environments/dev.yaml'] ?? '' },
      'Mended',
    );
    await source((now) => condition(now)?.status === 'True');
  });

  test('in a namespace that an environment owns, a workflow applied by hand is not run', async () => {
    const spec = { steps: [{ name: 'greet', run: 'echo hello' }] };
    await world.client.apply({ kind: 'Workflow', metadata: { name: 'by-hand', namespace: 'dev' }, spec });
    const { conditions } = await world.until(
      'the workflow is judged',
      () => world.client.workflow({ namespace: 'dev', name: 'by-hand' }),
      (seen) => seen.conditions.some(({ type }) => type === 'Stalled'),
    );
    expect(conditions).toContainEqual(
      expect.objectContaining({ type: 'Ready', status: 'False', reason: 'NotPromoted' }),
    );
    await world.client.delete('Workflow', { namespace: 'dev', name: 'by-hand' });
  });

  test('elsewhere a workflow is run as it was applied', async () => {
    const spec = { steps: [{ name: 'greet', run: 'echo hello' }] };
    await world.client.apply({ kind: 'Workflow', metadata: { name: 'greeting', namespace: 'free' }, spec });
    const run = await world.run('free', 'greeting');
    expect(run).toMatchObject({ phase: 'Succeeded', environment: null, version: null });
    const { lines } = await world.client.stepLogs(run, 'greet');
    expect(lines).toMatchObject([{ text: 'hello\n' }]);
  });

  test('an input of the wrong type is refused at once', async () => {
    await expect(world.run('dev', workflow, { limit: 'many' })).rejects.toMatchObject({
      status: 422,
      message: expect.stringContaining('input "limit": must be integer'),
    });
  });

  test('a run that is applied with an input of the wrong type ends before anything begins', async () => {
    const key = { namespace: 'dev', name: 'many' };
    const spec = { workflow, inputs: { limit: 'many' } };
    await world.client.apply({ kind: 'WorkflowRun', metadata: key, spec });
    const run = await world.ended(key);
    expect(run).toMatchObject({ phase: 'Failed', error: { type: 'input', message: expect.stringContaining('limit') } });
    expect(run.steps.every(({ phase, attempts }) => phase === 'Pending' && attempts.length === 0)).toBe(true);
    const events = await world.controller.store.events.list({ name: run.name }, { limit: 10 });
    expect(events).toMatchObject([
      { kind: 'WorkflowRun', type: 'Warning', reason: 'RunFailed', message: expect.stringContaining('limit') },
    ]);
  });

  /** A run whose only main step says something and then waits to be stopped. */
  async function longRun(): Promise<{ namespace: string; name: string }> {
    const spec = {
      steps: [{ name: 'long', run: 'echo begun; exec sleep 600' }],
      finally: [{ name: 'last', run: 'echo "$OUTCOME"', env: { OUTCOME: '${{ run.outcome }}' } }],
    };
    await world.client.apply({ kind: 'Workflow', metadata: { name: 'long', namespace: 'free' }, spec });
    const { metadata } = await world.client.createRun('free', { workflow: 'long' });
    for await (const event of world.client.followLogs(metadata)) {
      expect(event).toMatchObject({ event: 'log', lines: [{ text: 'begun\n' }] });
      break;
    }
    return { namespace: 'free', name: metadata.name };
  }

  test('a cancelled run stops what runs, still ends with `finally`, and says why', async () => {
    const key = await longRun();
    await world.client.cancelRun(key, { reason: 'not today' });
    const run = await world.ended(key);
    expect(run).toMatchObject({ phase: 'Cancelled', reason: 'not today' });
    expect(run.steps.map(({ name, phase }) => [name, phase])).toEqual([
      ['long', 'Cancelled'],
      ['last', 'Succeeded'],
    ]);
    expect((await world.client.stepLogs(key, 'last')).lines).toMatchObject([{ text: 'Cancelled\n' }]);
  });

  test('deleting a run cancels it, and its history stays', async () => {
    const key = await longRun();
    await world.client.delete('WorkflowRun', key);
    const run = await world.ended(key);
    expect(run).toMatchObject({ phase: 'Cancelled', deleted: true });
    // The shell may add that it was terminated.
    expect((await world.client.stepLogs(key, 'long')).lines[0]).toMatchObject({ text: 'begun\n' });
  });

  test('a repository that vanishes changes nothing but a condition, and one that comes back is followed', async () => {
    const before = await everyActive();
    await rename(repository.url, `${repository.url}.away`);
    await world.client.reconcileSource({ namespace: 'default', name: 'repo' });
    const seen = await source((now) => condition(now)?.status === 'False');
    expect(condition(seen as SourceResource)?.message).toContain(repository.url);
    expect(await everyActive()).toEqual(before);
    expect(await world.run('prod', workflow)).toMatchObject({ phase: 'Succeeded' });
    await rename(`${repository.url}.away`, repository.url);
    await world.client.reconcileSource({ namespace: 'default', name: 'repo' });
    await source((now) => condition(now)?.status === 'True');
    const next = await repository.commit({ 'workflows/fetch.sh': 'echo one\n' }, 'Back again');
    await world.active('dev', workflow, next);
  });

  test('an environment that is taken out of the branch lets go of its namespace; its history stays', async () => {
    const runs = (await world.client.runs({ environment: 'prod' })).items.length;
    await repository.commit({ 'environments/prod.yaml': null }, 'No prod any more');
    await world.until(
      'prod is gone',
      async () => (await world.client.workflows({ namespace: 'prod' })).items.length,
      (count) => count === 0,
    );
    await expect(world.client.environment('prod')).rejects.toThrow(ApiProblem);
    expect((await world.client.runs({ environment: 'prod' })).items).toHaveLength(runs);
  });

  test('a workflow that is taken out of the branch is retired', async () => {
    const spec = {
      kind: 'Workflow',
      apiVersion: 'windlass.dev/v1alpha1',
      metadata: { name: 'stays' },
      spec: { steps: [{ name: 'one', run: 'echo 1' }] },
    };
    const commit = await repository.commit(
      { [workflowFile]: null, 'workflows/stays.yaml': JSON.stringify(spec) },
      'Another report',
    );
    await world.active('dev', 'stays', commit);
    const promotion = await world.promotion('dev', commit, ({ phase }) => phase === 'Succeeded');
    expect(promotion.changes).toContainEqual(expect.objectContaining({ workflow, action: 'Retire' }));
    await world.until(
      'it is gone from dev',
      async () => (await world.client.workflows({ namespace: 'dev' })).items.map(({ name }) => name),
      (names) => !names.includes(workflow),
    );
    await expect(world.client.createRun('dev', { workflow })).rejects.toMatchObject({ status: 404 });
  });
});

const postgres = await startPostgres();
describe.skipIf(postgres === null)('the main job on a PostgreSQL server (skipped where none is installed)', () => {
  let world: ControllerWorld;
  let repository: ScratchRepository;
  beforeAll(async () => {
    ({ world, repository } = await start((await postgres?.database('main_job')) ?? null));
  });
  afterAll(async () => {
    await world.stop();
    await postgres?.stop();
  });
  mainJob(() => ({ world, repository }));
});
