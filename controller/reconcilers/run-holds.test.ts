import { expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { createRunHolds } from './run-holds.ts';

/** A namespace with room for `room` attempts, and runs that want to begin one each. */
function quota(runs: number) {
  const clock = createVirtualClock();
  const world = { room: 0, tries: 0, begun: [] as string[] };
  const holds = createRunHolds(clock, tryOnce);

  function tryOnce(id: string): void {
    world.tries += 1;
    if (world.room === 0) return holds.held('team', id);
    world.room -= 1;
    world.begun.push(id);
    holds.begun(id);
  }

  for (let i = 0; i < runs; i++) tryOnce(`r${i}`);
  return { clock, world, holds };
}

test('room is found within 3 s however long it was missing, and all that there is of it', () => {
  const { clock, world } = quota(500);
  clock.advance(600_000);
  world.room = 40;
  world.tries = 0;
  clock.advance(3_000);
  expect(world.begun).toHaveLength(40);
  // Nobody tries in a crowd: at most one of each two that followed was in vain.
  expect(world.tries).toBeLessThanOrEqual(81);
});

test('waiting costs one try in 3 s, whatever the number of runs', () => {
  const { clock, world } = quota(500);
  world.tries = 0;
  clock.advance(60_000);
  expect(world.tries).toBe(20);
});

test('each has its turn: one that can never begin keeps nobody else', () => {
  const { clock, world, holds } = quota(3);
  holds.forget('r0');
  world.room = 1;
  clock.advance(3_000);
  expect(world.begun).toEqual(['r1']);
  world.room = 1;
  clock.advance(3_000);
  expect(world.begun).toEqual(['r1', 'r2']);
  world.tries = 0;
  clock.advance(60_000);
  expect(world.tries).toBe(0);
});
