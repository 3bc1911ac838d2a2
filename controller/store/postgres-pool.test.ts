import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/postgres-js';
import type postgres from 'postgres';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startPostgres } from '../../test/fixtures/postgres.ts';
import { PostgresPool } from './postgres-pool.ts';

const server = await startPostgres();
afterAll(() => server?.stop());

const skipped = server ? '' : ' (skipped: no initdb and pg_ctl, or no user `postgres`, on this machine)';

describe.runIf(server)(`connections whose server ends${skipped}`, () => {
  let pool: PostgresPool;
  let killer: PostgresPool;
  beforeEach(() => {
    pool = new PostgresPool(server?.url ?? '', { max: 1, onnotice: () => {}, connect_timeout: 5 });
    killer = new PostgresPool(server?.url ?? '', { max: 1, onnotice: () => {} });
  });
  afterEach(async () => {
    await Promise.all([pool.end(), killer.end()]);
  });
  const database = () => drizzle(pool as unknown as postgres.Sql);
  const kill = (pid: unknown) => killer.unsafe('select pg_terminate_backend($1)', [Number(pid)]);

  test('a transaction that is cut fails, the process lives, and the next statements are answered', async () => {
    for (let round = 0; round < 5; round++) {
      const cut = database().transaction(async (tx) => {
        const [row] = await tx.execute(sql`select pg_backend_pid() as pid`);
        const slow = tx.execute(sql`select pg_sleep(30)`);
        await kill(row?.['pid']);
        await slow;
      });
      await expect(cut).rejects.toThrow(/CONNECTION_CLOSED|Failed query/);
      // Several at once, as they come while the connection is made anew.
      const next = await Promise.all(Array.from({ length: 5 }, () => database().execute(sql`select 1 as one`)));
      expect(next.map(([row]) => row?.['one'])).toEqual([1, 1, 1, 1, 1]);
    }
  });

  test('a transaction that is cut between its statements says nothing more, in no other transaction either', async () => {
    await database().execute(sql`create table said (by text)`);
    const gone = Promise.withResolvers<void>();
    const late = Promise.withResolvers<void>();
    const cut = database().transaction(async (tx) => {
      const [row] = await tx.execute(sql`select pg_backend_pid() as pid`);
      await kill(row?.['pid']);
      gone.resolve();
      await late.promise;
      await tx.execute(sql`insert into said values ('the dead')`);
    });
    await gone.promise;
    await expect(cut).rejects.toThrow(/CONNECTION_CLOSED|Failed query/);
    await database().transaction(async (tx) => {
      await tx.execute(sql`insert into said values ('the living')`);
      late.resolve();
      await sleep(50);
      await tx.execute(sql`select 1`);
    });
    expect([...(await database().execute(sql`select by from said`))]).toEqual([{ by: 'the living' }]);
  });

  test('what a transaction throws rolls it back', async () => {
    await database().execute(sql`create table undone (by text)`);
    const failed = database().transaction(async (tx) => {
      await tx.execute(sql`insert into undone values ('x')`);
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    expect([...(await database().execute(sql`select * from undone`))]).toEqual([]);
  });
});

test.each([
  ['that a connection was lost', "Object.assign(new Error('lost'), { code: 'CONNECTION_DESTROYED' })", 0],
  ['anything else', "new Error('a mistake of ours')", 1],
])('a rejection that nobody handles and that says %s', async (_, reason, code) => {
  const module = new URL('./postgres-pool.ts', import.meta.url).href;
  const script = `import { forgiveLostConnections } from '${module}'; forgiveLostConnections(); void Promise.reject(${reason});`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' });
  const [exitCode] = (await once(child, 'exit')) as [number];
  expect(exitCode).toBe(code);
});
