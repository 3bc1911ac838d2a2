import { describe, expect, test } from 'vitest';
import { exit1, live } from '../fixtures/lives.ts';
import { planOf } from '../fixtures/plans.ts';
import type { World } from '../fixtures/world.ts';
import { liveThrough } from './history.ts';
import { judge, type Watched } from './judge.ts';
import { randomOf } from './random.ts';

/** A few histories with every run of the tests; CI lives through 20,000 by `npm run test:simulate`. */
test.each([0, 1, 2, 3])('histories from seed %i00 have nothing wrong', (block) => {
  for (let seed = block * 100; seed < block * 100 + 100; seed++) {
    expect({ seed, problems: liveThrough(seed) }).toEqual({ seed, problems: [] });
  }
});

test('choices follow from the seed alone', () => {
  const draw = (seed: number) => Array.from({ length: 5 }, randomOf(seed).next);
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
});

describe('the judge sees', () => {
  const spec = {
    parallelism: 2,
    steps: [
      { name: 's0', compensate: { run: 'undo' }, locks: [{ name: 'db' }] },
      { name: 's1', needs: ['s0'], compensate: { run: 'undo' }, locks: [{ name: 'db' }] },
      { name: 's2', needs: ['s1'] },
    ],
    finally: [{ name: 'f0' }],
  };
  const plan = planOf(spec);
  const watched: Watched = { outcome: 'Failed', outcomeAt: null, forcedAt: null, pauses: [], limitedSlots: false };
  const history = () => live(spec, { s2: [exit1] });
  const find = (world: World, effect: string) => {
    const one = world.begun.find(({ key, action }) => `${key.step} ${action.effect.split('/')[0]}` === effect);
    if (!one) throw new Error(`${effect} did not begin`);
    return one;
  };
  const row = (world: World, id: string) => {
    const found = world.steps.get(id);
    if (!found) throw new Error(`${id} has no row`);
    return found;
  };

  test('nothing wrong in a good history', () => {
    expect(judge(plan, history(), watched)).toEqual([]);
  });

  const wrongs: [string, RegExp, (world: World) => void, Partial<Watched>?][] = [
    ['a second start of an attempt', /s0\/1 began twice/, (world) => world.begun.push(find(world, 's0 main'))],
    ['a step before its need', /s1 began before s0/, (world) => (find(world, 's1 main').at -= 500)],
    ['a step whose need failed', /s2 began though s1 was not met/, (world) => (row(world, 's1').phase = 'Cancelled')],
    ['an open row', /not ended: s1 Running/, (world) => (row(world, 's1').phase = 'Running')],
    [
      'too many attempts',
      /s2 main.*2 attempts/,
      (world) => {
        const one = find(world, 's2 main');
        world.begun.push({ ...one, key: { ...one.key, attempt: 2 } });
      },
    ],
    ['two holders of a lock', /2 hold db/, (world) => (row(world, 's0').finishedAt = row(world, 's1').finishedAt)],
    ['a step without its lock', /^s0 began without db/, (world) => (find(world, 's0 main').held = null)],
    [
      'a compensation without its lock',
      /the compensation of s0 began without db/,
      (world) => (find(world, 's0 compensate').held = null),
    ],
    ['a step without a slot', /^s0 began without a slot/, () => {}, { limitedSlots: true }],
    [
      'a wrong order of compensations',
      /is undone after/,
      (world) => (row(world, 's1').finishedAt = row(world, 's0').startedAt),
    ],
    ['compensations that overlap', /overlap/, (world) => (find(world, 's1 compensate').endsAt += 500)],
    ['something not undone', /s0 was not undone/, (world) => (row(world, 's0').phase = 'Succeeded')],
    [
      'finally before the compensations',
      /f0 began before all was undone/,
      (world) => (find(world, 'f0 main').at -= 500),
    ],
    ['a compensation of a good run', /the outcome is Succeeded/, () => {}, { outcome: 'Succeeded' }],
    ['a start while paused', /began while paused/, () => {}, { pauses: [{ from: 0, to: Number.POSITIVE_INFINITY }] }],
    ['a start after the force', /began after the force/, () => {}, { forcedAt: 0 }],
    ['a main step after the outcome', /began after the outcome/, () => {}, { outcomeAt: 0 }],
    ['a wrong end', /the run is Succeeded/, (world) => (world.run.phase = 'Succeeded')],
    [
      'too much at once',
      /3 attempts at once/,
      (world) => {
        const one = find(world, 's2 main');
        world.begun.push({ ...one }, { ...one });
      },
    ],
  ];
  test.each(wrongs)('%s', (_, problem, spoil, change = {}) => {
    const world = history();
    spoil(world);
    expect(judge(plan, world, { ...watched, ...change }).join('\n')).toMatch(problem);
  });
});
