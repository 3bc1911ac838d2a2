import type { AttemptKey, AttemptResult, ResolvedBody, RunAction } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { StoredArtifact } from './artifacts.ts';

export type StartAction = Extract<RunAction, { type: 'Start' }>;
export type StopAction = Extract<RunAction, { type: 'Stop' }>;

/**
 * The world does not let an attempt begin for now, through no fault of its step; it is tried again. The message says why,
 * and what a person can do.
 */
export class AttemptHeld extends Error {
  override name = 'AttemptHeld';
}

/** Where executors report. Calls return at once and never throw. */
export interface ExecutorSink {
  /**
   * An attempt ended. Reported exactly once per start or stop by one executor instance; again after a restart is harmless.
   * `at`: when it ended in truth, also when nobody watched; a finished attempt is not judged by when it was found.
   */
  ended(key: AttemptKey, result: AttemptResult, at: Instant): void;
  /** The values of these Secrets cannot be hidden in an attempt's log, which is about to be read. May be said again. */
  unmasked(key: AttemptKey, secrets: string[]): void;
  /**
   * An attempt has begun and the world keeps its step from running: why, in words for people; null: it goes on. Told when it
   * changes, and after a restart anew.
   */
  waiting(key: AttemptKey, reason: string | null): void;
  /** Log lines of an attempt. */
  log: LogSink;
}

/** Keeps logs by (attempt, position). Writers resume after the last stored position; the longer chunk wins. */
export interface LogSink {
  /** `position`: byte offset of `bytes` in the attempt's output as it is shown (secrets masked), so that writing twice is harmless. Waits while the store is slow. */
  append(key: AttemptKey, position: number, bytes: Uint8Array): Promise<void>;
  /** First position that is not stored yet; 0 for none. */
  resumeAt(key: AttemptKey): Promise<number>;
  /**
   * The log is longer than what is appended of it. `rest`: what has all of it from `position` on, which is at most 3 bytes
   * before the end of what is appended, so that a character across the border is whole there; null while the attempt runs.
   * May be said again.
   */
  overflow(key: AttemptKey, position: number, rest: StoredArtifact | null): Promise<void>;
}

/**
 * Runs attempts of one or more step kinds. Conformance suite: test/conformance/executor.ts.
 * `start` is idempotent per key: one that runs is adopted, one that ended is reported again, one that vanished ends with
 * `infrastructure/lost`. At most one real start per recorded attempt (http: at least once, with an Idempotency-Key).
 */
export interface Executor {
  readonly kinds: readonly ResolvedBody['kind'][];
  /** Returns once the attempt has begun or was adopted; how it ends goes to the sink. @throws AttemptHeld; anything else when the world failed: both are retried. */
  start(action: StartAction): Promise<void>;
  /**
   * Ends an attempt: politely, then after `graceMs` for good. One that ended by itself before reports how it did, until it
   * is forgotten; one that ran on, never began or is unknown reports `Stopped`.
   */
  stop(action: StopAction): Promise<void>;
  /** Removes what an attempt left behind, once it has ended. For attempts whose end is committed: starting one again would run it again. */
  forget(key: AttemptKey): Promise<void>;
  /**
   * Removes what attempts left behind that were never forgotten, and ends what still runs of them. `open` names the
   * attempts whose end is not recorded yet: they are kept, as are those that this executor runs. It is asked after the
   * look at what is there, so that one that begins meanwhile elsewhere is not touched. Called before the first start; where
   * others than this executor begin attempts also now and then later, when only what has ended and was left over the time
   * before is removed.
   */
  sweep(open: () => Promise<AttemptKey[]>): Promise<void>;
  /** Lets go of what runs without ending it (processes go on and are adopted by the next start). */
  close(): Promise<void>;
}

/** The files of a version, as they must exist at run time. */
export interface FileStore {
  /** Contents by path for a version's digest. */
  files(digest: string): Promise<ReadonlyMap<string, Uint8Array>>;
}

/** Reads one key of a Secret in a namespace; null when there is none. The value is used and dropped, never stored or logged. */
export interface SecretReader {
  read(namespace: string, name: string, key: string): Promise<string | null>;
  /** The file that a value is read from, where it is one: for whoever has to put it there. */
  place?(namespace: string, name: string, key: string): string;
}
