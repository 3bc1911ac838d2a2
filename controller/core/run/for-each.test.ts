import { describe, expect, test } from 'vitest';
import { after, approve, begun, exit1, live, lost, phases, yielding } from '../../../test/fixtures/lives.ts';
import { createdAt, planOf, queuedRun } from '../../../test/fixtures/plans.ts';
import { runWorld } from '../../../test/fixtures/world.ts';
import { decideRun } from './decide.ts';
import { hydrate } from './hydrate.ts';
import { projectRunStatus } from './project.ts';
import type { RunAction, RunObservation } from './types.ts';

const items = (n: number) => Array.from({ length: n }, (_, i) => i);
const number = { outputs: { n: { type: 'integer' } } };
const n = (value: number) => yielding({ text: `n=${value}\n` });

describe('forEach', () => {
  test('runs each item with its value and place, and yields a list in their order', () => {
    const world = live(
      {
        steps: [
          {
            name: 'a',
            forEach: { items: ['x', 'y'], as: 'shop' },
            env: { SHOP: '${{ shop }}', AT: '${{ index }}' },
            ...number,
          },
        ],
        outputs: { all: '${{ steps.a.outputs }}' },
      },
      { 'a[0]': [{ afterMs: 5000, result: n(10) }], 'a[1]': [n(11)] },
    );
    const envs = world.begun.map(({ action }) => action.body.kind === 'run' && action.body.env);
    expect(envs).toEqual([
      { SHOP: 'x', AT: '0' },
      { SHOP: 'y', AT: '1' },
    ]);
    expect(world.run).toMatchObject({ phase: 'Succeeded', outputs: { all: [{ n: 10 }, { n: 11 }] } });
    expect(world.steps.get('a')).toMatchObject({
      phase: 'Succeeded',
      items: 2,
      outputs: null,
      finishedAt: after(5000),
    });
    expect(world.steps.get('a[1]')).toMatchObject({ item: 1, label: 'y', outputs: { n: 11 } });
  });

  test('of an empty list succeeds at once', () => {
    const world = live({ steps: [{ name: 'a', forEach: { items: [] } }], outputs: { all: '${{ steps.a.outputs }}' } });
    expect(world.run).toMatchObject({ phase: 'Succeeded', outputs: { all: [] } });
    expect(world.begun).toEqual([]);
  });

  test.each([
    ['${{ 1 / 0 }}', 'expression'],
    ['${{ "text" }}', 'expression'],
  ])('of %s fails without an attempt', (written, type) => {
    const world = live([{ name: 'a', forEach: { items: written } }]);
    expect(world.steps.get('a')).toMatchObject({ phase: 'Failed', error: { type } });
    expect(world.begun).toEqual([]);
  });

  test('begins as many items as its parallelism allows, in their order', () => {
    const world = live([{ name: 'a', forEach: { items: items(5), parallelism: 2 } }]);
    expect(begun(world)).toEqual(['a[0] main 0', 'a[1] main 0', 'a[2] main 1000', 'a[3] main 1000', 'a[4] main 2000']);
  });

  test('the first item that fails stops the others, and those that never began have no row', () => {
    const steps = [
      { name: 'a', forEach: { items: items(4), parallelism: 2 } },
      { name: 'b', needs: ['a'] },
    ];
    const world = live(steps, { 'a[1]': [{ afterMs: 500, result: exit1 }] });
    expect(phases(world)).toEqual({
      a: 'Failed',
      'a[0]': 'Cancelled ItemFailed',
      'a[1]': 'Failed',
      b: 'Skipped NeedNotMet',
    });
    expect(world.run.error).toMatchObject({ type: 'exit', message: 'step a: item 1: exit code 1' });
  });

  test('with failFast false all run, and the step says how many failed', () => {
    const world = live(
      [
        { name: 'a', forEach: { items: items(4), failFast: false }, ...number },
        { name: 'b', if: 'always()', env: { ALL: '${{ steps.a.outputs.size() }}' }, needs: ['a'] },
      ],
      { a: [n(1)], 'a[1]': [exit1], 'a[3]': [exit1] },
    );
    expect(world.steps.get('a')?.error?.message).toBe('2 of 4 items failed; the first, item 1: exit code 1');
    expect(phases(world)).toMatchObject({ a: 'Failed', 'a[0]': 'Succeeded', 'a[3]': 'Failed', b: 'Succeeded' });
    const last = world.begun.at(-1)?.action.body;
    expect(last?.kind === 'run' && last.env).toEqual({ ALL: '4' });
  });

  test('an item is retried, and falls back, alone', () => {
    const retry = { limit: 1, backoff: { initial: '1s', jitter: 0 } };
    const world = live([{ name: 'a', forEach: { items: items(2) }, retry, fallback: [{ run: 'other' }] }], {
      'a[0]': [exit1],
      'a[1]': [lost],
    });
    expect(world.steps.get('a[0]')).toMatchObject({ phase: 'Succeeded', via: 'fallback[0]', attempts: 3 });
    expect(world.run.phase).toBe('Degraded');
  });

  test('has one deadline for all items', () => {
    const steps = [{ name: 'a', deadline: '2500ms', forEach: { items: items(9), parallelism: 1 } }];
    const world = live(steps);
    expect(phases(world)).toEqual({
      a: 'TimedOut',
      'a[0]': 'Succeeded',
      'a[1]': 'Succeeded',
      'a[2]': 'Cancelled Deadline',
    });
  });

  test('one approval counts for all items', () => {
    const spec = [{ at: after(5000), approvals: [approve('a', 'ada')] }];
    const world = live(
      { steps: [{ name: 'a', forEach: { items: items(3) }, approval: {} }], timeout: '1s' },
      {},
      { spec },
    );
    expect(phases(world)).toEqual({ a: 'Succeeded', 'a[0]': 'Succeeded', 'a[1]': 'Succeeded', 'a[2]': 'Succeeded' });
    expect(world.run.stoodMs).toBe(5000);
  });

  test('cancelling stops the items that run', () => {
    const spec = [{ at: after(500), desired: 'Cancelled' as const }];
    const world = live([{ name: 'a', forEach: { items: items(3), parallelism: 1 } }], {}, { spec });
    expect(phases(world)).toEqual({ a: 'Cancelled RunStopping', 'a[0]': 'Cancelled RunStopping' });
  });
});

