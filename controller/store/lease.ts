import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
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

/** This process as a replica, and its part in the leadership of its home. */
export interface Replica {
  /** The lease as it is now: another one after a loss. */
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
export async function enterAlone(database: Database, home: string): Promise<Replica> {
  const replica = randomUUID();
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

/** One lease from its registration to its loss. */
interface Term {
  readonly lease: Lease;
  leaderFence(): number;
  hasPeers(): boolean;
  stop(): Promise<void>;
}

/** Between attempts to register again, after a lease was lost. */
const reentryMs = 1000;

/**
 * Registers a replica and keeps it registered. A lost lease is not regained, as others may own everything already: its
 * signal aborts, and a new one is taken under a new name as soon as the database lets it.
 * @throws when the database refuses the first registration.
 */
export async function enterReplica(
  url: string,
  home: string,
  report: (message: string, fields?: object) => void,
): Promise<Replica> {
  const listeners = new Set<(leader: boolean) => void>();
  const stopping = new AbortController();
  let led = false;
  let entering: Promise<void> = Promise.resolve();
  const enter = () => beginTerm({ url, home, report, changed: tellLeadership, signal: stopping.signal });
  let term = await enter();
  reenterWhenLost();
  tellLeadership();

  function tellLeadership(): void {
    const leads = term.leaderFence() > 0;
    if (leads === led) return;
    led = leads;
    for (const fn of listeners) fn(leads);
  }

  function reenterWhenLost(): void {
    term.lease.lost.addEventListener('abort', () => {
      entering = reenter();
    });
  }

  async function reenter(): Promise<void> {
    await term.stop();
    while (!stopping.signal.aborted) {
      try {
        term = await enter();
        report('a new lease was taken', { replica: term.lease.replica });
        reenterWhenLost();
        tellLeadership();
        return;
      } catch {
        // The database is away, and whoever uses it says so; it is tried until it is back.
        await setTimeout(reentryMs, undefined, { ref: false, signal: stopping.signal }).catch(() => {});
      }
    }
  }

  return {
    get lease() {
      return term.lease;
    },
    leaderFence: () => term.leaderFence(),
    onLeadership(fn) {
      const own = (leader: boolean) => fn(leader);
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    hasPeers: () => term.hasPeers(),
    async stop() {
      stopping.abort();
      listeners.clear();
      await entering;
      await term.stop();
    },
  };
}

/** Takes a lease and starts its heartbeat. `changed`: leadership may have been won or lost. @throws also when `signal` aborts first */
async function beginTerm(options: {
  url: string;
  home: string;
  report: (message: string, fields?: object) => void;
  changed: () => void;
  signal: AbortSignal;
}): Promise<Term> {
  const { url, home, report, changed, signal } = options;
  const replica = randomUUID();
  const shared = new SharedArrayBuffer(slot.count * BigInt64Array.BYTES_PER_ELEMENT);
  const cells = new BigInt64Array(shared);
  const lost = new AbortController();
  let stopped = false;

  // process.hrtime is the one monotonic clock that both threads read alike.
  function answer(): void {
    Atomics.store(cells, slot.mainBeat, process.hrtime.bigint());
    remainingMs();
    changed();
  }

  function remainingMs(): number {
    if (lost.signal.aborted) return 0;
    const left = Number(Atomics.load(cells, slot.validUntil) - process.hrtime.bigint()) / 1e6;
    if (left > 0 || stopped) return Math.max(0, left);
    report('the lease is lost; another replica may go on with what this one did', { replica });
    lost.abort();
    changed();
    return 0;
  }

  Atomics.store(cells, slot.mainBeat, process.hrtime.bigint());
  const data: HeartbeatData = { url, home, replica, shared };
  const worker = new Worker(new URL('./heartbeat.ts', import.meta.url), { workerData: data });
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const giveUp = () => void worker.terminate();
  signal.addEventListener('abort', giveUp);
  try {
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', (cause) => reject(new Error('this replica could not register its lease', { cause })));
      worker.once('exit', () => reject(new Error('this replica is closed')));
    });
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
  worker.on('error', (error) => report('the heartbeat failed; the lease runs out', { error }));
  worker.on('message', answer);
  Atomics.store(cells, slot.mainBeat, process.hrtime.bigint());
  const timer = setInterval(answer, 250);
  timer.unref();
  worker.unref();

  return {
    lease: { replica, remainingMs, lost: lost.signal },
    leaderFence: () => (remainingMs() > 0 ? Number(Atomics.load(cells, slot.leaderFence)) : 0),
    hasPeers: () => Atomics.load(cells, slot.peers) > 0n,
    async stop() {
      stopped = true;
      clearInterval(timer);
      await worker.terminate();
      await exited;
    },
  };
}
