import { expect, test } from 'vitest';
import type { Workflow } from '../../crds/workflow.ts';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { createAppliedVersions } from './applied-versions.ts';

function workflow(generation: number, text: string): Workflow {
  return {
    apiVersion: 'windlass.dev/v1alpha1',
    kind: 'Workflow',
    metadata: {
      name: 'w',
      namespace: 'n',
      uid: 'u',
      resourceVersion: '1',
      generation,
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: {},
      annotations: {},
    },
    spec: { steps: [{ name: 'a', template: { text } }] },
  };
}

/** Versions that were stored, and how often; `fails` makes the next store fail. */
function world() {
  const clock = createVirtualClock();
  const stored: string[] = [];
  const state = { fails: false };
  const put = async (snapshots: { digest: string }[]) => {
    if (state.fails) throw new Error('the database is away');
    stored.push(...snapshots.map(({ digest }) => digest));
  };
  return { clock, stored, state, applied: createAppliedVersions({ put }, clock) };
}

test('many runs of a workflow store its version once, and again after ten seconds', async () => {
  const { clock, stored, applied } = world();
  const all = await Promise.all(Array.from({ length: 100 }, () => applied.of(workflow(1, 'x'))));
  expect(new Set(all.map((version) => JSON.stringify(version))).size).toBe(1);
  expect(stored).toHaveLength(1);
  clock.advance(10_000);
  expect(await applied.of(workflow(1, 'x'))).toEqual(all[0]);
  expect(stored).toHaveLength(2);
});

test('a change is another version at once', async () => {
  const { stored, applied } = world();
  const before = await applied.of(workflow(1, 'x'));
  expect(await applied.of(workflow(2, 'y'))).not.toEqual(before);
  expect(stored).toHaveLength(2);
});

test('what lint refuses is said and not stored; what could not be stored is tried again', async () => {
  const { stored, state, applied } = world();
  expect(await applied.of(workflow(1, '${{ nothing.here }'))).toMatchObject({ message: expect.any(String) });
  expect(stored).toEqual([]);
  state.fails = true;
  await expect(applied.of(workflow(2, 'x'))).rejects.toThrow('the database is away');
  state.fails = false;
  expect(await applied.of(workflow(2, 'x'))).toMatchObject({ digest: stored[0] });
});
