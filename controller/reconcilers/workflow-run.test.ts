import { createAppliedVersions } from './applied-versions.ts';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino, { type Logger } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { countedRuns } from '../../test/fixtures/counted-runs.ts';
import { endingLease } from '../../test/fixtures/lease.ts';
import type { WorkflowRun, WorkflowRunSpec, WorkflowRunStatus } from '../../crds/workflow-run.ts';
import type { WorkflowSpec } from '../../crds/workflow.ts';
import type { AttemptResult, RunObservation, RunRow } from '../core/run/types.ts';
import { systemClock } from '../runtime/clock.ts';
import { createMailbox } from '../runtime/mailbox.ts';
import type { Clock } from '../seams/clock.ts';
import { type DeletionGuard, runFinalizer } from '../seams/deletion.ts';
import { AttemptHeld, type Executor, type ExecutorSink, type StartAction } from '../seams/executor.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { createChildRuns, withChildRuns } from './child-runs.ts';
import { createCircuits } from './circuits.ts';
import { createMetrics } from './metrics.ts';
import { createPlanCache, type PlanCache } from './plans.ts';
import { createRunCache } from './run-cache.ts';
import { createRunDeletion } from './run-deletion.ts';
import { createRunLocks } from './run-locks.ts';
import { createRunStatusWriter } from './statuses.ts';
import { createRunReconciler, type RunReconciler } from './workflow-run.ts';
import { laptopGovernance } from '../home-laptop.ts';

const log = pino({ level: 'silent' });
const namespace = 'here';
let directory: string;
let store: Store;
const running: { stop(): Promise<void> }[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-runs-'));
  store = await openStore({ dataDir: directory }, { clock: systemClock, home: 'test' });
});
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

interface Changes {
  store?: Partial<Store>;
  plans?: PlanCache;
  clock?: Clock;
  log?: Logger;
  /** How an attempt ends; null: it runs on. */
  end?: (action: StartAction) => AttemptResult | null;
  /** Before an attempt begins. */
  begin?: () => Promise<void>;
  guard?: DeletionGuard;
  othersWrite?: boolean;
  onFinished?: (run: RunRow) => void;
  slots?: number;
}

interface Runs {
  reconciler: RunReconciler;
  stop(): Promise<void>;
}

/** The reconciler on a real store; attempts end as told. */
async function startRuns({ clock = systemClock, ...changes }: Changes = {}): Promise<Runs> {
  const changed: Store = { ...store, ...changes.store };
  const mailbox = createMailbox<RunObservation>();
  const statuses = createRunStatusWriter({ store: changed, clock, log });
  const ended: ExecutorSink['ended'] = ({ runId, step, item, attempt }, result, at) =>
    mailbox.post(runId, { type: 'AttemptEnded', step, item, attempt, at, result });
  const scripts: Executor = {
    kinds: ['run'],
    async start(action) {
      await changes.begin?.();
      const result = changes.end?.(action) ?? null;
      if (result) ended(action.key, result, clock.now());
    },
    async stop({ key }) {
      ended(key, { outcome: 'Stopped' }, clock.now());
    },
    async forget() {},
    async sweep() {},
    async close() {},
  };
  const plans = changes.plans ?? createPlanCache(store.versions);
  const metrics = createMetrics(new Registry());
  const applied = createAppliedVersions(store.versions, clock);
  const children = createChildRuns({
    applied,
    store: changed,
    plans,
    sink: { ended },
    clock,
    log,
    onRecorded: () => reconciler.claimSoon(),
  });
  const { post } = mailbox;
  const slots = changes.slots ?? null;
  const supersede = (id: string, reason: string) => reconciler.supersede(id, reason);
  const locks = createRunLocks({ store: changed, slots, post, supersede, log });
  const cache = createRunCache({ store: changed, post, clock, log, metrics });
  const reconciler = createRunReconciler({
    applied,
    store: changed,
    executor: withChildRuns(scripts, children),
    children,
    locks,
    cache,
    circuits: createCircuits(clock, () => {}),
    othersWrite: changes.othersWrite ?? false,
    limitedSlots: slots !== null,
    deletion: createRunDeletion(changes.guard ?? null, clock),
    governance: laptopGovernance,
    plans,
    statuses,
    mailbox,
    clock,
    log: changes.log ?? log,
    metrics,
    drains: () => true,
    onFinished: changes.onFinished ?? (() => {}),
  });
  children.open();
  locks.start();
  cache.start();
  await reconciler.start();
  let stopping: Promise<void> | null = null;
  const stop = async () => {
    await reconciler.stop();
    await Promise.all([locks.stop(), cache.stop(), children.close()]);
    await statuses.close();
  };
  const one = { reconciler, stop: () => (stopping ??= stop()) };
  running.push(one);
  return one;
}

