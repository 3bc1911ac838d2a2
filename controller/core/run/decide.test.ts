import { describe, expect, test } from 'vitest';
import type { StepSpec } from '../../../crds/workflow.ts';
import {
  after,
  approve,
  exit1,
  type Fates,
  good,
  live,
  lost,
  never,
  phases,
  type Steps,
} from '../../../test/fixtures/lives.ts';
import { createdAt, planOf, queuedRun } from '../../../test/fixtures/plans.ts';
import { runWorld, type World } from '../../../test/fixtures/world.ts';
import { decideRun } from './decide.ts';
import { hydrate } from './hydrate.ts';
import { isFinished, type RunObservation, wholeStep } from './types.ts';

describe('order: what a step does when its need ended', () => {
  const a = { name: 'a' };
  const table: [string, Steps, Fates, Record<string, string>][] = [
    ['succeeded: runs', [a, { name: 'b', needs: ['a'] }], {}, { a: 'Succeeded', b: 'Succeeded' }],
    ['failed: is skipped', [a, { name: 'b', needs: ['a'] }], { a: [exit1] }, { a: 'Failed', b: 'Skipped NeedNotMet' }],
    [
      'skipped by its own if: runs',
      [
        { name: 'a', if: 'false' },
        { name: 'b', needs: ['a'] },
      ],
      {},
      { a: 'Skipped ConditionFalse', b: 'Succeeded' },
    ],
    [
      'skipped because of a need: is skipped too',
      [a, { name: 'b', needs: ['a'] }, { name: 'c', needs: ['b'] }],
      { a: [exit1] },
      { a: 'Failed', b: 'Skipped NeedNotMet', c: 'Skipped NeedNotMet' },
    ],
    [
      'timed out: is skipped',
      [
        { name: 'a', timeout: '5s' },
        { name: 'b', needs: ['a'] },
      ],
      { a: [never] },
      { a: 'Failed', b: 'Skipped NeedNotMet' },
    ],
    [
      'failed, and its if calls always(): runs',
      [a, { name: 'b', needs: ['a'], if: 'always()' }],
      { a: [exit1] },
      { a: 'Failed', b: 'Succeeded' },
    ],
    [
      'failed two needs before, and its if calls failure(): runs',
      [a, { name: 'b', needs: ['a'] }, { name: 'c', needs: ['b'], if: 'failure()' }],
      { a: [exit1] },
      { a: 'Failed', b: 'Skipped NeedNotMet', c: 'Succeeded' },
    ],
    [
      'succeeded, and its if calls failure(): is skipped by its own if',
      [a, { name: 'b', needs: ['a'], if: 'failure()' }, { name: 'c', needs: ['b'] }],
      {},
      { a: 'Succeeded', b: 'Skipped ConditionFalse', c: 'Succeeded' },
    ],
    [
      'failed, and its if asks for that by status(): runs',
      [a, { name: 'b', if: "status('a') == 'Failed'" }],
      { a: [exit1] },
      { a: 'Failed', b: 'Succeeded' },
    ],
    [
      'an if that cannot be evaluated fails the step',
      [a, { name: 'b', needs: ['a'], if: '1 / 0 == 1' }],
      {},
      { a: 'Succeeded', b: 'Failed' },
    ],
    [
      'other branches go on when one fails',
      [a, { name: 'b' }, { name: 'c', needs: ['b'] }, { name: 'd', needs: ['c'] }],
      { a: [exit1] },
      { a: 'Failed', b: 'Succeeded', c: 'Succeeded', d: 'Succeeded' },
    ],
  ];
  test.each(table)('%s', (_, steps, named, expected) => {
    const world = live(steps, named);
    expect(phases(world)).toEqual(expected);
    expect(world.run.phase).toBe(Object.values(expected).some((p) => p === 'Failed') ? 'Failed' : 'Succeeded');
  });

  test('a step that needs two runs when both have ended, at the instant the later one did', () => {
    const world = live([{ name: 'a' }, { name: 'b' }, { name: 'c', needs: ['a', 'b'] }], {
      b: [{ afterMs: 9000, result: good }],
    });
    expect(world.steps.get('c')?.startedAt).toBe(after(9000));
  });

  test('an ended step and the start of its successor are one commit', () => {
    const plan = planOf({ steps: [{ name: 'a' }, { name: 'b', needs: ['a'] }] });
    const commits: string[][] = [];
    runWorld(plan, queuedRun(plan), {
      onDecision: ({ transition }) =>
        commits.push((transition?.steps ?? []).map(({ step, phase }) => `${step} ${phase}`)),
    });
    expect(commits).toEqual([['a Running'], ['a Succeeded', 'b Running'], ['b Succeeded']]);
  });

  test('a chain of 20,000 steps that need no attempt is decided in one go', () => {
    const steps = Array.from({ length: 20_000 }, (_, i) => ({
      name: `s${i}`,
      needs: i === 0 ? [] : [`s${i - 1}`],
      assert: [{ that: 'true' }],
    }));
    const world = live(steps);
    expect(world.run.phase).toBe('Succeeded');
    expect(world.decisions).toBe(1);
  });
});

