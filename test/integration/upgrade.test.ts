import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildPlan } from '../../controller/core/plan/build.ts';
import { decideRun } from '../../controller/core/run/decide.ts';
import { hydrate } from '../../controller/core/run/hydrate.ts';
import { isFinished, type RunAction, type RunObservation, type RunRow } from '../../controller/core/run/types.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import { openStore, type StoreOptions } from '../../controller/store/open.ts';
import type { Store } from '../../controller/store/types.ts';
import { type FirstRows, makeFirstDatabase } from '../fixtures/first-schema.ts';
import { startPostgres } from '../fixtures/postgres.ts';

const home = 'home';
const digest = `sha256:${'1'.repeat(64)}`;
const begun = Date.UTC(2026, 9, 1, 8);

/** A step in every state that the first release could leave behind, and one that needs them all. */
const spec = {
  outputs: { rows: '${{ steps.done.outputs.rows }}' },
  steps: [
    { name: 'done', run: 'true', outputs: { rows: { type: 'integer' } } },
    { name: 'live', run: 'true', retry: { limit: 1 } },
    { name: 'stops', run: 'true', criticality: 'low' },
    { name: 'pauses', run: 'true', retry: { limit: 1 } },
    { name: 'waits', wait: { for: '10m' } },
    { name: 'asks', approval: { groups: ['editors'], count: 1 } },
    { name: 'skipped', if: 'false', run: 'true' },
    { name: 'last', needs: ['done', 'live', 'stops', 'pauses', 'waits', 'asks', 'skipped'], run: 'true' },
  ],
  finally: [{ name: 'notify', run: 'true' }],
};

const failed = { type: 'exit', message: 'exit code 3', retryable: true, exitCode: 3 };

function run(id: string, more: Record<string, unknown> = {}): FirstRows[number] {
  return [
    'runs',
    {
      id,
      home,
      owner: 'a replica that is gone',
      fence: 7,
      namespace: 'dev',
      name: `name-${id}`,
      workflow: 'report',
      digest,
      version: 'v1.0.0',
      environment: 'dev',
      values: { bucket: 'b' },
      inputs: { region: 'eu' },
      phase: 'Running',
      desired: 'Running',
      date: '2026-10-01',
      created_at: begun,
      started_at: begun + 1,
      stood_ms: 0,
      revision: 5,
      ...more,
    },
  ];
}

function step(name: string, phase: string, more: Record<string, unknown> = {}): FirstRows[number] {
  const row = { run_id: 'running', step: name, phase, started_at: begun + 2, attempts: 1, infrastructure_failures: 0 };
  return ['steps', { ...row, ...more }];
}

function attempt(name: string, number: number, phase: string, more: Record<string, unknown> = {}): FirstRows[number] {
  return ['attempts', { run_id: 'running', step: name, number, phase, started_at: begun + 2, ...more }];
}

const ended = { finished_at: begun + 3 };
const rows: FirstRows = [
  ['replicas', { id: 'a replica that is gone', home, expires_at: '2026-10-01T09:00:00Z' }],
  ['versions', { digest, workflow: 'report', spec, files: {}, created_at: begun }],
  run('running'),
  step('done', 'Succeeded', { ...ended, outputs: { rows: 42 } }),
  attempt('done', 1, 'Succeeded', ended),
  step('live', 'Running', { attempts: 2 }),
  attempt('live', 1, 'Failed', { ...ended, error: failed }),
  attempt('live', 2, 'Starting'),
  step('stops', 'Running'),
  attempt('stops', 1, 'Stopping', { stop_reason: 'timeout' }),
  step('pauses', 'Retrying', { reason: 'Backoff', until: begun + 60_000, error: failed }),
  attempt('pauses', 1, 'Failed', { ...ended, error: failed }),
  step('waits', 'Waiting', { reason: 'WaitingForTime', attempts: 0, until: begun + 600_000 }),
  step('asks', 'Waiting', { reason: 'WaitingForApproval', attempts: 0 }),
  step('skipped', 'Skipped', { ...ended, reason: 'ConditionFalse', started_at: null, attempts: 0 }),
  run('over', { phase: 'Failed', outcome: 'Failed', finished_at: begun + 9, error: failed, created_at: begun - 5 }),
  ['steps', { ...step('live', 'Failed')[1], run_id: 'over', finished_at: begun + 9, error: failed }],
  ['attempts', { ...attempt('live', 1, 'Failed')[1], run_id: 'over', finished_at: begun + 9, error: failed }],
  ['log_chunks', { run_id: 'over', step: 'live', attempt: 1, position: 0, bytes: '\\x6f68206e6f0a' }],
  ['environments', { home, project: 'default', name: 'dev', uid: 'u', namespace: 'dev', revision: 3 }],
  [
    'promotions',
    {
      id: 'p1',
      home,
      project: 'default',
      name: 'dev-1',
      environment: 'dev',
      ref: 'v1.0.0',
      commit: 'c1',
      phase: 'Gating',
      changes: [{ workflow: 'report', action: 'Promote', to: digest }],
      gates: [],
      diagnostics: [],
      automatic: true,
      created_at: begun,
    },
  ],
];

