import type { Clock } from '../seams/clock.ts';

/** setTimeout fires at once beyond this; longer waits are cut into pieces. */
const longestTimeoutMs = 2 ** 31 - 1;

/** The only reader of the machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  at(at, fn) {
    let timer: NodeJS.Timeout;
    const arm = () => {
      const left = at - Date.now();
      timer = left > longestTimeoutMs ? setTimeout(arm, longestTimeoutMs) : setTimeout(fn, Math.max(0, left));
    };
    arm();
    return () => clearTimeout(timer);
  },
};