describe('steps that are decided at once', () => {
  test('assert fails with the message of the first that does not hold', () => {
    const assert = [{ that: 'true' }, { that: '1 > 2', message: 'lost ${{ 1 + 1 }}' }];
    const world = live([{ name: 'a', assert }]);
    expect(world.steps.get('a')?.error).toEqual({ type: 'assertion', message: 'lost 2', retryable: false });
    expect(world.attempts.size).toBe(0);
  });

  test('decide gives the first case that matches; names of the others are null', () => {
    const cases = [
      { if: 'inputs.rows > 10', then: { lane: 'bulk', extra: 1 } },
      { if: 'inputs.rows > 5', then: { lane: '${{ "n" + "ormal" }}' } },
      { then: { lane: 'never' } },
    ];
    const plan = planOf({ steps: [{ name: 'a', decide: { cases } }] });
    const world = runWorld(plan, queuedRun(plan, { inputs: { rows: 7 } }));
    expect(world.steps.get('a')?.outputs).toEqual({ lane: 'normal', extra: null });
  });

  test('wait for holds the successor back that long', () => {
    const world = live([
      { name: 'a', wait: { for: '10m' } },
      { name: 'b', needs: ['a'] },
    ]);
    expect(world.steps.get('b')?.startedAt).toBe(after(600_000));
  });

  test.each([
    ['2026-01-31T09:00:00+01:00', 'Succeeded', 0],
    ['2026-01-31T08:00:05.5Z', 'Succeeded', 5500],
    ['2026-02-30T08:00:00Z', 'Failed', 0],
    ['tomorrow', 'Failed', 0],
  ])('wait until %s: %s', (until, phase, ms) => {
    const world = live([{ name: 'a', wait: { until } }]);
    const error = phase === 'Failed' ? { type: 'expression' } : null;
    expect(world.steps.get('a')).toMatchObject({ phase, finishedAt: after(ms), error });
  });

  test('a body that cannot be evaluated fails the step without an attempt', () => {
    const world = live([{ name: 'a', env: { X: '${{ 1 / 0 }}' } }]);
    expect(world.steps.get('a')).toMatchObject({ phase: 'Failed', attempts: 0, error: { type: 'expression' } });
    expect(world.actions).toEqual([]);
  });
});