async function apply(name: string, spec: WorkflowSpec): Promise<void> {
  await store.objects.apply({ kind: 'Workflow', metadata: { name, namespace }, spec });
}

async function create(name: string, spec: WorkflowRunSpec): Promise<WorkflowRun> {
  return await store.objects.create({ kind: 'WorkflowRun', metadata: { name, namespace }, spec });
}

/** Resolves once the run's object is so. */
async function until(name: string, isSo: (run: WorkflowRun) => boolean): Promise<WorkflowRun> {
  const found = Promise.withResolvers<WorkflowRun>();
  let last: WorkflowRun | null = null;
  const stop = await store.objects.watch('WorkflowRun', ({ object }) => {
    if (object.metadata.name !== name) return;
    last = object;
    if (isSo(object)) found.resolve(object);
  });
  const timer = setTimeout(() => found.reject(new Error(`seen last: ${JSON.stringify(last?.status)}`)), 10_000);
  try {
    return await found.promise;
  } finally {
    clearTimeout(timer);
    stop();
  }
}

function condition(run: WorkflowRun, type: string) {
  return run.status?.conditions?.find((one) => one.type === type);
}
const isFinished = (run: WorkflowRun) => condition(run, 'Finished')?.status === 'True';

const passes: WorkflowSpec = { steps: [{ name: 'check', assert: [{ that: 'true', message: 'never' }] }] };
const asks: WorkflowSpec = { steps: [{ name: 'ask', approval: {} }] };

test('a run whose last commit seemed to fail gets its last status all the same', async () => {
  await apply('passes', passes);
  let failures = 0;
  await startRuns({
    store: {
      runs: {
        ...store.runs,
        async commit(transition, fence) {
          await store.runs.commit(transition, fence);
          if (failures++ === 0) throw new Error('the connection broke after the commit');
        },
      },
    },
  });
  await create('one', { workflow: 'passes' });
  const run = await until('one', isFinished);
  expect(run.status).toMatchObject({ phase: 'Succeeded', progress: '1/1' });
});

test('what a killed controller recorded and did not show yet is shown by the next', async () => {
  await apply('asks', asks);
  const recorded = Promise.withResolvers<void>();
  const first = await startRuns({
    store: {
      objects: { ...store.objects, writeStatus: () => Promise.resolve() },
      runs: {
        ...store.runs,
        async commit(transition, fence) {
          await store.runs.commit(transition, fence);
          recorded.resolve();
        },
      },
    },
  });
  await create('one', { workflow: 'asks' });
  await recorded.promise;
  await first.stop();
  await startRuns();
  const run = await until('one', ({ status }) => status !== undefined);
  expect(run.status?.phase).toBe('Running');
  expect(condition(run, 'WaitingForApproval')?.status).toBe('True');
});

test('a change of the spec that changes nothing else is seen in observedGeneration', async () => {
  await apply('asks', asks);
  await startRuns();
  await create('one', { workflow: 'asks' });
  await until('one', (seen) => condition(seen, 'WaitingForApproval') !== undefined);
  await store.objects.update('WorkflowRun', namespace, 'one', ({ spec }) => ({
    spec: { ...spec, approvals: [{ step: 'other', user: 'ada', decision: 'Approve' }] },
  }));
  const run = await until('one', ({ status }) => status?.observedGeneration === 2);
  expect(run.metadata.generation).toBe(2);
});

