import { describe, expect, test } from 'vitest';
import {
  after,
  begun,
  exit1,
  type Fates,
  good,
  live,
  never,
  phases,
  type Steps,
} from '../../../test/fixtures/lives.ts';

const retry = { limit: 1, backoff: { initial: '1s', jitter: 0 } };

describe('fallback', () => {
  test('is tried when the step has failed for good, with retries of its own; the run is Degraded', () => {
    const steps: Steps = [
      { name: 'a', retry, fallback: [{ run: 'b', retry }] },
      { name: 'b', needs: ['a'] },
    ];
    const world = live(steps, { a: [exit1], 'a fallback[0]': [exit1, good] });
    expect(begun(world)).toEqual([
      'a main 0',
      'a main 2000',
      'a fallback[0] 3000',
      'a fallback[0] 5000',
      'b main 6000',
    ]);
    expect(world.steps.get('a')).toMatchObject({
      phase: 'Succeeded',
      via: 'fallback[0]',
      attempts: 4,
      bodyAttempts: 2,
    });
    expect(world.run).toMatchObject({ phase: 'Degraded', outcome: 'Degraded', error: null });
  });

  test('one after the other; skip meets the need of others', () => {
    const steps: Steps = [
      { name: 'a', fallback: [{ template: { text: 'x' } }, { skip: true }] },
      { name: 'b', needs: ['a'] },
    ];
    const world = live(steps, { a: [exit1], 'a fallback[0]': [exit1] });
    expect(phases(world)).toEqual({ a: 'Skipped Fallback', b: 'Succeeded' });
    expect(world.run.phase).toBe('Degraded');
  });

  test('fail says why, and sees the error', () => {
    const world = live([{ name: 'a', fallback: [{ fail: 'no luck: ${{ error.type }}' }] }], { a: [exit1] });
    expect(world.steps.get('a')?.error).toEqual({ type: 'fallback', message: 'no luck: exit', retryable: false });
  });

  test('the last one that fails fails the step with its own error', () => {
    const error = { type: 'http', message: '500', retryable: false };
    const world = live([{ name: 'a', fallback: [{ run: 'b' }] }], {
      a: [exit1],
      'a fallback[0]': [{ outcome: 'Failed', error }],
    });
    expect(world.run).toMatchObject({ phase: 'Failed', error: { type: 'http', message: 'step a: 500' } });
  });

  test('none is tried after the deadline of the step, nor once the run is stopping', () => {
    const late = live([{ name: 'a', deadline: '2s', fallback: [{ run: 'b' }] }], { a: [never] });
    expect(phases(late)).toEqual({ a: 'TimedOut' });
    const spec = [{ at: after(500), desired: 'Cancelled' as const }];
    const stopped = live([{ name: 'a', fallback: [{ run: 'b' }] }], { a: [never] }, { spec });
    expect(begun(stopped)).toEqual(['a main 0']);
  });

  test('has its own timeout', () => {
    const world = live([{ name: 'a', timeout: '9s', fallback: [{ run: 'b', timeout: '2s' }] }], {
      a: [never],
      'a fallback[0]': [never],
    });
    expect(world.run.finishedAt).toBe(after(11_000));
  });

  test('follows a rejected approval and an assertion, too', () => {
    const world = live([{ name: 'a', assert: [{ that: 'false' }], fallback: [{ run: 'b' }] }]);
    expect(world.steps.get('a')).toMatchObject({ phase: 'Succeeded', via: 'fallback[0]' });
  });
});

describe('criticality: what a failed step does to the run', () => {
  const steps = (criticality: 'critical' | 'high' | 'medium' | 'low'): Steps => [
    { name: 'a', criticality, outputs: { n: { type: 'integer' } } },
    { name: 'b', needs: ['a'], env: { N: '${{ steps.a.outputs.n == null }}' } },
    { name: 'long' },
  ];
  const named: Fates = { a: [exit1], long: [{ afterMs: 9000, result: good }] };
  test.each([
    ['critical', 'Failed', { a: 'Failed', b: 'Cancelled RunStopping', long: 'Cancelled RunStopping' }, 1000],
    ['high', 'Failed', { a: 'Failed', b: 'Skipped NeedNotMet', long: 'Succeeded' }, 9000],
    ['medium', 'Degraded', { a: 'Failed', b: 'Skipped NeedNotMet', long: 'Succeeded' }, 9000],
    ['low', 'Degraded', { a: 'Failed', b: 'Succeeded', long: 'Succeeded' }, 9000],
  ] as const)('%s: the run is %s', (criticality, phase, expected, ms) => {
    const world = live(steps(criticality), named);
    expect(phases(world)).toEqual(expected);
    expect(world.run).toMatchObject({ phase, finishedAt: after(ms) });
  });

  test('of finally', () => {
    const last = (criticality: 'high' | 'medium') => ({
      steps: [{ name: 'a' }],
      finally: [{ name: 'z', criticality }],
    });
    expect(live(last('high'), { z: [exit1] }).run.phase).toBe('Failed');
    expect(live(last('medium'), { z: [exit1] }).run).toMatchObject({ phase: 'Degraded', outcome: 'Succeeded' });
  });

  test('failure() sees a low one', () => {
    const world = live([...steps('low').slice(0, 1), { name: 'c', needs: ['a'], if: 'failure()' }], named);
    expect(world.steps.get('c')?.phase).toBe('Succeeded');
  });
});