describe('failure', () => {
  const retry = { limit: 2, backoff: { initial: '1s', factor: 2, jitter: 0 } };

  test('a failed attempt is retried after growing pauses, until the limit', () => {
    const world = live([{ name: 'a', retry }], { a: [exit1] });
    expect([...world.attempts.values()].map((row) => row.startedAt - createdAt)).toEqual([0, 2000, 5000]);
    expect(world.steps.get('a')).toMatchObject({ phase: 'Failed', attempts: 3, error: { message: 'exit code 1' } });
    expect(world.events.map((event) => event.reason)).toEqual([
      'RunStarted',
      'AttemptFailed',
      'AttemptFailed',
      'StepFailed',
      'RunFailed',
    ]);
    expect(world.run.error).toEqual({ type: 'exit', message: 'step a: exit code 1', retryable: true });
  });

  test('a retry that succeeds is a success, with no error left', () => {
    const world = live([{ name: 'a', retry }], { a: [exit1, good] });
    expect(world.steps.get('a')).toMatchObject({ phase: 'Succeeded', attempts: 2, error: null });
    expect(world.run.phase).toBe('Succeeded');
  });

  test('attempts lost to the infrastructure have 5 retries of their own', () => {
    expect(live([{ name: 'a' }], { a: [lost, lost, lost, lost, lost, good] }).run.phase).toBe('Succeeded');
    const world = live([{ name: 'a', retry }], { a: [lost] });
    expect(world.steps.get('a')).toMatchObject({ phase: 'Failed', attempts: 6, infrastructureFailures: 6 });
    const mixed = live([{ name: 'a', retry }], { a: [lost, exit1, lost, exit1, exit1] });
    expect(mixed.steps.get('a')).toMatchObject({ phase: 'Failed', attempts: 5, infrastructureFailures: 2 });
  });

  test.each([
    ["error.type == 'exit'", 3],
    ["error.type == 'http'", 1],
    ['attempt < 2', 2],
    ['error.nonsense > 1', 1],
  ])('retry.if: %s allows %i attempts', (condition, attempts) => {
    const world = live([{ name: 'a', retry: { ...retry, if: condition } }], { a: [exit1] });
    expect(world.steps.get('a')).toMatchObject({ phase: 'Failed', attempts });
  });

  test('what is not retryable is not retried', () => {
    const error = { type: 'exit', message: 'no', retryable: false };
    expect(live([{ name: 'a', retry }], { a: [{ outcome: 'Failed', error }] }).attempts.size).toBe(1);
    const outputs = { text: 'undeclared=1\n' };
    const world = live([{ name: 'a', retry }], { a: [{ outcome: 'Succeeded', outputs }] });
    expect(world.steps.get('a')).toMatchObject({ phase: 'Failed', attempts: 1, error: { type: 'output' } });
  });

  test('a longer pause that the other side asked for is kept', () => {
    const error = { type: 'http', message: '429', retryable: true, retryAfterMs: 60_000 };
    const world = live([{ name: 'a', retry }], { a: [{ outcome: 'Failed', error }, good] });
    expect(world.attempts.get('a/2')?.startedAt).toBe(after(61_000));
  });

  test('a POST is never sent twice unless the step says retry', () => {
    const http = { url: 'http://localhost/', method: 'POST' } as unknown as NonNullable<StepSpec['http']>;
    expect(live([{ name: 'a', http }], { a: [lost] }).attempts.size).toBe(1);
    const outputs = { values: {} };
    const again = live([{ name: 'a', http, retry }], { a: [lost, { outcome: 'Succeeded', outputs }] });
    expect(again.run.phase).toBe('Succeeded');
  });

  test('an attempt over its timeout is stopped with 30 s grace, and retried', () => {
    const world = live([{ name: 'a', timeout: '5s', retry }], { a: [{ ...never, stopsAfterMs: 700 }, good] });
    expect(world.actions.map(({ at, action }) => [at - createdAt, action.type])).toEqual([
      [0, 'Start'],
      [5000, 'Stop'],
      [6700, 'Start'],
    ]);
    expect(world.actions[1]?.action).toMatchObject({ type: 'Stop', graceMs: 30_000, kind: 'run' });
    expect(world.attempts.get('a/1')).toMatchObject({
      phase: 'TimedOut',
      stopReason: 'timeout',
      error: { type: 'timeout' },
    });
    expect(world.run.phase).toBe('Succeeded');
  });

  test('a deadline ends the whole step, in an attempt or in a pause, without a retry', () => {
    const busy = live([{ name: 'a', deadline: '5s', retry }], { a: [never] });
    expect(busy.steps.get('a')).toMatchObject({ phase: 'TimedOut', attempts: 1, finishedAt: after(5000) });
    const pausing = live([{ name: 'a', deadline: '2500ms', retry: { limit: 9 } }], { a: [exit1] });
    expect(pausing.steps.get('a')).toMatchObject({ phase: 'TimedOut', finishedAt: after(2500) });
    const waiting = live([{ name: 'a', deadline: '5s', wait: { for: '1h' } }]);
    expect(waiting.steps.get('a')).toMatchObject({ phase: 'TimedOut', finishedAt: after(5000) });
    expect(waiting.run.phase).toBe('Failed');
  });

  test('a run fails only when all that can still run has ended', () => {
    const world = live([{ name: 'a' }, { name: 'b' }], { a: [exit1], b: [{ afterMs: 60_000, result: good }] });
    expect(world.run).toMatchObject({ phase: 'Failed', finishedAt: after(60_000) });
  });
});

