import { Worker } from 'node:worker_threads';
import { sql } from 'drizzle-orm';
import type { Lease } from '../seams/lease.ts';
import type { Database } from './database.ts';
import { slot } from './lease-clock.ts';

export interface HeartbeatData {
  url: string;
  home: string;
  replica: string;
  shared: SharedArrayBuffer;
}

/** A replica's lease, and its part in the leadership of its home. */
export interface Replica {
  readonly lease: Lease;
  /** The fence it leads with; 0 while it does not. */
  leaderFence(): number;
  onLeadership(fn: (leader: boolean) => void): () => void;
  /** Whether other replicas of this home were alive at the last beat. */
  hasPeers(): boolean;
  /** Stops renewing. */
  stop(): Promise<void>;
}

/** Embedded: one process, so the lease never ends, it always leads, and every earlier owner is dead. */
export async function enterAlone(database: Database, home: string, replica: string): Promise<Replica> {
  const fence = await database.drizzle.transaction(async (tx) => {
    await tx.execute(sql`update runs set owner = '' where finished_at is null and owner <> ''`);
    await tx.execute(sql`delete from replicas`);
    await tx.execute(sql`insert into replicas (id, home, expires_at) values (${replica}, ${home}, 'infinity')`);
    await tx.execute(sql`insert into leaders as l (home, owner, fence) values (${home}, ${replica}, 1)
      on conflict (home) do update set owner = excluded.owner, fence = l.fence + 1`);
    const rows = await tx.select({ fence: sql<number>`fence::float8` }).from(sql`leaders`).where(sql`home = ${home}`);
    return rows[0]?.fence ?? 0;
  });
  return {
    lease: { replica, remainingMs: () => Infinity, lost: new AbortController().signal },
    leaderFence: () => fence,
    onLeadership: () => () => {},
    hasPeers: () => false,
    stop: () => Promise.resolve(),
  };
}

/**
 * Registers a replica and starts its heartbeat. A lost lease is not regained: others may own everything already, so the
 * store is to be closed and opened again. @throws when the database refuses the registration.
 */
export async function enterReplica(
  url: string,
  home: string,
  replica: string,
  report: (message: string, fields?: object) => void,
): Promise<Replica> {
  const shared = new SharedArrayBuffer(slot.count * BigInt64Array.BYTES_PER_ELEMENT);
  const cells = new BigInt64Array(shared);
  const lost = new AbortController();
  const listeners = new Set<(leader: boolean) => void>();
  let led = false;

  // process.hrtime is the one monotonic clock that both threads read alike.
  function answer(): void {
    Atomics.store(cells, slot.mainBeat, process.hrtime.bigint());
    remainingMs();
    tellLeadership();
  }

  function remainingMs(): number {
    if (lost.signal.aborted) return 0;
    const left = Number(Atomics.load(cells, slot.validUntil) - process.hrtime.bigint()) / 1e6;
    if (left > 0) return left;
    report('the lease is lost; another replica may go on with what this one did', { replica });
    lost.abort();
    tellLeadership();
    return 0;
  }

  function leaderFence(): number {
    return remainingMs() > 0 ? Number(Atomics.load(cells, slot.leaderFence)) : 0;
  }

  function tellLeadership(): void {
    const leads = !lost.signal.aborted && Atomics.load(cells, slot.leaderFence) > 0n;
    if (leads === led) return;
    led = leads;
    for (const fn of listeners) fn(leads);
  }

  Atomics.store(cells, slot.mainBeat, process.hrtime.bigint());
  const data: HeartbeatData = { url, home, replica, shared };
  const worker = new Worker(new URL('./heartbeat.ts', import.meta.url), { workerData: data });
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', (cause) => reject(new Error('this replica could not register its lease', { cause })));
  });
  worker.on('error', (error) => report('the heartbeat failed; the lease runs out', { error }));
  worker.on('message', answer);
  answer();
  const timer = setInterval(answer, 250);
  timer.unref();
  worker.unref();

  return {
    lease: { replica, remainingMs, lost: lost.signal },
    leaderFence,
    onLeadership(fn) {
      const own = (leader: boolean) => fn(leader);
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    hasPeers: () => Atomics.load(cells, slot.peers) > 0n,
    async stop() {
      clearInterval(timer);
      listeners.clear();
      await worker.terminate();
      await exited;
    },
  };
}
