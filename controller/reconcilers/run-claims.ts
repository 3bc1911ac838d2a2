import type { Logger } from 'pino';
import type { Clock } from '../seams/clock.ts';
import type { Lease } from '../seams/lease.ts';
import type { LoadedRun, Store } from '../store/types.ts';

export interface RunClaims {
  /** Begins to look for runs without an owner twice a second. */
  start(): void;
  /** Looks now: one is known to be there. Resolves when it has looked. */
  soon(): Promise<void>;
  /** Somebody changed what is wanted of a run that is not known here: it may be one that is being claimed. */
  changed(id: string): void;
  /** Claims nothing more, whoever asks. Resolves when nothing is being claimed; what is, is told of yet. */
  stop(): Promise<void>;
}

export interface RunClaimsDependencies {
  store: Pick<Store, 'lease' | 'runs'>;
  clock: Clock;
  log: Logger;
  /** When a lease is lost, and before each look: what was claimed under one that is lost now has to be dropped. */
  lost(): void;
  /** `rows`: as they are now; null when they could not be read, or may be older than a change. */
  claimed(id: string, claim: { fence: number; lease: Lease }, rows: LoadedRun | null): void;
  /** Whether this replica knows that it owns a run by this fence. */
  has(id: string, fence: number): boolean;
}

const intervalMs = 500;
const limit = 200;
/** Of claimed runs, read together: few, as each may have ten thousand steps. */
const loadLimit = 20;
/**
 * Runs that the database says are this replica's are compared with those that it knows of: a claim whose answer was lost with
 * the connection is nobody else's to take. After each failure, and this often, which bounds how long a bug could hide.
 */
const compareMs = 30_000;

/** Takes runs that nobody owns. One claim at a time; a request during one makes one more. */
export function createRunClaims({ store, clock, log, lost, claimed, has }: RunClaimsDependencies): RunClaims {
  /** Since this look began. */
  const changed = new Set<string>();
  let claiming: Promise<void> | null = null;
  let again = false;
  let stopped = false;
  let healthy = true;
  let compareAt = clock.now() + compareMs;
  let cancel = () => {};
  let followed: Lease | null = null;

  /** Many runs by one query each; what cannot be read now is read by each of them. */
  async function loadTogether(ids: string[]): Promise<Map<string, LoadedRun>> {
    const loaded = new Map<string, LoadedRun>();
    for (let i = 0; i < ids.length; i += loadLimit) {
      const some = await store.runs.load(ids.slice(i, i + loadLimit)).catch(() => []);
      for (const rows of some) loaded.set(rows.run.id, rows);
    }
    return loaded;
  }

  /** What is this replica's and is not known to be. */
  async function unknown(): Promise<{ id: string; fence: number }[]> {
    const owned = await store.runs.owned();
    compareAt = clock.now() + compareMs;
    return owned.filter(({ id, fence }) => !has(id, fence));
  }

  /** At once, before anything of it is done by a timer that was due meanwhile. */
  function follow(lease: Lease): void {
    lost();
    if (lease === followed) return;
    followed = lease;
    lease.lost.addEventListener('abort', lost, { once: true });
  }

  async function claim(): Promise<void> {
    while (again) {
      again = false;
      changed.clear();
      try {
        const { lease } = store;
        follow(lease);
        const unheard = healthy && clock.now() < compareAt ? [] : await unknown();
        const found = [...unheard, ...(await store.runs.claim(limit))];
        healthy = true;
        const rows = await loadTogether(found.map(({ id }) => id));
        for (const { id, fence } of found) {
          const read = rows.get(id) ?? null;
          // One that ended while it was looked at is nobody's any more.
          if ((read?.run.finishedAt ?? null) === null) claimed(id, { fence, lease }, changed.has(id) ? null : read);
        }
        if (found.length >= limit) again = !stopped;
      } catch (error) {
        // Said once: it is tried twice a second for as long as the database is away.
        if (healthy) log.warn({ err: error }, 'looking for runs without an owner failed; it is tried again');
        healthy = false;
      }
    }
  }

  async function soon(): Promise<void> {
    if (stopped) return;
    again = true;
    claiming ??= claim().finally(() => {
      claiming = null;
    });
    await claiming;
  }

  function every(): void {
    void soon();
    cancel = clock.at(clock.now() + intervalMs, every);
  }

  return {
    start: every,
    soon,
    changed: (id) => void changed.add(id),
    async stop() {
      stopped = true;
      again = false;
      cancel();
      await claiming;
    },
  };
}
