/** What every earlier schema of the database wrote, and a controller of now that is started on it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Run } from '../../api/client.ts';
import { openDataDirectory } from '../../controller/data-directory.ts';
import { type ControllerWorld, startWorld } from '../fixtures/controller.ts';
import { childOfFans, earlierRows, smallDigest } from '../fixtures/earlier-rows.ts';
import { earlierSchemas, makeEarlierDatabase, missingRows } from '../fixtures/earlier-schemas.ts';
import { startPostgres } from '../fixtures/postgres.ts';

const server = await startPostgres();
const schemas = await earlierSchemas();
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-upgrade-'));
  await (await PGlite.create(join(directory, 'empty'))).close();
}, 60_000);
afterAll(async () => {
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
});

const of = (name: string) => ({ namespace: 'dev', name });

/** Each step's phase, and how many attempts it has had. */
function stepsOf({ steps }: Run): Record<string, string> {
  return Object.fromEntries(steps.map(({ name, phase, attempts }) => [name, `${phase} ${attempts.length}`]));
}

async function readHistory({ client }: ControllerWorld, engine: boolean): Promise<void> {
  const over = await client.run(of('over'));
  expect(over).toMatchObject({ phase: 'Failed', version: 'v1.0.0', execution: 1, priority: 0, parent: null });
  expect(over.error).toMatchObject({ type: 'exit', message: 'exit code 3' });
  expect(stepsOf(over)).toEqual({ work: 'Failed 1' });
  expect((await client.stepLogs(of('over'), 'work')).lines).toMatchObject([{ text: 'oh no\n' }]);
  const { items: runs } = await client.runs({ namespace: 'dev', failed: true });
  expect(runs.map(({ name }) => name).toSorted()).toEqual(['again', 'before', 'over']);
  const { items: events } = await client.events({ kind: 'WorkflowRun', name: 'over' });
  expect(events).toMatchObject([{ reason: 'RunFailed', message: 'run over failed' }]);
  expect(await client.promotion('dev-1')).toMatchObject({ phase: 'Succeeded', ref: 'v1.0.0' });
  expect((await client.environment('dev')).active).toMatchObject([{ workflow: 'small', ref: 'v1.0.0' }]);
  expect((await client.versions({ workflow: 'small' })).items).toMatchObject([{ ref: 'v1.0.0' }]);
  if (!engine) return;
  expect((await client.artifacts(of('over'))).items).toMatchObject([{ name: 'orders', bytes: 9 }]);
  expect(await client.deadLetter(1)).toMatchObject({ name: 'over', state: 'Discarded', priority: 0 });
  expect(await client.explainCache(of('fans'), 'filled')).toMatchObject({ key: 'k1' });
}

/** The run that the first schema could already have. */
async function carryRunning({ client, ended }: ControllerWorld): Promise<void> {
  await client.approveStep(of('running'), 'asks');
  const running = await ended(of('running'));
  expect(running).toMatchObject({ phase: 'Degraded', outputs: { rows: 42 }, error: null });
  // Attempts that had begun go on under the numbers they had.
  expect(stepsOf(running)).toEqual({
    done: 'Succeeded 1',
    live: 'Succeeded 2',
    stops: 'Failed 1',
    pauses: 'Succeeded 2',
    waits: 'Succeeded 0',
    asks: 'Succeeded 0',
    skipped: 'Skipped 0',
    last: 'Succeeded 1',
    notify: 'Succeeded 1',
  });
  expect(running.steps.find(({ name }) => name === 'stops')?.error).toMatchObject({ type: 'timeout' });
}

/** Those with what the engine brought. */
async function carryEngine({ client, ended }: ControllerWorld): Promise<void> {
  const fans = await ended(of('fans'));
  expect(fans).toMatchObject({ phase: 'Succeeded', error: null });
  expect(stepsOf(fans)).toEqual({
    each: 'Succeeded 0',
    calls: 'Succeeded 1',
    locked: 'Succeeded 1',
    cached: 'Cached 0',
    filled: 'Cached 0',
  });
  const { items } = await client.items(of('fans'), 'each');
  expect(items.map(({ phase, attempts }) => `${phase} ${attempts.length}`)).toEqual(Array(3).fill('Succeeded 1'));
  expect((await client.runs({ parent: 'fans' })).items).toMatchObject([{ id: childOfFans, phase: 'Succeeded' }]);
  const holder = await ended(of('holder'));
  expect(holder.phase).toBe('Succeeded');
  const locked = fans.steps.find(({ name }) => name === 'locked')?.attempts[0]?.startedAt ?? '';
  expect(locked >= (holder.finishedAt ?? '')).toBe(true);
  // Redriven as a run that ended well; and a run that a retry made end well.
  expect(await client.deadLetter(2)).toMatchObject({ state: 'Resolved', redrivenName: 'fans' });
  expect(await client.deadLetter(3)).toMatchObject({ state: 'Resolved', name: 'again' });
}

const skipped = server ? '' : ' (skipped: no PostgreSQL server binaries on this machine)';

describe.each(['PGlite', 'PostgreSQL'])('%s', (driver) => {
  test.runIf(server || driver === 'PGlite').each(schemas)(
    `what $tag wrote: runs go on to their end, and history stays as it was${driver === 'PGlite' ? '' : skipped}`,
    async ({ number, tag }) => {
      const data = join(directory, driver, tag);
      const { home } = await openDataDirectory(data);
      const databaseUrl = driver === 'PGlite' ? null : ((await server?.database(tag)) ?? '');
      const where = databaseUrl === null ? { dataDir: data } : { databaseUrl };
      const { kept, live } = earlierRows(number, home);
      await makeEarlierDatabase(where, number, [...kept, ...live], join(directory, 'empty'));

      const engine = number >= 3;
      const world = await startWorld({ dataDir: data, databaseUrl });
      try {
        await readHistory(world, engine);
        await carryRunning(world);
        await world.client.retryRun(of('again'));
        await world.until(
          'the retry ends',
          () => world.client.run(of('again')),
          ({ execution, phase }) => execution === 2 && phase === 'Succeeded',
        );
        if (engine) await carryEngine(world);
        // Gates count what ended before: two that failed, the retried one, and the child run.
        const { runs } = await world.controller.store.promotions.upstream('default', 'dev');
        const [finished, succeeded] = engine ? [4, 2] : [3, 1];
        expect(runs.find(({ digest }) => digest === smallDigest)).toMatchObject({ finished, succeeded });
      } finally {
        await world.stop();
      }
      expect(await missingRows(where, kept)).toEqual([]);
    },
    60_000,
  );
});
