import { describe, expect, test } from 'vitest';
import { approve, exit1, fates, good } from '../../../test/fixtures/lives.ts';
import { createdAt, planOf, queuedRun } from '../../../test/fixtures/plans.ts';
import { runWorld, type WorldOptions } from '../../../test/fixtures/world.ts';
import { decideRun } from './decide.ts';
import { hydrate } from './hydrate.ts';
import { projectRunStatus } from './project.ts';

type Spec = Parameters<typeof planOf>[0];

function stateOf(spec: Spec, options: WorldOptions = {}, until = Number.POSITIVE_INFINITY) {
  const plan = planOf(spec);
  let rows = { run: queuedRun(plan), steps: [], attempts: [] } as Parameters<typeof hydrate>[1];
  runWorld(plan, queuedRun(plan), {
    ...options,
    onDecision: (seen) => {
      if (seen.now <= createdAt + until) rows = seen.rows();
    },
  });
  return hydrate(plan, rows);
}

function statusOf(...life: Parameters<typeof stateOf>) {
  return projectRunStatus(stateOf(...life), 3, undefined, createdAt);
}

const conditions = (status: ReturnType<typeof statusOf>) =>
  Object.fromEntries((status.conditions ?? []).map(({ type, status: holds }) => [type, holds]));

describe('the status of a run', () => {
  test('while it runs', () => {
    const status = statusOf({ steps: [{ name: 'a' }, { name: 'b', needs: ['a'] }] }, {}, 1500);
    expect(status).toMatchObject({ phase: 'Running', progress: '1/2', observedGeneration: 3, version: 'v1.0.0' });
    expect(conditions(status)).toEqual({ Succeeded: 'Unknown', Finished: 'False', Reconciling: 'True' });
  });

  test('when it succeeded, with its outputs', () => {
    const status = statusOf({ steps: [{ name: 'a' }], outputs: { x: '${{ 1 + 1 }}' } });
    expect(status).toMatchObject({ phase: 'Succeeded', progress: '1/1', outputs: { x: 2 }, revision: 2 });
    expect(conditions(status)).toEqual({ Succeeded: 'True', Finished: 'True' });
  });

  test('when it failed, with the steps that did', () => {
    const fate = () => ({
      afterMs: 1,
      result: { outcome: 'Failed' as const, error: { type: 'exit', message: 'exit code 1', retryable: true } },
    });
    const status = statusOf({ steps: [{ name: 'b' }, { name: 'a' }] }, { fate });
    expect(status.failedSteps).toEqual(['b', 'a']);
    expect(conditions(status)).toEqual({ Succeeded: 'False', Finished: 'True', Stalled: 'True' });
    expect(status.conditions?.[0]?.message).toBe('step b: exit code 1');
  });

  test('when it was cancelled: an end, but nothing to repair', () => {
    const status = statusOf({ steps: [{ name: 'a' }] }, { spec: [{ at: createdAt + 1, desired: 'Cancelled' }] });
    expect(conditions(status)).toEqual({ Succeeded: 'False', Finished: 'True' });
  });

  test('while it is queued: what for', () => {
    const plan = planOf({ concurrency: { group: 'g' }, locks: [{ name: 'a' }, { name: 'b' }], steps: [{ name: 'x' }] });
    const state = hydrate(plan, { run: queuedRun(plan), steps: [], attempts: [] });
    decideRun(plan, state, [], createdAt);
    expect(projectRunStatus(state, 3, undefined, createdAt).conditions?.[0]).toMatchObject({
      reason: 'Queued',
      message: 'in the queue: waits for the concurrency group "g" and the locks "a", "b"',
    });
  });

  test('while a step that is to begin cannot', () => {
    const plan = planOf({ steps: [{ name: 'a' }] });
    const state = hydrate(plan, { run: queuedRun(plan, { phase: 'Running' }), steps: [], attempts: [] });
    const status = projectRunStatus(state, 3, undefined, createdAt, { step: 'step a cannot begin: no room' });
    const kept = { reason: 'StepHeld', message: 'step a cannot begin: no room' };
    expect(status.conditions).toMatchObject([
      { type: 'Succeeded', status: 'Unknown', ...kept },
      { type: 'Finished', status: 'False', reason: 'Running' },
      { type: 'Reconciling', status: 'True', ...kept },
    ]);
  });

  test('while a step that has begun does not run', () => {
    const plan = planOf({ steps: [{ name: 'a' }] });
    const state = hydrate(plan, { run: queuedRun(plan, { phase: 'Running' }), steps: [], attempts: [] });
    const status = projectRunStatus(state, 3, undefined, createdAt, { waiting: 'step a waits: no image' });
    const kept = { reason: 'StepWaiting', message: 'step a waits: no image' };
    expect(status.conditions?.find(({ type }) => type === 'Reconciling')).toMatchObject(kept);
    expect(status.phase).toBe('Running');
  });

  test('while it waits for approval, or is paused', () => {
    const waiting = statusOf({ steps: [{ name: 'a', approval: {} }] });
    expect(conditions(waiting)).toMatchObject({ WaitingForApproval: 'True', Reconciling: 'True' });
    expect(waiting.conditions?.at(-1)?.message).toBe('step a waits for 1 more approval');
    const paused = statusOf(
      { steps: [{ name: 'a', wait: { for: '1h' } }] },
      { spec: [{ at: createdAt + 1, desired: 'Paused' }] },
      2,
    );
    expect(conditions(paused)).toMatchObject({ Paused: 'True' });
  });

  test('while it waits for approval: says what is missing, and who does not count', () => {
    const state = stateOf({
      steps: [
        { name: 'a', approval: { groups: ['editors', 'admins'], count: 2 } },
        { name: 'b', approval: {} },
      ],
    });
    const given = [
      approve('a', 'ann', { groups: ['admins'] }),
      approve('a', 'bob', { groups: ['readers'] }),
      approve('a', 'bob', { groups: [] }),
    ];
    state.approvals = new Map([['a', given]]);
    const last = projectRunStatus(state, 3, undefined, createdAt, { approvals: 'not so fast' }).conditions?.at(-1);
    expect(last?.message).toBe(
      'step a waits for 1 more approval of groups editors, admins; not counted: bob (in none of them). step b waits for 1 more approval. not so fast',
    );
  });

  test('while it waits for approval: approvals that are not believed, and those that nothing asks for, are troubles', () => {
    const spec = {
      steps: [
        { name: 'a', approval: {} },
        { name: 'b', wait: { for: '1h' } },
      ],
    };
    const held = projectRunStatus(stateOf(spec), 3, undefined, createdAt, { approvals: 'no policy' });
    expect(held.conditions?.at(-1)).toMatchObject({ type: 'WaitingForApproval', reason: 'ApprovalsNotBelieved' });
    const state = stateOf(spec, {}, 1);
    expect(conditions(projectRunStatus(state, 3, undefined, createdAt))).not.toHaveProperty('ApprovalsIgnored');
    state.approvals = new Map(['a', 'b', 'nope'].map((step) => [step, [approve(step, 'ann')]]));
    expect(projectRunStatus(state, 3, undefined, createdAt).conditions).toContainEqual(
      expect.objectContaining({
        type: 'ApprovalsIgnored',
        status: 'True',
        reason: 'NoSuchApproval',
        message:
          'the spec has approvals for steps b, nope, and no step of that name waits for approval; correct the name',
      }),
    );
  });

  test('tells of logs that may show Secrets, also after its end', () => {
    const plan = planOf({ steps: [{ name: 'a' }] });
    const run = { ...queuedRun(plan), logsUnmasked: 'the log of step a may show values' };
    const begun = projectRunStatus(hydrate(plan, { run, steps: [], attempts: [] }), 1, undefined, createdAt);
    const condition = { type: 'LogsUnmasked', status: 'True', message: run.logsUnmasked };
    expect(begun.conditions?.at(-1)).toMatchObject(condition);
    const ended = { ...run, phase: 'Succeeded' as const, finishedAt: createdAt };
    const status = projectRunStatus(hydrate(plan, { run: ended, steps: [], attempts: [] }), 1, undefined, createdAt);
    expect(status.conditions?.at(-1)).toMatchObject(condition);
    expect(conditions(status)).toMatchObject({ Succeeded: 'True', Finished: 'True' });
  });

  test('when it is degraded: a success that says why', () => {
    const fate = () => ({
      afterMs: 1,
      result: { outcome: 'Failed' as const, error: { type: 'exit', message: 'exit code 1', retryable: false } },
    });
    const status = statusOf({ steps: [{ name: 'a', criticality: 'low' }] }, { fate });
    expect(status).toMatchObject({ phase: 'Degraded', failedSteps: ['a'], execution: 1 });
    expect(conditions(status)).toEqual({ Succeeded: 'True', Finished: 'True' });
    expect(status.conditions?.[0]).toMatchObject({ reason: 'Degraded', message: 'not as it should be: a' });
  });

  test.each([
    [good, 'True', 'all that succeeded was undone'],
    [exit1, 'False', '1 of what succeeded could not be undone'],
  ])('when it was undone', (undoing, holds, message) => {
    const spec = {
      steps: [
        { name: 'a', compensate: { run: 'undo' } },
        { name: 'b', needs: ['a'] },
      ],
    };
    const status = statusOf(spec, { fate: fates({ b: [exit1], 'a compensate': [undoing] }) });
    expect(status.conditions?.find(({ type }) => type === 'Compensated')).toMatchObject({ status: holds, message });
  });

  test('counts steps, however many items they have', () => {
    const spec = { steps: [{ name: 'a', forEach: { range: { to: 10_000 }, failFast: false } }, { name: 'b' }] };
    const status = statusOf(spec, { fate: fates({ a: [exit1] }) });
    expect(status).toMatchObject({ progress: '2/2', failedSteps: ['a'] });
    expect(JSON.stringify(status).length).toBeLessThan(2000);
  });

  test('stays below 10 KB whatever the run holds', () => {
    const long = '\u0001€'.repeat(50_000);
    const fate = () => ({
      afterMs: 1,
      result: { outcome: 'Failed' as const, error: { type: 'exit', message: long, retryable: false } },
    });
    const steps = Array.from({ length: 500 }, (_, i) => ({ name: `s${'x'.repeat(30)}${i}` }));
    const failed = statusOf({ steps }, { fate });
    expect(new TextEncoder().encode(JSON.stringify(failed)).length).toBeLessThan(10_000);
    expect(failed.failedSteps).toHaveLength(10);
    const rich = statusOf({ steps: [{ name: 'a' }], outputs: { x: 'y'.repeat(4096) } });
    expect(rich.outputs).toBeUndefined();
  });
});
