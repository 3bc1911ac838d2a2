import type { Logger } from 'pino';
import type { ArtifactStore } from '../seams/artifacts.ts';
import type { Clock } from '../seams/clock.ts';
import type { Store } from '../store/types.ts';

export interface ArtifactRetentionDependencies {
  store: Pick<Store, 'artifacts' | 'isLeader'>;
  artifacts: Pick<ArtifactStore, 'delete'>;
  clock: Clock;
  log: Pick<Logger, 'warn' | 'debug'>;
  /** Milliseconds that artifacts are kept after the end of their run. */
  keptMs: number;
}

const everyMs = 3_600_000;
/** The first look leaves a start alone. */
const firstMs = 60_000;

/** Removes artifacts that neither a run nor the cache refers to any more, once an hour. The leader's work. */
export function createArtifactRetention(deps: ArtifactRetentionDependencies): { start(): void; stop(): Promise<void> } {
  const { store, artifacts, clock, log, keptMs } = deps;
  let cancel = () => {};
  let running: Promise<void> = Promise.resolve();
  let stopped = false;

  function arm(afterMs: number): void {
    if (stopped) return;
    cancel = clock.at(clock.now() + afterMs, () => {
      running = look().finally(() => arm(everyMs));
    });
  }

  async function look(): Promise<void> {
    if (!store.isLeader()) return;
    try {
      const removed = await store.artifacts.sweep({ keptMs, remove: (digests) => artifacts.delete(digests) });
      if (removed > 0) log.debug({ removed }, 'artifacts that nobody refers to were removed');
    } catch (error) {
      if (!stopped) log.warn({ err: error }, 'artifacts that nobody refers to could not be removed; it is tried again');
    }
  }

  return {
    start: () => arm(firstMs),
    async stop() {
      stopped = true;
      cancel();
      await running;
    },
  };
}
