import { describe, expect, test } from 'vitest';
import type { LockFate } from '../../../test/fixtures/world-locks.ts';
import type { World } from '../../../test/fixtures/world.ts';
import { after, begun, exit1, good, live, never, phases, type Steps, yielding } from '../../../test/fixtures/lives.ts';

const undo = { run: 'undo' };
const steps: Steps = [
  { name: 'a', compensate: undo },
  { name: 'b', needs: ['a'], compensate: undo },
  { name: 'c', needs: ['b'] },
];
const z = { name: 'z', env: { WHY: '${{ run.outcome }}' } };

describe('compensation', () => {
  test('undoes what succeeded, the last that ended first, one by one, before finally', () => {
    const world = live({ steps, finally: [z] }, { c: [exit1] });
    expect(begun(world)).toEqual([
      'a main 0',
      'b main 1000',
      'c main 2000',
      'b compensate 3000',
      'a compensate 4000',
      'z main 5000',
    ]);
    expect(phases(world)).toEqual({ a: 'Compensated', b: 'Compensated', c: 'Failed', z: 'Succeeded' });
    expect(world.steps.get('a')).toMatchObject({ attempts: 2, finishedAt: after(1000) });
    expect(world.run).toMatchObject({ phase: 'Failed', compensatingAt: after(3000), finalizingAt: after(5000) });
  });

  test.each([
    ['Succeeded', {}, {}],
    ['Degraded', {}, { criticality: 'low' as const }],
  ])('is not for a run that %s', (phase, _, change) => {
    const world = live(
      [...steps.slice(0, 2), { name: 'c', needs: ['b'], ...change }],
      phase === 'Degraded' ? { c: [exit1] } : {},
    );
    expect(world.run.phase).toBe(phase);
    expect(world.begun.some(({ action }) => action.effect.startsWith('compensate'))).toBe(false);
  });

  test('also follows a cancel and a timeout', () => {
    const spec = [{ at: after(2500), desired: 'Cancelled' as const }];
    expect(phases(live(steps, {}, { spec }))).toMatchObject({ a: 'Compensated', b: 'Compensated' });
    const late = live({ steps, timeout: '5s' }, { c: [never] });
    expect(late.run.phase).toBe('TimedOut');
    expect(phases(late)).toMatchObject({ a: 'Compensated', b: 'Compensated' });
  });

  test('is retried; one that fails for good stays as it is, and the rest goes on', () => {
    const retry = { limit: 1, backoff: { initial: '1s', jitter: 0 } };
    const retried: Steps = [
      steps[0] as never,
      { name: 'b', needs: ['a'], compensate: { ...undo, retry } },
      steps[2] as never,
    ];
    const world = live(retried, { c: [exit1], 'b compensate': [exit1] });
    expect(phases(world)).toEqual({ a: 'Compensated', b: 'Succeeded CompensationFailed', c: 'Failed' });
    expect(world.steps.get('b')).toMatchObject({ via: 'compensate', attempts: 3, error: { message: 'exit code 1' } });
  });

  test('sees the outputs of its own step, of an item its own', () => {
    const world = live(
      [
        {
          name: 'a',
          forEach: { items: ['x', 'y'] },
          outputs: { url: { type: 'string' } },
          compensate: { http: { url: 'http://h/${{ steps.a.outputs.url }}/${{ item }}' } },
        },
        { name: 'c', needs: ['a'] },
      ],
      { 'a[0]': [yielding({ text: 'url=0' })], 'a[1]': [yielding({ text: 'url=1' })], c: [exit1] },
    );
    const urls = world.begun.flatMap(({ action }) => (action.body.kind === 'http' ? [action.body.url] : []));
    expect(urls).toEqual(['http://h/1/y', 'http://h/0/x']);
    expect(phases(world)).toMatchObject({ a: 'Succeeded', 'a[0]': 'Compensated', 'a[1]': 'Compensated' });
  });

  test('has 30 minutes in all', () => {
    const world = live({ steps, finally: [z] }, { c: [exit1], 'b compensate': [{ ...never, stopsAfterMs: 100 }] });
    expect(world.run.finalizingAt).toBe(after(3000 + 30 * 60_000 + 100));
    expect(phases(world)).toMatchObject({ a: 'Succeeded', b: 'Succeeded CompensationFailed', z: 'Succeeded' });
  });

  test('begins nothing while paused', () => {
    const spec = [
      { at: after(2500), desired: 'Paused' as const },
      { at: after(60_000), desired: 'Running' as const },
    ];
    const world = live(steps, { c: [exit1] }, { spec });
    expect(begun(world).slice(3)).toEqual(['b compensate 60000', 'a compensate 61000']);
  });
});