describe('approval', () => {
  const step = (approval: object): Steps => [
    { name: 'a', approval },
    { name: 'b', needs: ['a'] },
  ];
  const at = after(5000);

  test('a step that begins to wait for approval is an event; one that is approved already is none', () => {
    const spec = {
      steps: [
        { name: 'w', wait: { for: '1m' } },
        { name: 'a', needs: ['w'], approval: { count: 2, timeout: '1h' } },
      ],
    };
    const plan = planOf(spec);
    const waiting = ({ events }: ReturnType<typeof runWorld>) =>
      events.filter(({ reason }) => reason === 'RunWaiting').map(({ type, message }) => `${type}: ${message}`);
    expect(waiting(runWorld(plan, queuedRun(plan)))).toEqual([
      expect.stringMatching(/^Normal: run \S+: step a waits for 2 more approvals$/),
    ]);
    const approvals = [approve('a', 'ada'), approve('a', 'bob')];
    expect(waiting(runWorld(plan, queuedRun(plan), { spec: [{ at: createdAt + 1, approvals }] }))).toEqual([]);
  });

  test.each([
    ['by one, as one is enough', {}, [approve('a', 'ada')], 'Succeeded'],
    ['by someone of a group', { groups: ['editors'] }, [approve('a', 'ada')], 'Succeeded'],
    ['by two people', { count: 2 }, [approve('a', 'ada'), approve('a', 'bob')], 'Succeeded'],
    ['twice by one of two', { count: 2, timeout: '1h' }, [approve('a', 'ada'), approve('a', 'ada')], 'TimedOut'],
    ['by someone of no such group', { groups: ['admins'], timeout: '1h' }, [approve('a', 'ada')], 'TimedOut'],
    ['of another step', { timeout: '1h' }, [approve('b', 'ada')], 'TimedOut'],
    ['of another execution', { timeout: '1h' }, [approve('a', 'ada', { execution: 2 })], 'TimedOut'],
    [
      'and a rejection',
      { count: 2 },
      [approve('a', 'ada'), approve('a', 'bob', { decision: 'Reject' as const })],
      'Failed',
    ],
    [
      'and a rejection by someone who may not',
      { groups: ['editors'] },
      [approve('a', 'eve', { decision: 'Reject' as const, groups: [] }), approve('a', 'ada')],
      'Succeeded',
    ],
  ])('%s', (_, approval, approvals, phase) => {
    const world = live(step(approval), {}, { spec: [{ at, approvals }] });
    expect(world.steps.get('a')?.phase).toBe(phase);
    expect(world.steps.get('b')?.phase).toBe(phase === 'Succeeded' ? 'Succeeded' : 'Skipped');
  });

  test('a rejection says who and why', () => {
    const approvals = [approve('a', 'ada', { decision: 'Reject', comment: 'not today' })];
    const world = live(step({}), {}, { spec: [{ at, approvals }] });
    expect(world.steps.get('a')?.error).toEqual({
      type: 'approval',
      message: 'rejected by ada: not today',
      retryable: false,
    });
  });

  test('given before the step waits counts once it does', () => {
    const steps: Steps = [
      { name: 'x', wait: { for: '1h' } },
      { name: 'a', needs: ['x'], approval: {} },
    ];
    const world = live(steps, {}, { spec: [{ at, approvals: [approve('a', 'ada')] }] });
    expect(world.steps.get('a')).toMatchObject({ phase: 'Succeeded', finishedAt: after(3_600_000) });
  });
});

