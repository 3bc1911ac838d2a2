import { type Clock, pause } from '../seams/clock.ts';

/** Resolves when it is the caller's turn, or the signal aborts. */
export type Pace = (signal: AbortSignal) => Promise<void>;

/** So many at once when there were none for a while, and then so many a second. */
export function createPace(clock: Clock, { burst, perSecond }: { burst: number; perSecond: number }): Pace {
  const interval = 1000 / perSecond;
  /** When everything that was let through would have been, at the even pace. */
  let even = Number.NEGATIVE_INFINITY;
  return async (signal) => {
    const now = clock.now();
    even = Math.max(even, now) + interval;
    const turn = even - burst * interval;
    if (turn > now) await pause(clock, turn - now, signal);
  };
}