describe('a compensation holds what its step does', () => {
  const locks = [{ name: 'db' }];
  const one = {
    name: 'a',
    locks,
    compensate: { run: 'undo', retry: { limit: 1, backoff: { initial: '1s', jitter: 0 } } },
  };
  const failing: Steps = [one, { name: 'c', needs: ['a'] }];
  const asked = (world: World) =>
    world.actions.flatMap(({ at, action }) => {
      if (action.type === 'Acquire')
        return [`Acquire ${JSON.stringify(action.request)} since ${action.since - after(0)}`];
      return action.type === 'Release' ? [`Release ${at - after(0)}`] : [];
    });
  /** As the step is asked for at once, and its compensation then. */
  const later =
    (fate: ReturnType<LockFate>): LockFate =>
    (_, asked) =>
      asked > 0 ? fate : { afterMs: 0 };

  test('asked for when its turn comes, kept over its retries, let go when it has ended', () => {
    const world = live(failing, { c: [exit1], 'a compensate': [exit1, good] }, { lockFate: later({ afterMs: 5000 }) });
    expect(begun(world)).toEqual(['a main 0', 'c main 1000', 'a compensate 7000', 'a compensate 9000']);
    const request = '{"locks":[{"name":"db","limit":1}],"group":null,"slot":false}';
    expect(asked(world)).toEqual([
      `Acquire ${request} since 0`,
      'Release 1000',
      `Acquire ${request} since 2000`,
      'Release 10000',
    ]);
    expect(phases(world)).toMatchObject({ a: 'Compensated' });
  });

  test('until then its step says that it waits', () => {
    const reasons = new Set<string>();
    live(
      failing,
      { c: [exit1] },
      {
        lockFate: later({ afterMs: 5000 }),
        onDecision: ({ world }) => reasons.add(`${world.steps.get('a')?.phase} ${world.steps.get('a')?.reason}`),
      },
    );
    expect([...reasons]).toContain('Succeeded CompensationWaitingForLocks');
  });

  test('one of the running steps of the namespace, if it is of a kind that is one', () => {
    const steps: Steps = [
      { name: 'a', run: 'true', compensate: { workflow: { name: 'undo' } } },
      { name: 'b', needs: ['a'], workflow: { name: 'do' }, compensate: { run: 'undo' } },
      { name: 'c', needs: ['b'], assert: [{ that: 'false' }] },
    ];
    const world = live(steps, { b: [good] }, { limitedSlots: true });
    expect(begun(world)).toEqual(['a main 0', 'b main 1000', 'b compensate 2000', 'a compensate 3000']);
    const slot = '{"locks":[],"group":null,"slot":true}';
    expect(asked(world)).toEqual([
      `Acquire ${slot} since 0`,
      'Release 1000',
      `Acquire ${slot} since 2000`,
      'Release 3000',
    ]);
  });

  test('refused, as it would wait for ever, it has failed and the rest goes on', () => {
    const steps: Steps = [
      { name: 'b', compensate: undo },
      { ...one, needs: ['b'] },
      { name: 'c', needs: ['a'] },
    ];
    const world = live(steps, { c: [exit1] }, { lockFate: later({ afterMs: 0, refused: true }) });
    expect(phases(world)).toMatchObject({ a: 'Succeeded CompensationFailed', b: 'Compensated' });
    expect(world.steps.get('a')).toMatchObject({ error: { type: 'lock' }, attempts: 1 });
    expect(asked(world).at(-1)).toBe('Release 3000');
  });

  test('waiting counts in the 30 minutes, and ends by force', () => {
    const options = { lockFate: later({ afterMs: 86_400_000 }) };
    const late = live({ steps: failing, finally: [z] }, { c: [exit1] }, options);
    expect(late.run.finalizingAt).toBe(after(2000 + 30 * 60_000));
    expect(phases(late)).toMatchObject({ a: 'Succeeded CompensationFailed', z: 'Succeeded' });
    const spec = [{ at: after(9000), desired: 'Cancelled' as const, force: true }];
    const forced = live(failing, { c: [exit1] }, { ...options, spec });
    expect(forced.run.finishedAt).toBe(after(9000));
    expect(asked(forced).at(-1)).toBe('Release 9000');
    expect(forced.steps.get('a')).toMatchObject({
      error: { type: 'cancelled', message: expect.stringContaining('by force') as string },
    });
  });

  test('granted to a paused run, it is kept', () => {
    const spec = [
      { at: after(3000), desired: 'Paused' as const },
      { at: after(60_000), desired: 'Running' as const },
    ];
    const world = live(failing, { c: [exit1] }, { lockFate: later({ afterMs: 5000 }), spec });
    expect(begun(world).slice(2)).toEqual(['a compensate 60000']);
  });
});