describe('the end', () => {
  const steps: Steps = [{ name: 'a' }, { name: 'b', needs: ['a'] }, { name: 'w', wait: { for: '1h' } }];
  const last: Steps = [{ name: 'z', env: { WHY: '${{ run.outcome }}' } }];
  const why = (world: World) => {
    const start = world.actions.find(({ action }) => action.type === 'Start' && action.key.step === 'z')?.action;
    return start?.type === 'Start' && start.body.kind === 'run' ? start.body.env['WHY'] : undefined;
  };

  test('cancelling stops what runs, cancels the rest, and then runs finally', () => {
    const spec = [{ at: after(500), desired: 'Cancelled' as const }];
    const world = live({ steps, finally: last }, { a: [{ ...never, stopsAfterMs: 2000 }] }, { spec });
    expect(phases(world)).toEqual({
      a: 'Cancelled RunStopping',
      b: 'Cancelled RunStopping',
      w: 'Cancelled RunStopping',
      z: 'Succeeded',
    });
    expect(world.steps.get('z')?.startedAt).toBe(after(2500));
    expect(why(world)).toBe('Cancelled');
    expect(world.run).toMatchObject({ phase: 'Cancelled', outcome: 'Cancelled', error: { type: 'cancelled' } });
    expect(world.events.map((event) => event.reason)).toEqual(['RunStarted', 'RunCancelled']);
  });

  test('its end is told with the reason, once', () => {
    const cancelledFor = (reason?: string) =>
      live(
        [{ name: 'a' }],
        {},
        { spec: [{ at: after(500), desired: 'Cancelled' as const, ...(reason && { reason }) }] },
      ).events.at(-1)?.message;
    expect(cancelledFor('enough')).toMatch(/^run \S+ was cancelled: enough$/);
    expect(cancelledFor()).toMatch(/^run \S+ was cancelled$/);
  });

  test('a run over its timeout is TimedOut, and finally runs', () => {
    const world = live({ steps, finally: last, timeout: '10s' });
    expect(world.run).toMatchObject({ phase: 'TimedOut', error: { type: 'timeout' }, finishedAt: after(11_000) });
    expect(why(world)).toBe('TimedOut');
  });

  test('the first cause wins', () => {
    const spec = [{ at: after(12_000), desired: 'Cancelled' as const }];
    const slow = { a: [{ ...never, stopsAfterMs: 10_000 }] };
    expect(live({ steps, finally: last, timeout: '10s' }, slow, { spec }).run.phase).toBe('TimedOut');
  });

  test('failed runs run finally, whose failure() is true and which sees the error', () => {
    const finallySteps: Steps = [{ name: 'z', if: 'failure()', env: { WHY: '${{ run.error.message }}' } }];
    const world = live({ steps: [{ name: 'a' }], finally: finallySteps }, { a: [exit1] });
    expect(world.run.phase).toBe('Failed');
    expect(why(world)).toBe('step a: exit code 1');
    expect(live({ steps: [{ name: 'a' }], finally: finallySteps }).steps.get('z')?.phase).toBe('Skipped');
  });

  test('a finally that fails takes the success away, and no other end', () => {
    const good = live({ steps: [{ name: 'a' }], finally: last }, { z: [exit1] });
    expect(good.run).toMatchObject({
      phase: 'Failed',
      outcome: 'Succeeded',
      error: { message: 'step z: exit code 1' },
    });
    const bad = live({ steps: [{ name: 'a' }], finally: last }, { a: [exit1], z: [exit1] });
    expect(bad.run).toMatchObject({ phase: 'Failed', error: { message: 'step a: exit code 1' } });
  });

  test('finally has 30 minutes in all', () => {
    const world = live(
      {
        steps: [{ name: 'a' }],
        finally: [
          { name: 'z', timeout: '9h' },
          { name: 'y', needs: ['z'] },
        ],
      },
      { z: [never] },
    );
    expect(world.run).toMatchObject({
      phase: 'Failed',
      finishedAt: after(1000 + 30 * 60_000),
      error: { type: 'timeout' },
    });
    expect(phases(world)).toMatchObject({ z: 'Cancelled RunStopping', y: 'Cancelled RunStopping' });
  });

  test('outputs are evaluated when all went well; one that cannot be fails the run', () => {
    const run: Steps = [{ name: 'a', outputs: { rows: { type: 'integer' } } }];
    const written = { a: [{ outcome: 'Succeeded' as const, outputs: { text: 'rows=7\n' } }] };
    const world = live({ steps: run, outputs: { double: '${{ steps.a.outputs.rows * 2 }}' } }, written);
    expect(world.run).toMatchObject({ phase: 'Succeeded', outputs: { double: 14 } });
    const broken = live({ steps: run, outputs: { x: '${{ 1 / 0 }}' }, finally: last }, written);
    expect(broken.run).toMatchObject({ phase: 'Failed', outputs: null, error: { type: 'expression' } });
    expect(why(broken)).toBe('Failed');
  });
});

