import { expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { createArtifactRetention } from './artifact-retention.ts';

function world() {
  const clock = createVirtualClock();
  const swept: number[] = [];
  const warned: string[] = [];
  let leads = true;
  let fails = false;
  const retention = createArtifactRetention({
    store: {
      isLeader: () => leads,
      artifacts: {
        note: async () => {},
        ofRun: async () => ({ items: [], next: null }),
        isOf: async () => false,
        async sweep({ keptMs, remove }) {
          swept.push(keptMs);
          if (fails) throw new Error('away');
          await remove(['sha256:x']);
          return 1;
        },
      },
    },
    artifacts: { delete: async () => {} },
    clock,
    log: { warn: (_: unknown, message?: string) => void warned.push(message ?? ''), debug: () => {} },
    keptMs: 7,
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return {
    clock,
    swept,
    warned,
    retention,
    lead: (yes: boolean) => (leads = yes),
    fail: (yes: boolean) => (fails = yes),
    async advance(ms: number) {
      clock.advance(ms);
      await settle();
    },
  };
}

test('a look a while after the start, and one every hour', async () => {
  const { retention, advance, swept } = world();
  retention.start();
  expect(swept).toEqual([]);
  await advance(60_000);
  expect(swept).toEqual([7]);
  await advance(3_600_000);
  await advance(3_600_000);
  expect(swept).toHaveLength(3);
});

test('only the leader looks, and a failure is tried again', async () => {
  const { retention, advance, swept, warned, lead, fail } = world();
  lead(false);
  retention.start();
  await advance(60_000);
  expect(swept).toEqual([]);
  lead(true);
  fail(true);
  await advance(3_600_000);
  expect(warned).toHaveLength(1);
  fail(false);
  await advance(3_600_000);
  expect([swept.length, warned.length]).toEqual([2, 1]);
});

test('after its stop nothing is looked at', async () => {
  const { retention, advance, swept, clock } = world();
  retention.start();
  await retention.stop();
  await advance(10 * 3_600_000);
  expect([swept, clock.pending()]).toEqual([[], 0]);
});
