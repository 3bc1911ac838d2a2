import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { runRow } from '../../test/fixtures/history.ts';
import type { WorkflowRunSpec, WorkflowRunStatus } from '../../crds/workflow-run.ts';
import type { RunRow } from '../core/run/types.ts';
import { systemClock } from '../runtime/clock.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { createRedrives } from './redrives.ts';

const namespace = 'dev';
const ended = { startedAt: 5, finishedAt: 9 };
const finishedAt = new Date(9).toISOString();
let directory: string;
let store: Store;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-redrives-'));
  store = await openStore({ dataDir: directory }, { clock: systemClock, home: 'test' });
}, 60_000);
afterAll(async () => {
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

interface Redriven {
  id: number;
  failed: RunRow;
  /** Of the run that it was redriven as. */
  uid: string;
}

/** A dead letter that was redriven: as a new run, or as its own. */
async function redriven(name: string, itself: boolean, at: number): Promise<Redriven> {
  const create = (called: string, execution?: WorkflowRunSpec['execution']) =>
    store.objects.create({
      kind: 'WorkflowRun',
      metadata: { namespace, name: called },
      spec: { workflow: 'report', ...(execution ? { execution } : {}) },
    });
  const old = itself ? (await create(name, { number: 2 })).metadata.uid : `${name}-uid`;
  const failed = runRow(old, { namespace, name, ...ended, phase: 'Failed', outcome: 'Failed' });
  await store.runs.create(failed);
  if (itself) await says(name, old, { phase: 'Failed', finishedAt });
  const letter = await store.deadLetters.ofRun(old);
  if (!letter) throw new Error('it has not landed');
  const as = itself ? name : `${name}-again`;
  await store.deadLetters.beginRedrive(letter, { by: 'ada', name: as, at });
  const uid = itself ? old : (await create(as)).metadata.uid;
  await store.deadLetters.markRedriven(letter.id, { redrives: 1, as: uid });
  return { id: letter.id, failed, uid };
}

async function says(name: string, uid: string, status: WorkflowRunStatus): Promise<void> {
  await store.objects.writeStatus('WorkflowRun', { namespace, name, uid }, status);
}

function refused(observedGeneration: number): WorkflowRunStatus {
  const at = { lastTransitionTime: finishedAt, observedGeneration };
  const condition = { type: 'ExecutionRefused', status: 'True' as const, reason: 'ExecutionRefused', message: 'no' };
  return { phase: 'Failed', finishedAt, conditions: [{ ...condition, ...at }] };
}

const cases: [string, boolean, string, (one: Redriven) => Promise<unknown>][] = [
  ['waits for its workflow', false, 'Redriven', async () => {}],
  ['was deleted before it began', false, 'Waiting', () => store.objects.delete('WorkflowRun', namespace, 'r1-again')],
  [
    'was cancelled before it began',
    false,
    'Waiting',
    ({ uid }) => says('r2-again', uid, { phase: 'Cancelled', finishedAt }),
  ],
  [
    'has begun, and its object was deleted',
    false,
    'Redriven',
    async ({ uid }) => {
      await store.runs.create(runRow(uid, { namespace, name: 'r3-again' }));
      await store.objects.delete('WorkflowRun', namespace, 'r3-again');
    },
  ],
  ['is to go on itself', true, 'Redriven', async () => {}],
  ['is refused to go on', true, 'Waiting', ({ uid }) => says('r5', uid, refused(1))],
  ['was refused as it stood before', true, 'Redriven', ({ uid }) => says('r6', uid, refused(0))],
  [
    'was deleted, and another has its name',
    true,
    'Waiting',
    async () => {
      await store.objects.delete('WorkflowRun', namespace, 'r7');
      await store.objects.create({
        kind: 'WorkflowRun',
        metadata: { namespace, name: 'r7' },
        spec: { workflow: 'report' },
      });
    },
  ],
];

test.each(cases.map((one, i) => [...one, `r${i}`] as const))(
  'a dead letter whose run %s (itself: %s) is %s',
  async (_, itself, state, befalls, name) => {
    const clock = createVirtualClock();
    const one = await redriven(name, itself, clock.now());
    await befalls(one);
    const rounds = createRedrives({ store, clock, log: pino({ level: 'silent' }) });
    rounds.start();
    clock.advance(60_000);
    await rounds.stop();
    expect(await store.deadLetters.get(one.id)).toMatchObject({ state, redrivenAs: one.uid });
  },
);

test('what was redriven just now is left alone: its object may not be seen yet', async () => {
  const clock = createVirtualClock();
  const { id } = await redriven('just-now', false, clock.now() + 45_000);
  await store.objects.delete('WorkflowRun', namespace, 'just-now-again');
  const rounds = createRedrives({ store, clock, log: pino({ level: 'silent' }) });
  rounds.start();
  clock.advance(60_000);
  await rounds.stop();
  expect(await store.deadLetters.get(id)).toMatchObject({ state: 'Redriven' });
});
