import { expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { createAttemptSweeps } from './attempt-sweeps.ts';

const minute = 60_000;

test('the leader sweeps again and again while it runs, a failure notwithstanding', async () => {
  const clock = createVirtualClock();
  let leads = true;
  let fails = true;
  let swept = 0;
  const sweeps = createAttemptSweeps({
    store: { isLeader: () => leads, runs: { openAttempts: async () => [] } },
    executor: {
      async sweep(open) {
        swept += 1;
        expect(await open()).toEqual([]);
        if (fails) throw new Error('the API server is away');
      },
    },
    clock,
    log: { warn: () => {}, debug: () => {} },
  });
  /** Until the next round is armed. */
  const settled = () => expect.poll(() => clock.pending()).toBe(1);
  sweeps.start();
  clock.advance(minute);
  await settled();
  expect(swept).toBe(1);
  fails = false;
  clock.advance(15 * minute);
  await settled();
  clock.advance(15 * minute);
  await settled();
  expect(swept).toBe(3);
  leads = false;
  clock.advance(15 * minute);
  await settled();
  expect(swept).toBe(3);
  await sweeps.stop();
});