test('a run that cannot be decided is parked once, and then stands still', async () => {
  await apply('passes', passes);
  const cache = createPlanCache(store.versions);
  const parked = Promise.withResolvers<void>();
  const messages = new Set<unknown>();
  const { reconciler, stop } = await startRuns({
    plans: {
      async get(digest) {
        const plan = await cache.get(digest);
        const steps = plan.steps.map((step) =>
          Object.defineProperty({ ...step }, 'main', {
            get: () => {
              throw new Error('a defect');
            },
          }),
        );
        return { ...plan, steps };
      },
    },
    store: {
      objects: {
        ...store.objects,
        async writeStatus(kind, key, status) {
          await store.objects.writeStatus(kind, key, status);
          messages.add((status as WorkflowRunStatus).conditions?.find(({ reason }) => reason === 'Parked')?.message);
          parked.resolve();
        },
      },
    },
  });
  const { metadata } = await create('one', { workflow: 'passes' });
  await parked.promise;
  for (let i = 0; i < 5; i++) {
    reconciler.loop.enqueue(metadata.uid);
    await reconciler.loop.idle();
  }
  // Whatever waited to be written is written now.
  await stop();
  expect(messages).toEqual(new Set(['deciding failed 3 times: Error: a defect']));
});

test('a run that is claimed before its object was seen is not taken for deleted', async () => {
  await apply('asks', asks);
  let release = () => {};
  const objects: Store['objects'] = {
    ...store.objects,
    watch: (kind, handler) =>
      store.objects.watch(kind, (event) => {
        if (kind !== 'WorkflowRun') return handler(event);
        const later = release;
        release = () => {
          later();
          handler(event);
        };
      }),
  };
  const unseeing = await startRuns({ store: { objects } });
  const other = await startRuns({ store: { runs: { ...store.runs, claim: async () => [] } } });
  await create('one', { workflow: 'asks' });
  const run = await until('one', ({ status }) => status !== undefined);
  expect(run.status?.phase).toBe('Running');
  // Really deleted, it is cancelled.
  const ended = Promise.withResolvers<void>();
  const stop = store.events.onAppend(ended.resolve);
  await store.objects.delete('WorkflowRun', namespace, 'one');
  release();
  await ended.promise;
  stop();
  expect((await store.runs.get(run.metadata.uid))?.phase).toBe('Cancelled');
  await Promise.all([unseeing.stop(), other.stop()]);
});

test('a run that waits for its workflow can be cancelled', async () => {
  await startRuns();
  await create('one', { workflow: 'missing' });
  await until('one', (seen) => condition(seen, 'Succeeded')?.reason === 'WorkflowNotFound');
  await store.objects.update('WorkflowRun', namespace, 'one', ({ spec }) => ({
    spec: { ...spec, desired: 'Cancelled', reason: 'a typing error' },
  }));
  const run = await until('one', isFinished);
  expect(run.status).toMatchObject({ phase: 'Cancelled', observedGeneration: 2 });
  expect(condition(run, 'Succeeded')).toMatchObject({
    status: 'False',
    message: 'the run was cancelled: a typing error',
  });
  expect(condition(run, 'Reconciling')).toBeUndefined();
});

test('a status that was on its way when the run ended does not blur the last one', async () => {
  await apply('fails', {
    steps: [
      { name: 'works', run: 'true' },
      { name: 'breaks', needs: ['works'], run: 'false' },
    ],
  });
  const ended = Promise.withResolvers<void>();
  const runs = await startRuns({
    end: ({ key }) =>
      key.step === 'works'
        ? { outcome: 'Succeeded', outputs: { text: '' } }
        : { outcome: 'Failed', error: { type: 'exit', exitCode: 1, message: 'exit code 1', retryable: false } },
    onFinished: () => ended.resolve(),
    store: {
      objects: {
        ...store.objects,
        async writeStatus(kind, key, status) {
          await ended.promise;
          await store.objects.writeStatus(kind, key, status);
        },
      },
    },
  });
  await create('one', { workflow: 'fails' });
  await until('one', isFinished);
  await runs.reconciler.loop.idle();
  await runs.stop();
  const run = await store.objects.get('WorkflowRun', namespace, 'one');
  expect(run?.status).toMatchObject({ phase: 'Failed', progress: '2/2', failedSteps: ['breaks'] });
});

