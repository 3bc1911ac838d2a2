import type { Context } from 'hono';
import { streamSSE } from 'hono/streaming';
import type { AppDependencies } from './dependencies.ts';

/** Proxies and clients give up on silent connections; a comment this often keeps them. */
const keepAliveMs = 15_000;

/** What a follower does with its stream. */
export interface EventStream {
  /** Sends one event; waits while the client is slow. `id` is what the client sends back as Last-Event-ID. */
  send(event: string, id: string | undefined, data: unknown): Promise<void>;
  /** Waits until something rang the bell, at the latest `pollMs`; false when the client or the server is leaving. */
  wait(pollMs: number): Promise<boolean>;
}

/**
 * Answers with server-sent events. `subscribe` hooks the bell to what announces news and returns how to unhook it;
 * `follow` sends until it returns. A failure ends the stream with an `error` event; the client resumes by Last-Event-ID.
 */
export function eventStream(
  c: Context,
  deps: Pick<AppDependencies, 'clock' | 'log' | 'closing'>,
  subscribe: (ring: () => void) => (() => void)[],
  follow: (stream: EventStream) => Promise<void>,
): Response {
  // nobody would read the stream, so nobody would ever end it
  if (c.req.method === 'HEAD') return c.body(null, 200, { 'content-type': 'text/event-stream' });
  return streamSSE(c, async (stream) => {
    const bell = createBell();
    let quietSince = deps.clock.monotonic();
    const leaving = () => stream.aborted || (deps.closing?.aborted ?? false);
    stream.onAbort(bell.ring);
    deps.closing?.addEventListener('abort', bell.ring);
    const unhook = subscribe(bell.ring);
    const send = async (event: string, id: string | undefined, data: unknown) => {
      quietSince = deps.clock.monotonic();
      await stream.writeSSE({ event, data: JSON.stringify(data), ...(id === undefined ? {} : { id }) });
    };
    const wait = async (pollMs: number) => {
      if (deps.clock.monotonic() - quietSince >= keepAliveMs) {
        quietSince = deps.clock.monotonic();
        await stream.write(': keep-alive\n\n');
      }
      if (leaving()) return false;
      const cancel = deps.clock.at(deps.clock.now() + pollMs, bell.ring);
      await bell.rung();
      cancel();
      return !leaving();
    };
    try {
      // the first bytes make the client see that the stream is open
      await stream.write(': open\n\n');
      await follow({ send, wait });
    } catch (error) {
      deps.log.error({ err: error, path: c.req.path }, 'event stream failed');
      await send('error', undefined, { detail: 'The stream failed; resume with Last-Event-ID.' });
    } finally {
      for (const stop of unhook) stop();
      deps.closing?.removeEventListener('abort', bell.ring);
    }
  });
}

/** Rung before anyone waits, it is heard by the next who does: news between looking and waiting are not missed. */
function createBell(): { ring(): void; rung(): Promise<void> } {
  let pending = false;
  let wake: (() => void) | null = null;
  return {
    ring() {
      pending = true;
      wake?.();
    },
    async rung() {
      if (!pending) await new Promise<void>((resolve) => (wake = resolve));
      pending = false;
      wake = null;
    },
  };
}

/** True when the caller asked for server-sent events. */
export function wantsEvents(c: Context): boolean {
  return (c.req.header('accept') ?? '').toLowerCase().includes('text/event-stream');
}
