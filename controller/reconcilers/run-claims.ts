import type { Logger } from 'pino';
import type { Clock } from '../seams/clock.ts';
import type { Lease } from '../seams/lease.ts';
import type { Store } from '../store/types.ts';

export interface RunClaims {
  /** Begins to look for runs without an owner twice a second. */
  start(): void;
  /** Looks now: one is known to be there. */
  soon(): void;
  /** Looks no more. Resolves when nothing is being claimed. */
  stop(): Promise<void>;
}

export interface RunClaimsDependencies {
  store: Pick<Store, 'lease' | 'runs'>;
  clock: Clock;
  log: Logger;
  /** Before each look: what was claimed under a lease that is lost now has to be dropped. */
  before(): void;
  claimed(id: string, claim: { fence: number; lease: Lease }): void;
}

const intervalMs = 500;
const limit = 200;

/** Takes runs that nobody owns. One claim at a time; a request during one makes one more. */
export function createRunClaims({ store, clock, log, before, claimed }: RunClaimsDependencies): RunClaims {
  let claiming: Promise<void> | null = null;
  let again = false;
  let healthy = true;
  let cancel = () => {};

  async function claim(): Promise<void> {
    while (again) {
      again = false;
      try {
        const { lease } = store;
        before();
        const found = await store.runs.claim(limit);
        healthy = true;
        for (const { id, fence } of found) claimed(id, { fence, lease });
        if (found.length === limit) again = true;
      } catch (error) {
        // Said once: it is tried twice a second for as long as the database is away.
        if (healthy) log.warn({ err: error }, 'looking for runs without an owner failed; it is tried again');
        healthy = false;
      }
    }
  }

  function soon(): void {
    again = true;
    claiming ??= claim().finally(() => {
      claiming = null;
    });
  }

  function every(): void {
    soon();
    cancel = clock.at(clock.now() + intervalMs, every);
  }

  return {
    start: every,
    soon,
    async stop() {
      cancel();
      await claiming;
    },
  };
}