test('a database that is away is told of once, and once more when it goes again', async () => {
  const lines: string[] = [];
  const clock = createVirtualClock();
  const answers = [false, false, false, true, true, false, false];
  let asked = Promise.withResolvers<void>();
  await startRuns({
    clock,
    log: pino({ level: 'warn' }, { write: (line: string) => lines.push(line) }),
    store: {
      runs: {
        ...store.runs,
        async claim() {
          // What comes of this answer is done before the next turn of the event loop.
          setImmediate(asked.resolve);
          if (answers.shift()) return [];
          throw new Error('the database is away');
        },
      },
    },
  });
  for (;;) {
    await asked.promise;
    if (answers.length === 0) break;
    asked = Promise.withResolvers();
    clock.advance(500);
  }
  expect(lines).toHaveLength(2);
});

/** A clock that says how many of its timers are still to fire. */
function countingClock(): { clock: Clock; armed: Set<symbol> } {
  const armed = new Set<symbol>();
  const clock: Clock = {
    ...systemClock,
    at(instant, fn) {
      const id = Symbol('timer');
      armed.add(id);
      const cancel = systemClock.at(instant, () => {
        armed.delete(id);
        fn();
      });
      return () => {
        armed.delete(id);
        cancel();
      };
    },
  };
  return { clock, armed };
}

test('nothing is left armed after the end', async () => {
  const { clock, armed } = countingClock();
  await apply('works', { steps: [{ name: 'works', run: 'true' }] });
  const begun = Promise.withResolvers<void>();
  const runs = await startRuns({
    clock,
    end: () => {
      begun.resolve();
      return null;
    },
  });
  await create('one', { workflow: 'works' });
  await begun.promise;
  const drained = runs.reconciler.drain(60_000);
  await store.objects.delete('WorkflowRun', namespace, 'one');
  await drained;
  await runs.stop();
  expect(armed.size).toBe(0);
});

test.each(['as it is claimed', 'as it is hydrated'])('a child run that is cancelled %s is cancelled', async (when) => {
  await apply('asks', asks);
  await apply('calls', { steps: [{ name: 'call', workflow: { name: 'asks' } }] });
  const read = Promise.withResolvers<string>();
  const told = Promise.withResolvers<void>();
  let refuses = when === 'as it is hydrated';
  let waits = true;
  await startRuns({
    store: {
      runs: {
        ...store.runs,
        async load(ids) {
          const rows = await store.runs.load(ids);
          const child = rows.find(({ run }) => run.parent !== null);
          if (!child || !waits) return rows;
          if (refuses) {
            refuses = false;
            throw new Error('the connection was cut');
          }
          waits = false;
          read.resolve(child.run.id);
          await told.promise;
          return rows;
        },
        onSpecs: (fn) =>
          store.runs.onSpecs((ids) => {
            fn(ids);
            told.resolve();
          }),
      },
    },
  });
  await create('one', { workflow: 'calls' });
  const id = await read.promise;
  await store.runs.changeSpec(id, (spec) => ({ ...spec, desired: 'Cancelled' }));
  const run = await until('one', isFinished);
  expect(run.status?.phase).toBe('Failed');
  expect((await store.runs.get(id))?.phase).toBe('Cancelled');
});