describe('force', () => {
  const cancel = (ms: number) => [{ at: after(ms), desired: 'Cancelled' as const, force: true }];

  test('neither compensates nor runs finally', () => {
    const world = live({ steps, finally: [z] }, {}, { spec: cancel(1500) });
    expect(begun(world)).toEqual(['a main 0', 'b main 1000']);
    expect(world.run).toMatchObject({ phase: 'Cancelled', forced: true, finishedAt: after(1500) });
    expect(phases(world)).toMatchObject({ a: 'Succeeded', z: 'Cancelled RunStopping' });
  });

  test('stops a compensation that is under way', () => {
    const slow = { c: [exit1], 'b compensate': [never] };
    const world = live({ steps, finally: [z] }, slow, { spec: cancel(9000) });
    expect(world.run).toMatchObject({ phase: 'Failed', finishedAt: after(9000) });
    expect(phases(world)).toMatchObject({
      a: 'Succeeded',
      b: 'Succeeded CompensationFailed',
      z: 'Cancelled RunStopping',
    });
  });

  test('stops finally that is under way: a run that had succeeded is Cancelled', () => {
    const world = live({ steps: [{ name: 'a' }], finally: [z] }, { z: [never] }, { spec: cancel(9000) });
    expect(world.run).toMatchObject({ phase: 'Cancelled', outcome: 'Succeeded', finishedAt: after(9000) });
  });

  test('ends a run that is paused', () => {
    const spec = [{ at: after(1500), desired: 'Paused' as const }, ...cancel(20_000)];
    const world = live({ steps, finally: [z] }, { b: [good] }, { spec });
    expect(world.run).toMatchObject({ phase: 'Cancelled', finishedAt: after(20_000) });
  });
});

test('once a critical step of finally has failed, what is stopped for it tries nothing more', () => {
  // It is done before it hears that it is to stop, with nothing that it could end with.
  const late = { afterMs: 1500, stopsAfterMs: 9000, result: yielding({ values: { undeclared: 1 } }) };
  const world = live(
    {
      steps: [{ name: 'a' }],
      finally: [
        { name: 'y', criticality: 'critical' },
        { name: 'z', fallback: [{ run: 'more' }] },
        { name: 'u', until: { condition: 'false', limit: 3 } },
      ],
    },
    { y: [exit1], z: [late], u: [{ ...late, result: good }] },
  );
  expect(begun(world)).toEqual(['a main 0', 'y main 1000', 'z main 1000', 'u main 1000']);
  expect(phases(world)).toMatchObject({ y: 'Failed', z: 'Cancelled RunStopping', u: 'Cancelled RunStopping' });
});
