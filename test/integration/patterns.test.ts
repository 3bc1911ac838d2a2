import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Run } from '../../api/client.ts';
import { checkFile } from '../../controller/core/lint/index.ts';
import type { JsonObject } from '../../crds/json.ts';
import type { WorkflowSpec } from '../../crds/workflow.ts';
import { type ControllerWorld, startWorld } from '../fixtures/controller.ts';

const folder = join(import.meta.dirname, '../../examples/patterns/workflows');
const namespace = 'patterns';

let world: ControllerWorld;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

/** Applies the workflow of a pattern, which must be without errors and warnings, and runs it to its end. */
async function run(pattern: string, inputs: JsonObject = {}): Promise<Run> {
  const file = `${pattern}.yaml`;
  const { documents, diagnostics } = checkFile(file, await readFile(join(folder, file)));
  expect(diagnostics).toEqual([]);
  const name = documents[0]?.name ?? '';
  const spec = documents[0]?.object.spec as WorkflowSpec;
  await world.client.apply({ kind: 'Workflow', metadata: { name, namespace }, spec });
  return await world.run(namespace, name, inputs);
}

function phases({ steps }: Run): Record<string, string> {
  return Object.fromEntries(steps.map(({ name, phase }) => [name, phase]));
}

/** What the last attempt of a step wrote. */
async function output(of: Run, step: string): Promise<string> {
  const { lines } = await world.client.stepLogs(of, step);
  return lines.map(({ text }) => text).join('');
}

test('every pattern has a test here', async () => {
  expect((await readdir(folder)).toSorted()).toEqual([
    'conditional.yaml',
    'iterative.yaml',
    'parallel.yaml',
    'pipeline.yaml',
    'sequential.yaml',
  ]);
});

describe('sequential', () => {
  test('one after the other', async () => {
    const ended = await run('sequential');
    expect(ended).toMatchObject({ phase: 'Succeeded', outputs: { receipt: 'R-2026-1' } });
    expect(await output(ended, 'book_train')).toBe('to the hotel of booking H-42\n');
  });

  test('what succeeded before a failure is undone, the last first', async () => {
    const ended = await run('sequential', { card: 'expired' });
    expect(ended.phase).toBe('Failed');
    expect(phases(ended)).toEqual({
      book_hotel: 'Compensated',
      book_train: 'Compensated',
      pay: 'Failed',
      tell: 'Succeeded',
    });
    expect(await output(ended, 'book_train')).toBe('cancelled train T-7\n');
    expect(await output(ended, 'book_hotel')).toBe('cancelled hotel H-42 because of exit\n');
    expect(await output(ended, 'tell')).toBe('the trip: Failed\n');
    const begun = (name: string) => {
      const attempts = ended.steps.find((step) => step.name === name)?.attempts ?? [];
      return Date.parse(attempts.at(-1)?.startedAt ?? '');
    };
    expect(begun('book_train')).toBeLessThan(begun('book_hotel'));
  });
});

describe('parallel', () => {
  test('every item has its outputs, in the order of the items', async () => {
    const ended = await run('parallel');
    // 1000 in the warehouse, and 10 + 20 + 30 + 40 in the shops.
    expect(ended).toMatchObject({ phase: 'Succeeded', outputs: { shops: 4, pieces: 1100 } });
    expect(await output(ended, 'sum')).toBe('of the shops: [10,20,30,40]; a box: 1200\n');
    expect(ended.steps.map(({ items }) => items?.total)).toEqual([undefined, 4, 4, undefined]);
  });

  test('a list of one is a list', async () => {
    const ended = await run('parallel', { shops: ['b1'] });
    expect(ended).toMatchObject({ phase: 'Succeeded', outputs: { shops: 1, pieces: 1010 } });
  });
});

describe('pipeline', () => {
  test('files go from stage to stage, and what was extracted before is taken from the cache', async () => {
    const first = await run('pipeline');
    expect(first).toMatchObject({ phase: 'Succeeded', outputs: { loaded: 3 } });
    expect(await output(first, 'load')).toBe('bolt,3\nscrew,5\nhammer,20\n');
    const second = await run('pipeline');
    expect(phases(second)).toMatchObject({ extract: 'Cached', clean: 'Succeeded', load: 'Succeeded' });
    expect(second.outputs).toEqual({ loaded: 3 });
    expect(phases(await run('pipeline', { edition: 2 }))).toMatchObject({ extract: 'Succeeded' });
  });
});

describe('iterative', () => {
  test('repeats until it is so, then goes through the range one by one', async () => {
    const ended = await run('iterative');
    expect(ended).toMatchObject({
      phase: 'Succeeded',
      outputs: { degrees: 180, baked: ['tray-1', 'tray-2', 'tray-3'] },
    });
    expect(ended.steps[0]?.attempts).toHaveLength(3);
  });

  test('fails when it is not so after as many times as there may be', async () => {
    const ended = await run('iterative', { wanted: 1000 });
    expect(phases(ended)).toEqual({ heat: 'Failed', bake: 'Skipped' });
    expect(ended.steps[0]).toMatchObject({ error: { type: 'until' } });
    expect(ended.steps[0]?.attempts).toHaveLength(5);
  });

  test('an empty range is nothing to do', async () => {
    const ended = await run('iterative', { wanted: 60, trays: 0 });
    expect(ended).toMatchObject({ phase: 'Succeeded', outputs: { degrees: 60, baked: [] } });
  });
});

describe('conditional', () => {
  test('a short letter is answered at once', async () => {
    const ended = await run('conditional');
    expect(ended).toMatchObject({ phase: 'Succeeded', outputs: { translated: 'nobody' } });
    expect(phases(ended)).toMatchObject({ translate: 'Skipped', answer: 'Succeeded', post: 'Succeeded' });
    expect(await output(ended, 'answer')).toBe('answered within 5 minutes\n');
  });

  test('a long one is translated first', async () => {
    const ended = await run('conditional', { words: 5000 });
    expect(ended).toMatchObject({ phase: 'Succeeded', outputs: { translated: 'translator' } });
    expect(await output(ended, 'answer')).toBe('answered within 50 minutes\n');
  });

  test('with a fallback, and without what is only nice to have, the run is Degraded', async () => {
    const ended = await run('conditional', { words: 5000, translator: 'down' });
    expect(ended).toMatchObject({ phase: 'Degraded', outputs: { translated: 'machine' } });
    expect(phases(ended)).toEqual({
      sort: 'Succeeded',
      translate: 'Succeeded',
      answer: 'Succeeded',
      stamp: 'Failed',
      post: 'Succeeded',
    });
    expect(ended.steps[1]).toMatchObject({ via: 'fallback[0]' });
    expect(await output(ended, 'translate')).toMatch(/^machine, as of: /);
    expect(await output(ended, 'post')).toBe('posted; stamp: Failed\n');
  });
});