/** Carries a run to its end as a controller would, every attempt ending well; returns what it was told to do. */
async function carry(store: Store, id: string, fence: number): Promise<RunAction[]> {
  const told: RunAction[] = [];
  const snapshot = await store.versions.get(digest);
  const [recorded] = await store.runs.load([id]);
  if (!snapshot || !recorded) throw new Error('what was recorded is gone');
  const plan = buildPlan(snapshot);
  let state = hydrate(plan, recorded);
  let now = begun + 10_000;
  const approval = {
    step: 'asks',
    user: 'ada',
    groups: ['editors'],
    decision: 'Approve' as const,
    comment: null,
    execution: 1,
  };
  let seen: RunObservation[] = [
    { type: 'SpecObserved', desired: 'Running', reason: null, force: false, approvals: [approval] },
    { type: 'CircuitsObserved', open: [] },
  ];
  for (let left = 100; left > 0; left--) {
    const decision = decideRun(plan, state, seen, now);
    if (decision.transition) await store.runs.commit(decision.transition, fence);
    state = decision.state;
    if (isFinished(state.run.phase)) return told;
    told.push(...decision.actions);
    seen = decision.actions.flatMap((action) => {
      if (action.type !== 'Start' && action.type !== 'Stop') return [];
      const { step: name, item, attempt: number } = action.key;
      const result =
        action.type === 'Stop'
          ? { outcome: 'Stopped' as const }
          : { outcome: 'Succeeded' as const, outputs: { text: '' } };
      return [{ type: 'AttemptEnded' as const, step: name, item, attempt: number, at: now, result }];
    });
    if (seen.length === 0) now = Math.max(now, decision.wakeAt ?? now);
  }
  throw new Error(`it does not end: ${JSON.stringify(state.run)}`);
}

function describeUpgrade(driver: string, options: () => Promise<StoreOptions>): void {
  describe(`a database of the first release: ${driver}`, () => {
    let store: Store;
    beforeAll(async () => {
      const where = await options();
      await makeFirstDatabase(where, rows);
      store = await openStore(where, { clock: systemClock, home });
    }, 60_000);
    afterAll(async () => {
      await store.close();
    });

    test('what had ended is there as it was, and can be made to go on', async () => {
      const over = (await store.runs.get('over')) as RunRow;
      expect(over).toMatchObject({
        phase: 'Failed',
        error: failed,
        execution: 1,
        priority: 0,
        queuedAt: begun - 5,
        parent: null,
        root: 'over',
        rootName: 'name-over',
        depth: 0,
        replayOf: null,
        forced: false,
      });
      const { items } = await store.runs.list({ namespace: 'dev' }, { limit: 10 });
      expect(items.map(({ id }) => id)).toEqual(['running', 'over']);
      const unit = { item: -1, label: null, items: null, via: 'main', bodyAttempts: 1, iteration: 0, artifacts: {} };
      expect(await store.runs.steps('over')).toEqual([
        expect.objectContaining({ ...unit, cache: null, error: failed }),
      ]);
      expect(await store.runs.attempts('over')).toMatchObject([{ step: 'live', item: -1, via: 'main', number: 1 }]);
      const key = { runId: 'over', step: 'live', item: -1, attempt: 1 };
      expect(await store.logs.read(key, 0, 100, null)).toEqual([{ position: 6, text: 'oh no\n' }]);
      expect(await store.promotions.get('p1')).toMatchObject({ phase: 'Gating', ref: 'v1.0.0' });
      expect((await store.promotions.upstream('default', 'dev')).runs).toEqual([
        { workflow: 'report', digest, finished: 1, succeeded: 0, degraded: 0 },
      ]);
      const again = { ...over, phase: 'Queued' as const, outcome: null, error: null, finishedAt: null, execution: 2 };
      expect(await store.runs.reopen({ run: again, steps: [], attempts: [], events: [] })).toBe(true);
    });

    test('what ran goes on where it was, to its end', async () => {
      const claim = (await store.runs.claim(200)).find(({ id }) => id === 'running');
      expect(claim?.fence).toBe(8);
      expect(
        (await store.runs.openAttempts()).map((key) => `${key.step} ${key.item} ${key.attempt}`).toSorted(),
      ).toEqual(['live -1 2', 'stops -1 1']);
      const told = await carry(store, 'running', claim?.fence ?? 0);
      const starts = told.flatMap((action) =>
        action.type === 'Start' || action.type === 'Stop'
          ? [`${action.type} ${action.key.step} ${action.key.attempt}`]
          : [],
      );
      // The attempts that ran are told again, under the numbers they had; the one that failed has a retry left.
      expect(starts.toSorted()).toEqual([
        'Start last 1',
        'Start live 2',
        'Start notify 1',
        'Start pauses 2',
        'Stop stops 1',
      ]);
      const run = await store.runs.get('running');
      expect((await store.runs.step('running', 'stops', -1))?.error).toMatchObject({ type: 'timeout' });
      expect(run).toMatchObject({ phase: 'Degraded', outputs: { rows: 42 }, error: null });
      const phases = (await store.runs.steps('running')).map(({ step: name, phase }) => [name, phase]);
      expect(Object.fromEntries(phases)).toEqual({
        done: 'Succeeded',
        live: 'Succeeded',
        stops: 'Failed',
        pauses: 'Succeeded',
        waits: 'Succeeded',
        asks: 'Succeeded',
        skipped: 'Skipped',
        last: 'Succeeded',
        notify: 'Succeeded',
      });
    });
  });
}

const server = await startPostgres();
const directory = await mkdtemp(join(tmpdir(), 'windlass-upgrade-'));

afterAll(async () => {
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
});

describeUpgrade('PGlite', async () => ({ dataDir: join(directory, 'data') }));
const skipped = server ? '' : ' (skipped: no PostgreSQL server binaries on this machine)';
describe.runIf(server)(`with a server${skipped}`, () => {
  describeUpgrade('PostgreSQL', async () => ({ databaseUrl: (await server?.database('first')) ?? '' }));
});
