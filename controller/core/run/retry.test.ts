import { describe, expect, test } from 'vitest';
import { begun, exit1, fates, type Fates, phases, type Spec, yielding } from '../../../test/fixtures/lives.ts';
import { planOf, queuedRun } from '../../../test/fixtures/plans.ts';
import { runWorld, type World, type WorldOptions } from '../../../test/fixtures/world.ts';
import { planReplay, replayRows } from './replay.ts';
import { planRetry, reopenRun, type RetryOptions, type RetryPlan } from './retry.ts';
import { type StepRow, wholeStep } from './types.ts';
import { reasons } from './units.ts';

const chain: Spec = {
  steps: [{ name: 'a' }, { name: 'b', needs: ['a'] }, { name: 'c', needs: ['b'] }, { name: 'd' }],
  finally: [{ name: 'z' }],
};
const all = { from: null, onlyFailed: false };

/** Lives through a run, and goes on with it. */
function goOn(spec: Spec, first: Fates, options: RetryOptions, second: Fates = {}, more: WorldOptions = {}) {
  const plan = planOf(spec);
  const before = runWorld(plan, queuedRun(plan), { fate: fates(first) });
  const planned = planRetry(plan, before.rows(), options);
  const reopened = reopenRun(plan, before.rows(), options, before.endedAt);
  if (!planned.ok || !reopened.ok) throw new Error('cannot go on');
  const { run, steps } = reopened.transition;
  const rows = new Map([...before.steps, ...steps.map((row) => [idOf(row), row] as const)]);
  const world = runWorld(
    plan,
    { ...run, createdAt: before.endedAt },
    { ...more, rows: [...rows.values()], fate: fates(second) },
  );
  return {
    before,
    world,
    plan: Object.fromEntries(planned.units.map((unit) => [idOf(unit), `${unit.action}: ${unit.why}`])),
  };
}

function idOf({ step, item }: { step: string; item: number }): string {
  return item < 0 ? step : `${step}[${item}]`;
}

const units = (world: World) => begun(world).map((line) => line.split(' ').slice(0, 2).join(' '));

