/**
 * Worker thread: renews a replica's lease on a connection of its own, so that a busy main thread does not lose it, and
 * tries for the leadership of its home. Started by lease.ts.
 */
import { parentPort, workerData } from 'node:worker_threads';
import postgres from 'postgres';
import type { HeartbeatData } from './lease.ts';
import { beatMs, leaseMs, mainSilenceMs, slot } from './lease-clock.ts';

const { url, home, replica, shared } = workerData as HeartbeatData;
const cells = new BigInt64Array(shared);
// The second connection is the leadership's: its lock may have to wait, a beat must not.
const sql = postgres(url, { max: 2, onnotice: () => {}, connection: { application_name: 'windlass heartbeat' } });
const leaseSeconds = leaseMs / 1000;
let contending = false;
let beats = 0;

function tell(what: 'ready' | 'leadership' | 'lost'): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port, not a window
  parentPort?.postMessage(what);
}

function since(ns: bigint): number {
  return Number(process.hrtime.bigint() - ns) / 1e6;
}

/** The lease by the local clock counts from before the request was sent: it ends earlier than in the database. */
function renewed(sentAt: bigint): void {
  Atomics.store(cells, slot.validUntil, sentAt + BigInt(leaseMs) * 1_000_000n);
}

async function register(): Promise<void> {
  const sentAt = process.hrtime.bigint();
  await sql`insert into replicas (id, home, expires_at)
    values (${replica}, ${home}, clock_timestamp() + make_interval(secs => ${leaseSeconds}))`;
  renewed(sentAt);
  await contend();
}

async function beat(): Promise<'alive' | 'over'> {
  const sentAt = process.hrtime.bigint();
  const [row] = await sql<{ peers: number }[]>`
    update replicas set expires_at = clock_timestamp() + make_interval(secs => ${leaseSeconds})
    where id = ${replica} and expires_at > clock_timestamp()
    returning (select count(*)::int from replicas p
      where p.home = ${home} and p.id <> ${replica} and p.expires_at > clock_timestamp()) as peers`;
  if (!row) return 'over';
  renewed(sentAt);
  Atomics.store(cells, slot.peers, BigInt(row.peers));
  return 'alive';
}

/** Takes the leadership when there is no live leader; notes it when another has it. */
async function contend(): Promise<void> {
  const [leader] = await sql<{ owner: string; fence: string; live: boolean }[]>`
    select owner, fence, exists (select from replicas where id = leaders.owner and expires_at > clock_timestamp()) as live
    from leaders where home = ${home}`;
  if (leader?.live) return lead(leader.owner === replica ? BigInt(leader.fence) : 0n);
  const [won] = await sql<{ fence: string }[]>`
    insert into leaders as l (home, owner, fence)
    select ${home}, ${replica}, 1
    where exists (select from replicas where id = ${replica} and expires_at > clock_timestamp())
    on conflict (home) do update set owner = excluded.owner, fence = l.fence + 1
    where not exists (select from replicas where id = l.owner and expires_at > clock_timestamp())
    returning fence`;
  lead(won ? BigInt(won.fence) : 0n);
}

function lead(fence: bigint): void {
  if (Atomics.exchange(cells, slot.leaderFence, fence) !== fence) tell('leadership');
}

/** Dead replicas that own nothing any more. */
async function forgetTheDead(): Promise<void> {
  await sql`delete from replicas r where home = ${home} and expires_at < clock_timestamp() - interval '1 minute'
    and not exists (select from leaders where owner = r.id)
    and not exists (select from runs where home = ${home} and owner = r.id and finished_at is null)`;
}

async function aside(): Promise<void> {
  if (contending) return;
  contending = true;
  try {
    await contend();
    if (beats % 30 === 1) await forgetTheDead();
  } catch {
    // The next beat tries again; a database that stays away ends the lease, and that is reported.
  } finally {
    contending = false;
  }
}

async function loop(): Promise<void> {
  for (;;) {
    const began = process.hrtime.bigint();
    // A main thread that hangs must lose its lease: others can do the work that it does not.
    const silent = since(Atomics.load(cells, slot.mainBeat)) > mainSilenceMs;
    let wait = beatMs;
    if (!silent) {
      try {
        if ((await beat()) === 'over') break;
        beats++;
        void aside();
      } catch {
        wait = beatMs / 4;
      }
    }
    if (process.hrtime.bigint() > Atomics.load(cells, slot.validUntil)) break;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, wait - since(began))));
  }
  Atomics.store(cells, slot.validUntil, 0n);
  Atomics.store(cells, slot.leaderFence, 0n);
  tell('lost');
}

try {
  await register();
  tell('ready');
  await loop();
} finally {
  await sql.end({ timeout: 1 });
}
