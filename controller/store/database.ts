import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PGlite } from '@electric-sql/pglite';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import { drizzle as drizzlePglite } from 'drizzle-orm/pglite';
import { migrate as migratePglite } from 'drizzle-orm/pglite/migrator';
import { drizzle as drizzlePostgres } from 'drizzle-orm/postgres-js';
import { migrate as migratePostgres } from 'drizzle-orm/postgres-js/migrator';
import postgres from 'postgres';
import { forgiveLostConnections, PostgresPool } from './postgres-pool.ts';

export type Drizzle = PgDatabase<PgQueryResultHKT>;

/** One database behind either driver. */
export interface Database {
  readonly driver: 'pglite' | 'postgres';
  readonly drizzle: Drizzle;
  /**
   * A hot statement: prepared, planned once, on a connection of its own. JSON goes in as text (`$1::text::json`), because
   * the drivers disagree about json parameters.
   */
  run<Row>(statement: string, parameters: (string | number | boolean | null)[]): Promise<Row[]>;
  /** Calls back for every notification on `channel` (Postgres only: PGlite has no one else to hear from). */
  listen(channel: string, fn: () => void): Promise<void>;
  close(): Promise<void>;
}

const migrationsFolder = fileURLToPath(new URL('./migrations', import.meta.url));
const migrationLock = 727001;

/**
 * Hot statements touch rows by their key only. With the planner's other choices switched off, a generic plan made while
 * the tables were small stays right when they are large.
 */
const hotSettings = {
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  jit: 'off',
};

/** A replica that is stopped in the middle of a transaction must not keep its locks from the one that takes over. */
const abandoned = { idle_in_transaction_session_timeout: 10_000 };

/** Connects to a server and brings its schema up to date. @throws when it cannot be reached. */
export async function openPostgres(url: string): Promise<Database> {
  const options = { onnotice: () => {}, connect_timeout: 10 } as const;
  await migrateOnce(url, options);
  const pool = new PostgresPool(url, {
    ...options,
    max: 6,
    connection: { application_name: 'windlass', ...abandoned },
  });
  const hot = new PostgresPool(url, {
    ...options,
    max: 2,
    connection: { application_name: 'windlass hot', ...hotSettings },
  });
  // Listens again by itself when its connection is lost.
  const ears = postgres(url, { ...options, max: 1, connection: { application_name: 'windlass listens' } });
  const stopForgiving = forgiveLostConnections();
  return {
    driver: 'postgres',
    drizzle: drizzlePostgres(pool as unknown as postgres.Sql) as unknown as Drizzle,
    async run<Row>(statement: string, parameters: (string | number | boolean | null)[]) {
      const rows: unknown = await hot.unsafe(statement, parameters, { prepare: true });
      return rows as Row[];
    },
    async listen(channel, fn) {
      await ears.listen(channel, fn);
    },
    async close() {
      await Promise.all([pool.end(), hot.end(), ears.end({ timeout: 5 })]);
      stopForgiving();
    },
  };
}

/** Replicas that start together would race in CREATE TABLE; the advisory lock is held by this one connection. */
async function migrateOnce(url: string, options: { onnotice: () => void; connect_timeout: number }): Promise<void> {
  const one = postgres(url, { ...options, max: 1 });
  try {
    await one`select pg_advisory_lock(${migrationLock})`;
    await migratePostgres(drizzlePostgres(one), { migrationsFolder });
  } finally {
    await one.end({ timeout: 5 });
  }
}

/** Opens the embedded database below `dataDir`, whose lock the caller holds. It survives kill -9, not power loss (no fsync). */
export async function openPglite(dataDir: string): Promise<Database> {
  const path = join(dataDir, 'postgres');
  if (!existsSync(path)) await initialize(path);
  const client = await PGlite.create(path);
  const drizzle = drizzlePglite(client);
  await migratePglite(drizzle, { migrationsFolder });
  return {
    driver: 'pglite',
    drizzle: drizzle as unknown as Drizzle,
    async run<Row>(statement: string, parameters: (string | number | boolean | null)[]) {
      return (await client.query<Row>(statement, parameters)).rows;
    },
    listen: () => Promise.resolve(),
    close: () => client.close(),
  };
}

/** Made beside its place and renamed when it is whole: killed in between, the next start begins again. */
async function initialize(path: string): Promise<void> {
  const unfinished = `${path}.new`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true, mode: 0o700 });
  await (await PGlite.create(unfinished)).close();
  await rename(unfinished, path);
}
