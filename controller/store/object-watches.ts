import { and, eq, inArray, sql } from 'drizzle-orm';
import type { StopWatch } from '../seams/objects.ts';
import type { Changes } from './changes.ts';
import type { Database } from './database.ts';
import type { ObjectRow } from './objects.ts';
import { objects } from './schema/objects.ts';

const tombstoneMs = 10 * 60_000;

/** Delivers changes of objects to watchers: own writes at once, those of other replicas when polled. */
export interface ObjectWatches {
  /** Tells watchers here, and other replicas, of rows that were just committed. */
  wrote(rows: ObjectRow[]): Promise<void>;
  /** Delivers what `list` gives, then every change. */
  watch(kind: string, list: () => Promise<ObjectRow[]>, handler: (row: ObjectRow) => void): Promise<StopWatch>;
  /** Finds what others committed since the last poll. */
  poll(): Promise<void>;
  /** Forgets tombstones that every watcher has long seen. */
  purge(now: number): Promise<void>;
}

interface Watcher {
  kind: string;
  handler: (row: ObjectRow) => void;
  /** Changes that came while the present objects were being read; null once it is live. */
  held: ObjectRow[] | null;
}

export function createObjectWatches(
  database: Database,
  home: string,
  changes: Changes,
  report: (error: unknown) => void,
): ObjectWatches {
  const { drizzle } = database;
  const shared = database.driver === 'postgres';
  const watchers = new Set<Watcher>();
  /** uid → newest version that was delivered; a poll finds own writes again and must not repeat them. */
  const delivered = new Map<string, number>();
  /** Every transaction below this one has been seen whole. Null until the first watch. */
  let horizon: string | null = null;

  function call(watcher: Watcher, row: ObjectRow): void {
    try {
      watcher.handler(row);
    } catch (error) {
      report(error);
    }
  }

  function deliver(row: ObjectRow): void {
    if ((delivered.get(row.uid) ?? 0) >= row.resourceVersion) return;
    if (row.deleted && !shared) delivered.delete(row.uid);
    else delivered.set(row.uid, row.resourceVersion);
    for (const watcher of watchers) {
      if (watcher.kind !== row.kind) continue;
      if (watcher.held) watcher.held.push(row);
      else call(watcher, row);
    }
  }

  async function readHorizon(): Promise<string> {
    const [row] = await drizzle
      .select({ xmin: sql<string>`pg_snapshot_xmin(pg_current_snapshot())::text` })
      .from(sql`(select 1) one`);
    return row?.xmin ?? '0';
  }

  return {
    async wrote(rows) {
      if (rows.length === 0) return;
      for (const row of rows) deliver(row);
      if (changes.hasPeers()) await drizzle.execute(sql`select pg_notify('windlass', '')`);
    },
    async watch(kind, list, handler) {
      const watcher: Watcher = { kind, handler, held: [] };
      watchers.add(watcher);
      try {
        if (shared) horizon ??= await readHorizon();
        const present = await list();
        const versions = new Map(present.map((row) => [row.uid, row.resourceVersion]));
        for (const row of present) call(watcher, row);
        for (const row of watcher.held ?? []) {
          if (row.resourceVersion > (versions.get(row.uid) ?? 0)) call(watcher, row);
        }
        watcher.held = null;
      } catch (error) {
        watchers.delete(watcher);
        throw error;
      }
      return () => void watchers.delete(watcher);
    },
    async poll() {
      if (!shared || horizon === null || watchers.size === 0) return;
      // Sequences have gaps that fill later; transaction ids do too, but a snapshot says which are still open. Whatever is
      // at or above the oldest open one is looked at again next time.
      const next = await readHorizon();
      const found = await drizzle
        .select({
          uid: objects.uid,
          resourceVersion: objects.resourceVersion,
          deleted: objects.deleted,
          settled: sql<boolean>`${objects.changed} < ${next}::text::xid8`,
        })
        .from(objects)
        .where(
          and(
            eq(objects.home, home),
            sql`${objects.changed} >= ${horizon}::text::xid8`,
            // A database restored from a dump holds ids of another server's future.
            sql`${objects.changed} < pg_snapshot_xmax(pg_current_snapshot())`,
          ),
        );
      const unseen = found.filter((row) => (delivered.get(row.uid) ?? 0) < row.resourceVersion);
      for (let i = 0; i < unseen.length; i += 500) {
        const uids = unseen.slice(i, i + 500).map((row) => row.uid);
        for (const row of await drizzle.select().from(objects).where(inArray(objects.uid, uids))) deliver(row);
      }
      for (const row of found) if (row.deleted && row.settled) delivered.delete(row.uid);
      horizon = next;
    },
    async purge(now) {
      await drizzle
        .delete(objects)
        .where(and(eq(objects.home, home), sql`${objects.deleted}`, sql`${objects.deletedAt} < ${now - tombstoneMs}`));
    },
  };
}
