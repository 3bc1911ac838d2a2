import { describe, expect, test } from 'vitest';
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
