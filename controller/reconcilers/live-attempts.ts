import type { AttemptKey } from '../core/run/types.ts';
import type { Clock } from '../seams/clock.ts';

/** The attempts that were begun here and would be cut short if this controller ended now. */
export interface LiveAttempts {
  /** Nothing is to begin here any more. */
  readonly draining: boolean;
  begun(key: AttemptKey): void;
  ended(key: AttemptKey): void;
  /** All of a run that is another's now. */
  forget(runId: string): void;
  /** Resolves when none is left, after `graceMs` at the latest. */
  drain(graceMs: number): Promise<void>;
}

export function createLiveAttempts(clock: Clock): LiveAttempts {
  const live = new Map<string, Set<string>>();
  let draining = false;
  let drained = () => {};

  function forget(runId: string): void {
    live.delete(runId);
    if (draining && live.size === 0) drained();
  }

  return {
    get draining() {
      return draining;
    },
    begun(key) {
      const ofRun = live.get(key.runId);
      if (ofRun) ofRun.add(idOf(key));
      else live.set(key.runId, new Set([idOf(key)]));
    },
    ended(key) {
      const ofRun = live.get(key.runId);
      ofRun?.delete(idOf(key));
      if (ofRun?.size === 0) forget(key.runId);
    },
    forget,
    async drain(graceMs) {
      draining = true;
      if (live.size === 0) return;
      await new Promise<void>((resolve) => {
        const cancel = clock.at(clock.now() + graceMs, resolve);
        drained = () => {
          cancel();
          resolve();
        };
      });
    },
  };
}

function idOf({ step, item, attempt }: AttemptKey): string {
  return `${step} ${item} ${attempt}`;
}