describe('a retry', () => {
  test('runs what did not succeed and what comes after it, and keeps the rest', () => {
    const { world, plan } = goOn(chain, { b: [exit1] }, all);
    expect(plan).toEqual({
      a: 'reuse: succeeded',
      b: 'run: failed',
      c: 'run: was skipped because of a need',
      d: 'reuse: succeeded',
      z: 'run: finally runs at every end',
    });
    expect(units(world)).toEqual(['b main', 'c main', 'z main']);
    expect(world.run).toMatchObject({ phase: 'Succeeded', execution: 2, error: null });
    expect(world.steps.get('b')?.attempts).toBe(2);
  });

  test('from a step runs it again though it succeeded, and all after it', () => {
    const { world, plan } = goOn(chain, { d: [exit1] }, { from: 'b', onlyFailed: false });
    expect(plan).toMatchObject({
      a: 'reuse: succeeded',
      b: 'run: the retry is from here',
      c: 'run: comes after b',
      d: 'skip: failed, and is not after b',
    });
    expect(units(world)).toEqual(['b main', 'c main', 'z main']);
    expect(world.run.phase).toBe('Failed');
  });

  test('with onlyFailed keeps what succeeded after a failure', () => {
    const spec: Spec = {
      steps: [
        { name: 'a', criticality: 'low' },
        { name: 'b', needs: ['a'] },
      ],
    };
    expect(units(goOn(spec, { a: [exit1] }, all).world)).toEqual(['a main', 'b main']);
    const { world, plan } = goOn(spec, { a: [exit1] }, { from: null, onlyFailed: true });
    expect(plan).toEqual({ a: 'run: failed', b: 'reuse: succeeded' });
    expect(units(world)).toEqual(['a main']);
    expect(world.run.phase).toBe('Succeeded');
  });

  test('runs the failed items of a forEach alone, unless what it needs runs again', () => {
    const spec: Spec = {
      steps: [
        { name: 'a', forEach: { items: ['x', 'y', 'z'], failFast: false }, outputs: { n: { type: 'integer' } } },
        { name: 'b', needs: ['a'] },
      ],
      outputs: { all: '${{ steps.a.outputs }}' },
    };
    const n = (value: number) => [yielding({ text: `n=${value}` })];
    const first = { 'a[0]': n(0), 'a[1]': [exit1], 'a[2]': n(2) };
    const { world, plan } = goOn(spec, first, all, { a: n(9) });
    expect(plan).toMatchObject({ a: 'run: failed', 'a[0]': 'reuse: succeeded', 'a[1]': 'run: failed' });
    expect(units(world)).toEqual(['a[1] main', 'b main']);
    expect(world.run).toMatchObject({ phase: 'Succeeded', outputs: { all: [{ n: 0 }, { n: 9 }, { n: 2 }] } });
    expect(units(goOn(spec, first, { from: null, onlyFailed: true }).world)).toEqual(['a[1] main', 'b main']);
    expect(units(goOn(spec, first, { from: 'a', onlyFailed: false }).world)).toEqual([
      'a[0] main',
      'a[1] main',
      'a[2] main',
      'b main',
    ]);
  });

  test('runs again what was undone', () => {
    const spec: Spec = {
      steps: [
        { name: 'a', compensate: { run: 'undo' } },
        { name: 'b', needs: ['a'] },
      ],
    };
    const { world, plan } = goOn(spec, { b: [exit1] }, { from: null, onlyFailed: true });
    expect(plan).toMatchObject({ a: 'run: was undone' });
    expect(phases(world)).toEqual({ a: 'Succeeded', b: 'Succeeded' });
    expect(world.begun.map(({ key }) => key.attempt)).toEqual([3, 2]);
  });

  test('a step that its `if` skipped stays skipped', () => {
    const { plan } = goOn({ steps: [{ name: 'a', if: 'false' }, { name: 'b' }] }, { b: [exit1] }, all);
    expect(plan).toEqual({ a: 'skip: its `if` was false', b: 'run: failed' });
  });

  test.each([
    [{ from: 'nobody', onlyFailed: false }, 'test has no step nobody'],
    [{ from: 'z', onlyFailed: false }, 'step z is of finally, which always runs again'],
    [all, 'nothing of run test-1 failed'],
  ])('is refused: %j', (options, problem) => {
    const plan = planOf(chain);
    const world = runWorld(plan, queuedRun(plan));
    expect(planRetry(plan, world.rows(), options)).toEqual({ ok: false, problem });
    expect(reopenRun(plan, world.rows(), options, 0)).toEqual({ ok: false, problem });
  });

  test('is refused for a run that has not ended', () => {
    const plan = planOf(chain);
    const rows = { run: queuedRun(plan), steps: [], attempts: [] };
    expect(planRetry(plan, rows, all)).toMatchObject({ ok: false, problem: 'run test-1 has not ended' });
  });
});