test('one that drains claims nothing more; what is recorded meanwhile is for others', async () => {
  await apply('asks', asks);
  let claims = 0;
  const recorded = Promise.withResolvers<void>();
  const draining = await startRuns({
    store: {
      runs: {
        ...store.runs,
        claim(limit) {
          claims++;
          return store.runs.claim(limit);
        },
        async create(run, more) {
          const made = await store.runs.create(run, more);
          recorded.resolve();
          return made;
        },
      },
    },
  });
  await draining.reconciler.drain(60_000);
  const before = claims;
  await create('one', { workflow: 'asks' });
  await recorded.promise;
  await draining.reconciler.loop.idle();
  draining.reconciler.claimSoon();
  expect(claims).toBe(before);
  await startRuns();
  const run = await until('one', ({ status }) => status !== undefined);
  expect(run.status?.phase).toBe('Running');
});

test('nothing is left armed by an attempt that is held while the controller ends', async () => {
  const { clock, armed } = countingClock();
  await apply('works', { steps: [{ name: 'works', run: 'true' }] });
  const [begun, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const runs = await startRuns({
    clock,
    async begin() {
      begun.resolve();
      await answered.promise;
      throw new AttemptHeld('the quota is exhausted');
    },
  });
  await create('one', { workflow: 'works' });
  await begun.promise;
  const stopped = runs.stop();
  answered.resolve();
  await stopped;
  expect(armed.size).toBe(0);
});

test('a replica that wakes after its lease writes no status that it had still to write', async () => {
  await apply('both', {
    steps: [
      { name: 'works', run: 'true' },
      { name: 'ask', needs: ['works'], approval: {} },
    ],
  });
  const lease = endingLease(store);
  const clock = createVirtualClock(Date.now());
  const late: unknown[] = [];
  const stalled = await startRuns({
    clock,
    end: () => ({ outcome: 'Succeeded', outputs: { text: '' } }),
    store: {
      lease,
      objects: {
        ...store.objects,
        watch: (kind, handler) => store.objects.watch(kind, (event) => lease.left > 0 && handler(event)),
        async writeStatus(kind, key, status) {
          if (lease.left <= 0) late.push(status);
          await store.objects.writeStatus(kind, key, status);
        },
      },
    },
  });
  const { metadata } = await create('one', { workflow: 'both' });
  const shown = await until('one', ({ status }) => status !== undefined);
  await stalled.reconciler.loop.idle();
  expect(condition(shown, 'WaitingForApproval')).toBeUndefined();
  lease.left = 0;
  await store.runs.release([metadata.uid]);
  const other = await startRuns();
  await until('one', (run) => condition(run, 'WaitingForApproval') !== undefined);
  clock.advance(1000);
  expect(lease.lost.aborted).toBe(true);
  clock.advance(60_000);
  await stalled.reconciler.loop.idle();
  await other.stop();
  await stalled.stop();
  expect(late).toEqual([]);
});

test('the end of a run is shown, though its status is what finds the lease lost', async () => {
  await apply('works', { steps: [{ name: 'works', run: 'true' }] });
  const lease = endingLease(store);
  const clock = createVirtualClock(Date.now());
  const { reconciler } = await startRuns({
    clock,
    end: () => ({ outcome: 'Succeeded', outputs: { text: '' } }),
    store: {
      lease,
      runs: {
        ...store.runs,
        async commit(transition, fence) {
          const ends = transition.run.phase === 'Succeeded';
          // Else the event of this status has the run looked at once more.
          if (ends) await until('one', ({ status }) => status?.phase === 'Running');
          await store.runs.commit(transition, fence);
          if (ends) lease.left = 0;
        },
      },
    },
  });
  await create('one', { workflow: 'works' });
  await expect.poll(() => lease.lost.aborted, { timeout: 10_000 }).toBe(true);
  await reconciler.loop.idle();
  lease.left = Infinity;
  clock.advance(10_000);
  expect((await until('one', ({ status }) => status?.phase === 'Succeeded')).status).toMatchObject({
    phase: 'Succeeded',
  });
});

test('a run whose lease is lost while its attempt is refused is not tried again here', async () => {
  await apply('works', { steps: [{ name: 'works', run: 'true' }] });
  const [begun, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const lease = endingLease(store);
  const clock = createVirtualClock(Date.now());
  const counted = countedRuns(store);
  const runs = await startRuns({
    clock,
    async begin() {
      begun.resolve();
      await answered.promise;
      throw new AttemptHeld('the quota is exhausted');
    },
    store: {
      lease,
      runs: {
        ...counted.runs,
        claim: (limit) => (lease.left > 0 ? store.runs.claim(limit) : Promise.resolve([])),
        owned: () => Promise.resolve([]),
      },
    },
  });
  await create('one', { workflow: 'works' });
  await begun.promise;
  lease.left = 0;
  lease.remainingMs();
  clock.advance(500);
  answered.resolve();
  await runs.reconciler.loop.idle();
  // Its own backoff, which finds that it is not owned here.
  clock.advance(1000);
  await runs.reconciler.loop.idle();
  counted.looks = 0;
  clock.advance(60_000);
  await runs.reconciler.loop.idle();
  expect(counted.looks).toBe(0);
});

test('that a workflow has changed wakes none of the runs that others have begun', async () => {
  await apply('asks', asks);
  const counted = countedRuns(store);
  const idle = await startRuns({
    store: {
      runs: {
        ...counted.runs,
        claim: () => Promise.resolve([]),
      },
    },
  });
  await startRuns();
  await create('one', { workflow: 'asks' });
  await until('one', (seen) => condition(seen, 'WaitingForApproval') !== undefined);
  await idle.reconciler.loop.idle();
  counted.looks = 0;
  await apply('asks', { ...asks, description: 'Another.' });
  await idle.reconciler.loop.idle();
  expect(counted.looks).toBe(0);
});

test('the end of a run that went on is written once, where others can write it, too', async () => {
  await apply('asks', asks);
  let ends = 0;
  const runs = await startRuns({
    othersWrite: true,
    store: {
      isLeader: () => true,
      objects: {
        ...store.objects,
        async writeStatus(kind, key, status) {
          if ('finishedAt' in status && status.finishedAt !== undefined) ends++;
          await store.objects.writeStatus(kind, key, status);
        },
      },
    },
  });
  await create('one', { workflow: 'asks' });
  for (const number of [1, 2]) {
    await until(
      'one',
      (run) => run.status?.execution === number && condition(run, 'WaitingForApproval')?.status === 'True',
    );
    await store.objects.update('WorkflowRun', namespace, 'one', ({ spec }) => ({
      spec: { ...spec, approvals: [{ step: 'ask', user: 'ada', decision: 'Reject', execution: number }] },
    }));
    await until('one', (run) => isFinished(run) && run.status?.execution === number);
    await runs.reconciler.loop.idle();
    expect(ends).toBe(number);
    if (number === 1) {
      await store.objects.update('WorkflowRun', namespace, 'one', ({ spec }) => ({
        spec: { ...spec, execution: { number: 2 } },
      }));
    }
  }
  await runs.stop();
  expect(ends).toBe(2);
});

/** As when the database was restored from a copy that is older than what the object has seen. */
async function seeAhead(name: string, status: Partial<WorkflowRunStatus>): Promise<void> {
  const { metadata, status: before } = await until(name, ({ status }) => (status?.revision ?? 0) > 0);
  await store.objects.writeStatus('WorkflowRun', metadata, {
    ...before,
    revision: (before?.revision ?? 0) + 5,
    ...status,
  });
}

test('a run whose object has seen more than is recorded stands still until it is cancelled', async () => {
  await apply('asks', asks);
  const first = await startRuns();
  await create('one', { workflow: 'asks' });
  const { metadata } = await until('one', (seen) => condition(seen, 'WaitingForApproval') !== undefined);
  await first.stop();
  await seeAhead('one', {});
  const recorded = await store.runs.get(metadata.uid);

  await startRuns();
  const lost = await until('one', (seen) => condition(seen, 'Stalled')?.reason === 'HistoryLost');
  expect(condition(lost, 'Stalled')?.message).toContain(`only revision ${recorded?.revision} is recorded`);
  await store.objects.update('WorkflowRun', namespace, 'one', ({ spec }) => ({
    spec: { ...spec, approvals: [{ step: 'ask', user: 'ada', decision: 'Approve' }] },
  }));
  await until('one', ({ status }) => status?.observedGeneration === 2);
  expect(await store.runs.get(metadata.uid)).toEqual(recorded);

  await store.objects.update('WorkflowRun', namespace, 'one', ({ spec }) => ({
    spec: { ...spec, desired: 'Cancelled' },
  }));
  const run = await until('one', isFinished);
  expect(run.status?.phase).toBe('Cancelled');
  expect(condition(run, 'Stalled')).toBeUndefined();
});

test('a run that went on after the end that is recorded stands still', async () => {
  await apply('passes', passes);
  const first = await startRuns();
  await create('one', { workflow: 'passes' });
  const { metadata } = await until('one', isFinished);
  await first.stop();
  await seeAhead('one', { phase: 'Running', execution: 2, conditions: [] });
  const recorded = await store.runs.get(metadata.uid);
  await startRuns();
  await until('one', (seen) => condition(seen, 'Stalled')?.reason === 'HistoryLost');
  expect(await store.runs.get(metadata.uid)).toEqual(recorded);
});

test('an end that the object has seen and history has not is recorded, and nothing is done again', async () => {
  await apply('asks', asks);
  const first = await startRuns();
  await create('one', { workflow: 'asks' });
  const { metadata } = await until('one', (seen) => condition(seen, 'WaitingForApproval') !== undefined);
  await first.stop();
  const ended = { reason: 'Succeeded', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' };
  await seeAhead('one', {
    phase: 'Succeeded',
    finishedAt: '2026-01-01T00:00:00.000Z',
    conditions: [{ type: 'Finished', status: 'True', ...ended }],
  });
  const told = Promise.withResolvers<RunRow>();
  await startRuns({ onFinished: told.resolve });
  expect(await told.promise).toMatchObject({ id: metadata.uid, phase: 'Succeeded' });
  expect(await store.runs.get(metadata.uid)).toMatchObject({
    phase: 'Succeeded',
    finishedAt: Date.parse('2026-01-01T00:00:00Z'),
  });
});

describe('a run that is deleted, and is kept for its end,', () => {
  /** Starts a controller that sees every run so; resolves once it has let one go. */
  async function startDeleted(): Promise<void> {
    const gone = Promise.withResolvers<void>();
    const guard = { hold: async () => {}, isTerminating: async () => false, letGo: async () => gone.resolve() };
    const deleted = { finalizers: [runFinalizer], deletionTimestamp: new Date().toISOString() };
    const watch: Store['objects']['watch'] = (kind, handler) =>
      store.objects.watch(kind, ({ type, object }) =>
        handler({ type, object: { ...object, metadata: { ...object.metadata, ...deleted } } }),
      );
    await startRuns({ guard, store: { objects: { ...store.objects, watch } } });
    await gone.promise;
  }

  test('goes when nothing of it is recorded', async () => {
    await apply('asks', asks);
    const { metadata } = await create('one', { workflow: 'asks' });
    await store.objects.writeStatus('WorkflowRun', metadata, { phase: 'Running', revision: 5 });
    await startDeleted();
    expect(await store.runs.get(metadata.uid)).toBeNull();
  });

  test('goes when only an earlier end of it is recorded', async () => {
    await apply('passes', passes);
    const first = await startRuns();
    await create('one', { workflow: 'passes' });
    const { metadata } = await until('one', isFinished);
    await first.stop();
    await seeAhead('one', { phase: 'Running', execution: 2, conditions: [] });
    await startDeleted();
    expect(await store.runs.get(metadata.uid)).toMatchObject({ execution: 1, phase: 'Succeeded' });
  });

  test('goes when its workflow is not there', async () => {
    await create('one', { workflow: 'missing' });
    await startDeleted();
  });
});