describe('paused', () => {
  const pause = (from: number, to: number) => [
    { at: after(from), desired: 'Paused' as const },
    { at: after(to), desired: 'Running' as const },
  ];

  test('nothing begins, what runs ends, waits go on', () => {
    const steps: Steps = [{ name: 'a' }, { name: 'b', needs: ['a'] }, { name: 'w', wait: { for: '2s' } }];
    const world = live(steps, {}, { spec: pause(500, 10_000) });
    expect(world.steps.get('a')?.finishedAt).toBe(after(1000));
    expect(world.steps.get('w')?.finishedAt).toBe(after(2000));
    expect(world.steps.get('b')?.startedAt).toBe(after(10_000));
  });

  test('the clock of the run stands once nothing runs', () => {
    const steps: Steps = [{ name: 'a' }, { name: 'b', needs: ['a'] }];
    const slow = { b: [never] };
    const world = live({ steps, timeout: '5s' }, slow, { spec: pause(500, 100_000) });
    expect(world.run).toMatchObject({ phase: 'TimedOut', stoodMs: 99_000, finishedAt: after(104_000) });
  });

  test('the clock of the run stands while it waits for approvals only', () => {
    const spec = [{ at: after(3_600_000), approvals: [approve('a', 'ada')] }];
    const only: Steps = [
      { name: 'a', approval: {} },
      { name: 'b', needs: ['a'] },
    ];
    expect(live({ steps: only, timeout: '10s' }, {}, { spec }).run).toMatchObject({
      phase: 'Succeeded',
      stoodMs: 3_600_000,
    });
    const beside: Steps = [...only, { name: 'w', wait: { for: '1m' } }];
    expect(live({ steps: beside, timeout: '10s' }, {}, { spec }).run.phase).toBe('TimedOut');
  });

  test('a paused run does not go on to finally', () => {
    const world = live({ steps: [{ name: 'a' }], finally: [{ name: 'z' }] }, {}, { spec: pause(500, 10_000) });
    expect(world.run).toMatchObject({ phase: 'Succeeded', finalizingAt: after(10_000) });
  });
});

