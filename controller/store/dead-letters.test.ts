/** What is asked again and again about dead letters costs what is open, and not what was ever recorded. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { drizzle } from 'drizzle-orm/pglite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runRow } from '../../test/fixtures/history.ts';
import { systemClock } from '../runtime/clock.ts';
import { createChanges } from './changes.ts';
import type { Drizzle } from './database.ts';
import { createDeadLetters } from './dead-letters.ts';
import { openStore } from './open.ts';
import type { DeadLetterHistory } from './types.ts';

const home = 'test';
let directory: string;
let client: PGlite;
let letters: DeadLetterHistory;
/** What was sent last. */
let sent: { query: string; parameters: unknown[] };

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-letters-'));
  const store = await openStore({ dataDir: directory }, { clock: systemClock, home });
  await store.runs.create(runRow('first', { phase: 'Failed', outcome: 'Failed', finishedAt: 9 }));
  await Promise.all(Array.from({ length: 5000 }, (_, n) => store.runs.create(runRow(`r${n}`))));
  await store.close();
  client = await PGlite.create(join(directory, 'postgres'));
  await grow(1, 100_000, 'Resolved');
  await grow(100_001, 3, 'Redriven');
  const logger = { logQuery: (query: string, parameters: unknown[]) => void (sent = { query, parameters }) };
  const database = {
    driver: 'pglite' as const,
    drizzle: drizzle(client, { logger }) as unknown as Drizzle,
    run: async () => [],
    listen: async () => {},
    close: async () => {},
  };
  letters = createDeadLetters(
    database,
    home,
    createChanges(
      () => false,
      () => {},
    ),
  );
}, 120_000);
afterAll(async () => {
  await client.close();
  await rm(directory, { recursive: true, force: true });
});

/** More like the first one. */
async function grow(from: number, count: number, state: string): Promise<void> {
  await client.query(
    `insert into dead_letters overriding system value select (jsonb_populate_record(d, jsonb_build_object(
      'id', 1000 + n, 'subject', 's' || n, 'state', $3::text, 'redriven_at', 5, 'redriven_as', 'x' || n))).*
    from dead_letters d, generate_series($1::int, $1::int + $2::int - 1) n where d.id = 1`,
    [from, count, state],
  );
}

interface Node {
  Plans?: Node[];
  [figure: string]: unknown;
}

/** Rows of a table that the statement sent last goes through. */
async function looksAt(table: string): Promise<number> {
  const { query, parameters } = sent;
  const { rows } = await client.query<{ 'QUERY PLAN': { Plan: Node }[] }>(
    `explain (analyze, format json) ${query}`,
    parameters,
  );
  const nodes = rows[0]?.['QUERY PLAN'].map(({ Plan }) => Plan) ?? [];
  let seen = 0;
  for (const node of nodes) {
    nodes.push(...(node.Plans ?? []));
    if (node['Relation Name'] !== table) continue;
    for (const figure of ['Actual Rows', 'Rows Removed by Filter', 'Rows Removed by Index Recheck']) {
      seen += Number(node[figure] ?? 0) * Number(node['Actual Loops']);
    }
  }
  return seen;
}

test.each([
  ['as they come', null],
  ['once the database knows how many there are', 'analyze'],
])('the look for what waits, and for what nothing came of, %s', async (_, before) => {
  if (before !== null) await client.query(before);
  expect(await letters.waiting()).toMatchObject([{ count: 1 }]);
  expect(await looksAt('dead_letters')).toBe(1);
  expect(await letters.unrecorded(10, 0, 500)).toHaveLength(3);
  expect(await looksAt('dead_letters')).toBe(3);
  expect(await looksAt('runs')).toBeLessThan(10);
});
