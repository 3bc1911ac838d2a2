import { and, eq, isNull, sql } from 'drizzle-orm';
import type { Clock } from '../seams/clock.ts';
import { createStepCache } from './cache.ts';
import { createApprovalLooks, forgetEndedLooks } from './approvals.ts';
import { createArtifactHistory } from './artifacts.ts';
import { createChanges } from './changes.ts';
import { createRunCommits } from './commit.ts';
import type { Database } from './database.ts';
import { openPglite, openPostgres } from './database.ts';
import { createDeadLetters } from './dead-letters.ts';
import { createEventHistory } from './events.ts';
import type { Replica } from './lease.ts';
import { enterAlone, enterReplica } from './lease.ts';
import { lockDataDirectory } from './lock-file.ts';
import { createLeaderFence } from './leader-fence.ts';
import { createLockTable } from './locks.ts';
import { createLogHistory } from './logs.ts';
import { createObjectWatches } from './object-watches.ts';
import { createObjectStore } from './objects.ts';
import { createPromotionHistory } from './promotions.ts';
import { createRefHistory } from './refs.ts';
import { createRunHistory } from './runs.ts';
import { leaders, replicas } from './schema/leases.ts';
import { runs } from './schema/runs.ts';
import type { Store } from './types.ts';
import { createVersionHistory } from './versions.ts';

/** A server to connect to, or a directory of this process alone for the embedded database. */
export type StoreOptions = { databaseUrl: string } | { dataDir: string };

export interface StoreDependencies {
  clock: Clock;
  /** Whose all of this is; nobody sees what is another's: a cluster's UID, or host and data directory. */
  home: string;
  log?: (message: string, fields?: object) => void;
}

const pollMs = 2_000;

/**
 * Opens history and desired state, brings the schema up to date and takes a lease.
 * @throws DataDirectoryInUse when a live process has the directory; the driver's error when the database cannot be used.
 */
export async function openStore(options: StoreOptions, dependencies: StoreDependencies): Promise<Store> {
  const report = dependencies.log ?? (() => {});
  if ('databaseUrl' in options) {
    const database = await openPostgres(options.databaseUrl);
    return enter(database, () => enterReplica(options.databaseUrl, dependencies.home, report), dependencies);
  }
  const unlock = await lockDataDirectory(options.dataDir);
  try {
    const database = await openPglite(options.dataDir);
    const closing = { ...database, close: () => closeAll(database, unlock) };
    return await enter(closing, () => enterAlone(database, dependencies.home), dependencies);
  } catch (error) {
    await unlock();
    throw error;
  }
}

async function closeAll(database: Database, unlock: () => Promise<void>): Promise<void> {
  try {
    await database.close();
  } finally {
    await unlock();
  }
}

async function enter(
  database: Database,
  register: () => Promise<Replica>,
  dependencies: StoreDependencies,
): Promise<Store> {
  try {
    return await assemble(database, await register(), dependencies);
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function assemble(
  database: Database,
  replica: Replica,
  { clock, home, log: report = () => {} }: StoreDependencies,
): Promise<Store> {
  const { drizzle } = database;
  const identity = { home, replica: () => replica.lease.replica };
  const failed = (error: unknown) => report('a listener of the store threw', { error });
  const fence = createLeaderFence(identity, replica.leaderFence);
  const changes = createChanges(replica.hasPeers, failed);
  const watches = createObjectWatches(database, home, changes, failed);
  const commits = createRunCommits(database, changes, clock);

  async function poll(): Promise<void> {
    await watches.poll();
    changes.emitAll();
  }

  // At the start only: tombstones are as many as objects are deleted, and none is needed longer than a poll or two.
  await watches.purge(clock.now());
  await forgetEndedLooks(database, home);
  const stopPolling = database.driver === 'postgres' ? await startPolling(database, clock, poll, report) : () => {};

  return {
    driver: database.driver,
    get lease() {
      return replica.lease;
    },
    objects: createObjectStore(database, home, watches, clock),
    runs: createRunHistory(database, identity, commits, changes, failed),
    promotions: createPromotionHistory(database, home, fence, changes),
    versions: createVersionHistory(database, home, fence),
    refs: createRefHistory(database, fence),
    events: createEventHistory(database, home, changes),
    cache: createStepCache(database, home, changes, clock),
    deadLetters: createDeadLetters(database, home, changes),
    locks: createLockTable(database, home, changes),
    logs: createLogHistory(database, changes),
    artifacts: createArtifactHistory(database, home, clock),
    approvals: createApprovalLooks(database, home),
    isLeader: () => replica.leaderFence() > 0,
    onLeadership: replica.onLeadership,
    async ping() {
      await drizzle.execute(sql`select 1`);
    },
    async close() {
      stopPolling();
      try {
        await commits.idle();
        await replica.stop();
        const id = identity.replica();
        // First, and never deleted here: a claim under way may yet name it as an owner, and is for anybody to take then.
        await drizzle.update(replicas).set({ expiresAt: sql`clock_timestamp()` }).where(eq(replicas.id, id));
        await drizzle
          .update(runs)
          .set({ owner: '' })
          .where(and(eq(runs.home, home), eq(runs.owner, id), isNull(runs.finishedAt)));
        await drizzle.update(leaders).set({ owner: '' }).where(eq(leaders.owner, id));
      } catch (error) {
        // A database that is away must not keep a process from ending; the lease runs out by itself.
        report('the lease could not be given back', { error });
      } finally {
        await database.close();
      }
    },
  };
}

/** On every notification and every 2 s: one poll at a time, and another when something came in meanwhile. */
async function startPolling(
  database: Database,
  clock: Clock,
  poll: () => Promise<void>,
  report: (message: string, fields?: object) => void,
): Promise<() => void> {
  let running: Promise<void> | null = null;
  let again = false;
  let stopped = false;
  let healthy = true;

  async function pollUntilQuiet(): Promise<void> {
    try {
      do {
        again = false;
        await poll();
      } while (again);
      healthy = true;
    } catch (error) {
      // Said once: the next poll is 2 s away and makes up for this one.
      if (healthy && !stopped) report('other replicas cannot be heard at present', { error });
      healthy = false;
    } finally {
      running = null;
    }
  }

  function wake(): void {
    again = !stopped;
    if (again) running ??= pollUntilQuiet();
  }

  await database.listen('windlass', wake);
  let cancel = clock.at(clock.now() + pollMs, tick);
  function tick(): void {
    wake();
    cancel = clock.at(clock.now() + pollMs, tick);
  }
  return () => {
    stopped = true;
    cancel();
  };
}
