import { expect, test } from 'vitest';
import { createdAt, planOf, queuedRun } from '../../test/fixtures/plans.ts';
import { never, fates } from '../../test/fixtures/lives.ts';
import { runWorld } from '../../test/fixtures/world.ts';
import { hydrate } from '../core/run/hydrate.ts';
import { type Entry, unknownRun } from './run-entries.ts';
import { noteWait, sayWait } from './run-waits.ts';

const plan = planOf({ steps: [{ name: 'a' }, { name: 'b' }] });
const key = (step: string, attempt = 1) => ({ runId: 'r', step, item: -1, attempt });

/** With an attempt of each step that runs. */
function running() {
  let rows = { run: queuedRun(plan), steps: [], attempts: [] } as Parameters<typeof hydrate>[1];
  runWorld(plan, queuedRun(plan), {
    fate: fates({ a: [never], b: [never] }),
    onDecision: (seen) => {
      if (seen.now <= createdAt) rows = seen.rows();
    },
  });
  return { plan, state: hydrate(plan, rows) };
}

test('the one that waits longest is said, until it goes on', () => {
  const loaded = running();
  const entry: Entry = { ...unknownRun };
  expect(sayWait(entry, loaded)).toBeNull();
  expect(noteWait(entry, key('a'), 'ErrImagePull: no')).toBe(true);
  expect(noteWait(entry, key('a'), 'ErrImagePull: no')).toBe(false);
  expect(noteWait(entry, key('b'), 'Unschedulable: full')).toBe(true);
  expect(sayWait(entry, loaded)).toBe('step a waits: ErrImagePull: no');
  expect(noteWait(entry, key('a'), null)).toBe(true);
  expect(noteWait(entry, key('a'), null)).toBe(false);
  expect(sayWait(entry, loaded)).toBe('step b waits: Unschedulable: full');
});

test('an attempt that is over, or a step that is not there, is not said', () => {
  const loaded = running();
  const entry: Entry = { ...unknownRun };
  noteWait(entry, key('a', 2), 'of another attempt');
  noteWait(entry, key('c'), 'of no step');
  expect(sayWait(entry, loaded)).toBeNull();
  expect(entry.waits?.size).toBe(0);
});
