import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';
import { backoffMs } from './loop.ts';

export interface StatusWriterOptions<Key, Status> {
  clock: Clock;
  /** Identity of an object; a replaced object (another uid) is another key. */
  id(key: Key): string;
  write(key: Key, status: Status): Promise<void>;
  /** Called when a write failed; it is tried again with the newest status. */
  onError(key: Key, error: unknown): void;
  /** Least time between two writes of one object. Default 1,000 ms. */
  intervalMs?: number;
}

export interface StatusWriter<Key, Status> {
  /**
   * Says what the status of an object is now. Written at once if it differs from the last one and none was written
   * within the interval, else when the interval is over, the newest only. A `final` status does not wait.
   */
  offer(key: Key, status: Status, final?: boolean): void;
  /** Tells the writer what the object's status is already, so that an equal one is not written again. */
  known(key: Key, status: Status | undefined): void;
  /** Drops what is remembered of an object that is gone or another's, and what waits to be written; a write under way is not repeated. */
  forget(key: Key): void;
  /** Writes what waits and then nothing more: for the end. What fails now is projected anew by the next start. */
  close(): Promise<void>;
}

interface Entry<Key, Status> {
  key: Key;
  written: string | null;
  writtenAt: Instant;
  wanted: { status: Status; json: string } | null;
  writing: Promise<void> | null;
  cancelTimer: (() => void) | null;
  failures: number;
  final: boolean;
  /** Of what is being written, nobody is to be told. */
  forgotten: boolean;
}

/** A status that could not be written for long, as a right was missing, is right again so soon after that. */
const longestRetryMs = 10_000;

/** Statuses are projections: losing one between two is right, writing each would cost a request per step. */
export function createStatusWriter<Key, Status>(options: StatusWriterOptions<Key, Status>): StatusWriter<Key, Status> {
  const { clock } = options;
  const intervalMs = options.intervalMs ?? 1000;
  const entries = new Map<string, Entry<Key, Status>>();
  let closing: Promise<void> | null = null;

  function entryOf(key: Key): Entry<Key, Status> {
    const id = options.id(key);
    let entry = entries.get(id);
    if (!entry) {
      entry = {
        key,
        written: null,
        writtenAt: Number.NEGATIVE_INFINITY,
        wanted: null,
        writing: null,
        cancelTimer: null,
        failures: 0,
        final: false,
        forgotten: false,
      };
      entries.set(id, entry);
    }
    return entry;
  }

  function advance(entry: Entry<Key, Status>): void {
    if (closing || !entry.wanted || entry.writing) return;
    entry.cancelTimer?.();
    entry.cancelTimer = null;
    const now = clock.now();
    const at =
      entry.failures > 0
        ? entry.writtenAt + Math.min(longestRetryMs, backoffMs(entry.failures, 0.5))
        : entry.final
          ? now
          : entry.writtenAt + intervalMs;
    if (at > now) entry.cancelTimer = clock.at(at, () => advance(entry));
    else entry.writing = write(entry).finally(() => settle(entry));
  }

  async function write(entry: Entry<Key, Status>): Promise<void> {
    const wanted = entry.wanted;
    if (!wanted) return;
    entry.wanted = null;
    entry.writtenAt = clock.now();
    try {
      await options.write(entry.key, wanted.status);
      entry.written = entry.forgotten ? null : wanted.json;
      entry.failures = 0;
    } catch (error) {
      if (entry.forgotten) return;
      entry.failures++;
      entry.wanted ??= wanted;
      options.onError(entry.key, error);
    }
  }

  function settle(entry: Entry<Key, Status>): void {
    entry.writing = null;
    const isOver = entry.final || entry.forgotten;
    entry.forgotten = false;
    if (entry.wanted) advance(entry);
    else if (isOver && entries.get(options.id(entry.key)) === entry) entries.delete(options.id(entry.key));
  }

  async function writeWaiting(): Promise<void> {
    for (const entry of entries.values()) entry.cancelTimer?.();
    await Promise.all(
      [...entries.values()].map(async (entry) => {
        await entry.writing;
        await write(entry);
      }),
    );
  }

  return {
    offer(key, status, final = false) {
      const entry = entryOf(key);
      const json = JSON.stringify(status);
      entry.final = entry.final || final;
      if (!entry.wanted && !entry.writing && json === entry.written) {
        if (entry.final) entries.delete(options.id(key));
        return;
      }
      entry.wanted = { status, json };
      advance(entry);
    },
    known(key, status) {
      const entry = entryOf(key);
      if (entry.written === null && status !== undefined) entry.written = JSON.stringify(status);
    },
    forget(key) {
      const entry = entries.get(options.id(key));
      if (!entry) return;
      entry.cancelTimer?.();
      // It is settled before another write of this object may begin, or the older one could come last.
      Object.assign(entry, { cancelTimer: null, wanted: null, written: null, failures: 0, final: false });
      // Even if nothing is: the write that is just beginning may be what has brought this about.
      entry.forgotten = true;
      if (!entry.writing) entries.delete(options.id(key));
    },
    close() {
      closing ??= writeWaiting();
      return closing;
    },
  };
}