describe('until', () => {
  test('repeats until the condition holds, which reads the outputs of this time', () => {
    const until = { condition: 'steps.a.outputs.n > 2', limit: 5, interval: '10s' };
    const world = live([{ name: 'a', ...number, until }], { a: [n(1), n(2), n(3)] });
    expect(begun(world)).toEqual(['a main 0', 'a main 11000', 'a main 22000']);
    expect(world.steps.get('a')).toMatchObject({ phase: 'Succeeded', iteration: 3, attempts: 3, outputs: { n: 3 } });
    expect(new Set(world.begun.map(({ action }) => action.effect)).size).toBe(3);
  });

  test('fails after its limit', () => {
    const world = live([{ name: 'a', until: { condition: 'false', limit: 3 } }]);
    expect(world.steps.get('a')).toMatchObject({ phase: 'Failed', attempts: 3, error: { type: 'until' } });
  });

  test('retries within a repetition; the next has all of its retries again', () => {
    const retry = { limit: 1, backoff: { initial: '1s', jitter: 0 } };
    const until = { condition: 'steps.a.outputs.n > 1', limit: 3 };
    const world = live([{ name: 'a', ...number, retry, until }], { a: [exit1, n(1), exit1, n(2)] });
    expect(world.steps.get('a')).toMatchObject({ phase: 'Succeeded', attempts: 4, bodyAttempts: 2, iteration: 2 });
  });

  test('of steps that are decided at once needs no stack', () => {
    const until = { condition: 'false', limit: 10_000 };
    const world = live([{ name: 'a', decide: { cases: [{ then: { n: 1 } }] }, until }]);
    expect(world.steps.get('a')).toMatchObject({ phase: 'Failed', iteration: 10_000 });
    expect(world.decisions).toBe(1);
  });

  test('each item sees its own outputs', () => {
    const until = { condition: 'steps.a.outputs.n > index', limit: 5 };
    const world = live([{ name: 'a', forEach: { items: items(2) }, ...number, until }], {
      a: [n(1), n(2)],
    });
    expect([world.steps.get('a[0]')?.iteration, world.steps.get('a[1]')?.iteration]).toEqual([1, 2]);
  });
});

describe('parallelism of a workflow', () => {
  test('counts attempts of steps and items, and holds back no wait', () => {
    const world = live({
      parallelism: 2,
      steps: [
        { name: 'a', forEach: { items: items(3) } },
        { name: 'b' },
        { name: 'w', wait: { for: '1s' } },
        { name: 'c', workflow: { name: 'child' } },
      ],
    });
    expect(begun(world)).toEqual(['a[0] main 0', 'a[1] main 0', 'c main 0', 'a[2] main 1000', 'b main 1000']);
    expect(world.steps.get('w')?.startedAt).toBe(createdAt);
  });
});

describe('10,000 items', () => {
  const plan = planOf({ steps: [{ name: 'a', forEach: { range: { to: 10_000 } }, template: { text: 'x' } }] });

  function end(action: RunAction, at: number): RunObservation {
    if (action.type !== 'Start') throw new Error('nothing else is expected');
    const { step, item, attempt } = action.key;
    return { type: 'AttemptEnded', step, item, attempt, at, result: yielding({ values: { text: 'x' } }) };
  }

  test('cost no more each than 100 do, one observation at a time; the status stays small', () => {
    const cost = (total: number) => {
      const small = planOf({ steps: [{ name: 'a', forEach: { range: { to: total } }, template: { text: 'x' } }] });
      let { state, actions } = decideRun(
        small,
        hydrate(small, { run: queuedRun(small), steps: [], attempts: [] }),
        [],
        createdAt,
      );
      const starts = actions;
      const before = process.cpuUsage();
      for (const [i, start] of starts.entries()) {
        ({ state, actions } = decideRun(small, state, [end(start, createdAt + i)], createdAt + i));
      }
      const { user, system } = process.cpuUsage(before);
      expect(state.run.phase).toBe('Succeeded');
      expect(JSON.stringify(projectRunStatus(state, 1, undefined, createdAt)).length).toBeLessThan(10_000);
      return (user + system) / total;
    };
    cost(10_000);
    const many = Math.min(cost(10_000), cost(10_000));
    // Were each as dear as the run is large, this would be 100 times.
    expect(many / Math.min(cost(1000), cost(1000))).toBeLessThan(5);
  });

  test('hydrate in the middle, and end', () => {
    let crashed = false;
    const world = runWorld(plan, queuedRun(plan), {
      fate: () => ({ afterMs: 1000, result: yielding({ values: { text: 'x' } }) }),
      crash: () => {
        if (crashed) return 'no';
        crashed = true;
        return 'beforeActions';
      },
    });
    expect(world.run.phase).toBe('Succeeded');
    expect(world.begun.length).toBe(10_000);
  });

  test('one more is refused', () => {
    const world = live([{ name: 'a', forEach: { range: { to: 10_001 } } }]);
    expect(world.steps.get('a')?.error?.message).toBe('forEach has 10001 items; at most 10000');
  });
});