describe('a replay', () => {
  const spec: Spec = {
    steps: [
      { name: 'a', outputs: { n: { type: 'integer' } }, compensate: { run: 'undo' } },
      { name: 'b', needs: ['a'], env: { N: '${{ steps.a.outputs.n }}' } },
    ],
  };
  const plan = planOf(spec);
  const recorded = runWorld(plan, queuedRun(plan), { fate: fates({ a: [yielding({ text: 'n=7' })] }) });

  test('from a step takes the outputs of those before it, and undoes none of them', () => {
    const replayed = replayRows(plan, recorded.rows(), { runId: 'new', from: 'b' }, recorded.endedAt);
    if (!replayed.ok) throw new Error(replayed.problem);
    const run = queuedRun(plan, { id: 'new', createdAt: recorded.endedAt });
    const world = runWorld(plan, run, { rows: replayed.steps, fate: fates({ b: [exit1] }) });
    expect(phases(world)).toEqual({ a: 'Succeeded Reused', b: 'Failed' });
    expect(world.begun.map(({ action }) => action.body.kind === 'run' && action.body.env)).toEqual([{ N: '7' }]);
  });

  test('without one runs every step', () => {
    expect(replayRows(plan, recorded.rows(), { runId: 'new', from: null }, 0)).toEqual({ ok: true, steps: [] });
  });

  test('says which steps run, and why', () => {
    const next = planOf({
      steps: [...spec.steps, { name: 'c' }, { name: 'd', needs: ['b'] }],
      finally: [{ name: 'z' }],
    });
    const planned = planReplay(next, recorded.rows(), { from: 'b' });
    expect(planned.ok && planned.units.map(({ step, action, why }) => `${step} ${action}: ${why}`)).toEqual([
      'a reuse: succeeded there',
      'b run: the replay is from here',
      'c run: is not in the recorded run',
      'd run: comes after b',
      'z run: finally runs at every end',
    ]);
    expect(planReplay(next, recorded.rows(), { from: 'x' })).toEqual({ ok: false, problem: 'test has no step x' });
  });
});

describe('what succeeded, and was undone or half undone when the run ended,', () => {
  const spec: Spec = {
    steps: [
      { name: 'a', compensate: { run: 'undo' } },
      { name: 'each', forEach: { items: ['x', 'y'] }, compensate: { run: 'undo' } },
      { name: 'b', needs: ['a', 'each'] },
    ],
  };
  const plan = planOf(spec);
  const ended = runWorld(plan, queuedRun(plan), { fate: fates({}) }).rows();
  const run = { ...ended.run, phase: 'Failed' as const };

  test.each<[Partial<StepRow>, string | null]>([
    [{}, null],
    [{ reason: reasons.reused }, null],
    [{ phase: 'Compensated', via: 'compensate' }, 'was undone'],
    [{ reason: reasons.compensating, via: 'compensate' }, 'was undone in part'],
    [{ reason: reasons.compensationLocks, via: 'compensate' }, 'was undone in part'],
    [{ reason: reasons.compensationFailed, via: 'compensate' }, 'was undone in part'],
  ])('stands or runs again, in a retry and in a replay alike: %j', (more, why) => {
    for (const [step, item] of [
      ['a', wholeStep],
      ['each', 1],
    ] as const) {
      const steps = ended.steps.map((row) => (row.step === step && row.item === item ? { ...row, ...more } : row));
      const of = (planned: RetryPlan) => planned.ok && planned.units.find((unit) => unit.step === step);
      const retried = of(planRetry(plan, { ...ended, run, steps }, all));
      const replayed = of(planReplay(plan, { ...ended, run, steps }, { from: 'b' }));
      expect([retried, replayed]).toMatchObject(
        why === null ? [{ action: 'reuse' }, { action: 'reuse' }] : [{ action: 'run', why }, { action: 'run' }],
      );
      const taken = replayRows(plan, { ...ended, run, steps }, { from: 'b', runId: 'new' }, 0);
      expect(taken.ok && taken.steps.some((row) => row.step === step)).toBe(why === null);
    }
  });
});

test.each<[string, WorldOptions]>([
  ['', {}],
  [', whoever takes over', { crash: (decision) => (decision % 2 === 0 ? 'afterActions' : 'no') }],
])('failure() sees what fails again before a need that was kept%s', (_, more) => {
  const spec: Spec = {
    steps: [
      { name: 'a' },
      { name: 'kept', needs: ['a'], if: 'always()' },
      { name: 'd' },
      { name: 'alarm', needs: ['kept', 'd'], if: 'failure()' },
    ],
  };
  const first = { a: [exit1], d: [exit1], alarm: [exit1] };
  const slow = { afterMs: 3000, result: yielding({ values: {} }) };
  const { world } = goOn(spec, first, { from: null, onlyFailed: true }, { a: [exit1], d: [slow] }, more);
  expect(phases(world)).toEqual({ a: 'Failed', kept: 'Succeeded', d: 'Succeeded', alarm: 'Succeeded' });
});
