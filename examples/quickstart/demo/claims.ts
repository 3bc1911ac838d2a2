import { setTimeout as delay } from 'node:timers/promises';
import type { Client, EventResource } from '../../../api/client.ts';

/** What the demo says is true, held against what the API answers. */
export interface Claims {
  /** Looks until it is so. @throws with what was seen last when the time is over */
  becomes<T>(what: string, read: () => Promise<T>, isSo: (seen: T) => boolean): Promise<T>;
  /** @throws with what was seen when it is not so now */
  holds<T>(what: string, seen: T, isSo: (seen: T) => boolean): T;
  /** Waits for an event, or finds it among those that were. */
  event(reason: string): Promise<EventResource>;
}

/** Something the demo says is not so; `seen` is what there was instead. */
export class NotTrue extends Error {
  override name = 'NotTrue';
  readonly seen: unknown;
  constructor(what: string, seen: unknown) {
    super(`not true: ${what}`);
    this.seen = seen;
  }
}

/** A status changes without an event, so one looks again after this long at the latest. */
const lookAgainMs = 200;

/** Follows the controller's events from now on: each is a reason to look again. `signal` ends all waiting. */
export function createClaims(client: Client, signal: AbortSignal): Claims {
  const events: EventResource[] = [];
  let news = Promise.withResolvers<void>();
  void follow();

  async function follow(): Promise<void> {
    try {
      for await (const event of client.followEvents({}, signal)) {
        events.push(event);
        news.resolve();
        news = Promise.withResolvers<void>();
      }
    } catch {
      // The controller is gone; whoever waits learns it by the next look.
    }
  }

  async function becomes<T>(what: string, read: () => Promise<T>, isSo: (seen: T) => boolean): Promise<T> {
    for (;;) {
      const changed = news.promise;
      const seen = await read().catch((error: unknown) => {
        throw isTimeout(error) ? new NotTrue(what, 'no answer') : error;
      });
      if (isSo(seen)) return seen;
      const tick = new AbortController();
      await Promise.race([
        changed,
        delay(lookAgainMs, undefined, { signal: AbortSignal.any([signal, tick.signal]) }).catch(() => undefined),
      ]);
      tick.abort();
      if (signal.aborted) throw isTimeout(signal.reason) ? new NotTrue(what, seen) : signal.reason;
    }
  }

  return {
    becomes,
    holds(what, seen, isSo) {
      if (!isSo(seen)) throw new NotTrue(what, seen);
      return seen;
    },
    async event(reason) {
      const seen = await becomes(
        `there is an event ${reason}`,
        async () => events,
        (all) => all.some((event) => event.reason === reason),
      );
      return seen.find((event) => event.reason === reason) as EventResource;
    },
  };
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError';
}