test('a run that the store ended stops what still runs of it, once', () => {
  const plan = planOf({ steps: [{ name: 'a' }] });
  const run = { ...queuedRun(plan), phase: 'Failed' as const, outcome: 'Failed' as const, finishedAt: createdAt };
  const world = runWorld(plan, queuedRun(plan));
  const [step] = [...world.steps.values()];
  const [attempt] = [...world.attempts.values()];
  if (!step || !attempt) throw new Error('nothing was begun');
  const stopping = { ...attempt, phase: 'Stopping' as const, stopReason: 'cancelled' as const, finishedAt: null };
  const state = hydrate(plan, { run, steps: [{ ...step, phase: 'Cancelled' }], attempts: [stopping] });
  const first = decideRun(plan, state, [], createdAt);
  expect(first).toMatchObject({ transition: null, wakeAt: null, actions: [{ type: 'Stop', key: { step: 'a' } }] });
  expect(decideRun(plan, first.state, [], createdAt).actions).toEqual([]);
});

test('an attempt keeps the image that ran, however it ended', () => {
  const failed = { ...exit1, imageId: 'busybox@sha256:aa' };
  const world = live([{ name: 'a', retry: { limit: 1 } }], {
    a: [failed, { ...good, imageId: 'busybox@sha256:\0bb' }],
  });
  expect(world.attempts.get('a/1')).toMatchObject({ phase: 'Failed', imageId: 'busybox@sha256:aa' });
  expect(world.attempts.get('a/2')).toMatchObject({ phase: 'Succeeded', imageId: 'busybox@sha256:\uFFFDbb' });
  expect(live([{ name: 'a' }]).attempts.get('a/1')?.imageId).toBeNull();
});

test('a log that may show Secrets is remembered with the run, once', () => {
  const plan = planOf({ steps: [{ name: 'a' }, { name: 'b' }] });
  const state = hydrate(plan, { run: queuedRun(plan), steps: [], attempts: [] });
  decideRun(plan, state, [], after(0));
  const seen = (step: string): RunObservation => ({ type: 'LogUnmasked', step, secrets: ['one', 'two'] });
  const first = decideRun(plan, state, [seen('a')], after(1));
  expect(first.transition?.run.logsUnmasked).toMatch(/^the log of step a may show .*: one, two$/);
  expect(decideRun(plan, first.state, [seen('b'), seen('a')], after(2)).transition).toBeNull();
});

describe('observations that mean nothing any more', () => {
  const ended = (step: string, attempt: number): RunObservation => ({
    type: 'AttemptEnded',
    step,
    item: wholeStep,
    attempt,
    at: after(1),
    result: good,
  });
  const plan = planOf({ steps: [{ name: 'a', retry: { limit: 3 } }] });

  test.each([
    ['an unknown step', ended('nobody', 1)],
    ['an attempt that has not begun', ended('a', 2)],
    ['an attempt of the past', ended('a', 0)],
  ])('%s', (_, observation) => {
    const state = hydrate(plan, { run: queuedRun(plan), steps: [], attempts: [] });
    decideRun(plan, state, [], after(0));
    expect(decideRun(plan, state, [observation], after(2))).toMatchObject({ transition: null, actions: [] });
  });

  test('anything, once the run has ended', () => {
    const world = runWorld(plan, queuedRun(plan));
    expect(isFinished(world.run.phase)).toBe(true);
    const cancelled: RunObservation = {
      type: 'SpecObserved',
      desired: 'Cancelled',
      reason: null,
      force: false,
      approvals: [],
    };
    const decided = decideRun(plan, hydrate(plan, world.rows()), [ended('a', 1), cancelled], after(1e9));
    expect(decided).toMatchObject({ transition: null, actions: [], wakeAt: null });
  });
});
