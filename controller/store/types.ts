import type {
  ActiveVersion,
  Person,
  PromotionDecision,
  PromotionRow,
  RefContent,
  UpstreamFact,
} from '../core/promotion/types.ts';
import type {
  AttemptKey,
  AttemptRow,
  RunEvent,
  RunPhase,
  RunRow,
  RunRows,
  RunTransition,
  StepRow,
} from '../core/run/types.ts';
import type { Snapshot } from '../core/snapshot.ts';
import type { Instant } from '../core/time.ts';
import type { FileStore, LogSink } from '../seams/executor.ts';
import type { Lease } from '../seams/lease.ts';
import type { ObjectStore } from '../seams/objects.ts';

/** A name of a version: tag or commit, and where it came from. */
export interface VersionName {
  project: string;
  workflow: string;
  digest: string;
  ref: string;
  commit: string;
  at: Instant;
}

export interface RefRow {
  /** Made of the source and its URL. */
  sourceId: string;
  /** refs/tags/… or refs/heads/… */
  ref: string;
  commit: string;
  /** For annotated tags; else null. */
  tagger: Person | null;
  author: Person;
  message: string;
  firstSeenAt: Instant;
  movedTo: string | null;
  deleted: boolean;
}

export interface EventRow {
  /** Ascending; the cursor of lists and of server-sent events. */
  id: number;
  kind: string;
  namespace: string;
  name: string;
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  at: Instant;
}

export interface RunFilter {
  namespace?: string;
  /** Any of these. */
  namespaces?: readonly string[];
  workflow?: string;
  digest?: string;
  environment?: string;
  phases?: RunPhase[];
  /** Created at or after. */
  since?: Instant;
  name?: string;
}

/** Keyset page: newest first, ordered by (createdAt, id) descending. `next` is opaque; null at the end. */
export interface Page<T> {
  items: T[];
  next: string | null;
}

export interface LogLine {
  /** Byte offset in the attempt's output just after this piece: the cursor to resume from. */
  position: number;
  text: string;
}

export interface RunHistory {
  /** Records a run that has left the queue, with what happened as it did; false when the id is there already. */
  create(run: RunRow, events?: RunEvent[]): Promise<boolean>;
  /** Takes runs of this home with no live owner for the lease as it is at the call, up to `limit` (≤200); raises their fence. */
  claim(limit: number): Promise<{ id: string; fence: number }[]>;
  /** Those of these ids whose end is recorded; at most 1,000 are asked for at a time. */
  ended(ids: string[]): Promise<Set<string>>;
  /** For hydrate: run, all step rows, attempts that have not ended. */
  load(ids: string[]): Promise<RunRows[]>;
  /**
   * One fenced transaction, shared with whatever else is waiting (group commit): resolves when it is durable.
   * @throws FenceLost when another replica owns the run. Unstorable data ends the run Failed `infrastructure/unstorable`.
   */
  commit(transition: RunTransition, fence: number): Promise<void>;
  /** Gives runs back, so that another replica (or the next start) claims them at once. */
  release(ids: string[]): Promise<void>;
  get(id: string): Promise<RunRow | null>;
  getByName(namespace: string, name: string): Promise<RunRow | null>;
  list(filter: RunFilter, page: { limit: number; after?: string }): Promise<Page<RunRow>>;
  steps(runId: string): Promise<StepRow[]>;
  attempts(runId: string, step?: string): Promise<AttemptRow[]>;
  /** Attempts of this home that have not ended, of runs that have not finished. */
  openAttempts(): Promise<AttemptKey[]>;
}

export interface PromotionHistory {
  /** Everything one Environment decision changes, in one transaction fenced by the leader row. */
  commit(
    environment: { project: string; name: string; uid: string },
    decision: Pick<PromotionDecision, 'promotions' | 'activate' | 'names' | 'events'>,
    now: Instant,
  ): Promise<{ revision: number }>;
  active(project: string, environment: string): Promise<ActiveVersion[]>;
  /** How many decisions are recorded of an environment; 0: none. */
  revision(project: string, environment: string): Promise<number>;
  /** The digest a run in this namespace executes: environment and its UID, version and its name, or null when no environment owns it. */
  activeIn(
    namespace: string,
    workflow: string,
  ): Promise<{ project: string; environment: string; uid: string; digest: string | null; ref: string | null } | null>;
  upstream(project: string, environment: string): Promise<Omit<UpstreamFact, 'exists'>>;
  get(id: string): Promise<PromotionRow | null>;
  /** All of one environment that have not finished, the last 100 that have, and the last 1,000 that came to a bad end. */
  ofEnvironment(project: string, environment: string): Promise<PromotionRow[]>;
  list(
    filter: { project?: string; environment?: string; phases?: string[] },
    page: { limit: number; after?: string },
  ): Promise<Page<PromotionRow>>;
  /**
   * Says which namespace an environment owns; false when another environment has it. When the environment is another than
   * the one that had its name before, that one's open promotions end Superseded and it lets go of all it owned.
   * @throws FenceLost when it would write and does not lead
   */
  own(environment: { project: string; name: string; uid: string }, namespace: string, now: Instant): Promise<boolean>;
  /** Lets go of everything an environment owned, history kept. @throws FenceLost */
  disown(project: string, environment: string): Promise<void>;
}

export interface VersionHistory {
  /** Stores snapshots and their file contents; what is there already is left alone. */
  put(snapshots: Snapshot[], blobs: ReadonlyMap<string, Uint8Array>, at: Instant): Promise<void>;
  get(digest: string): Promise<Snapshot | null>;
  name(names: VersionName[]): Promise<void>;
  list(
    filter: { project?: string; workflow?: string },
    page: { limit: number; after?: string },
  ): Promise<Page<VersionName>>;
  /** Every name of the given versions in a project. */
  namesOf(project: string, digests: string[]): Promise<VersionName[]>;
  /** What a commit of a source holds below a path, judged once and kept. */
  content(sourceId: string, commit: string, path: string): Promise<RefContent | null>;
  /** @throws FenceLost */
  putContent(sourceId: string, commit: string, path: string, content: RefContent): Promise<void>;
}

export interface RefHistory {
  list(sourceId: string): Promise<RefRow[]>;
  /**
   * Records a fetch: new tags are inserted; a tag at another commit gets `movedTo` and keeps its commit; a tag that is
   * gone is marked deleted; branches are moved. Returns the rows as they are now.
   * @throws FenceLost
   */
  record(
    sourceId: string,
    refs: Omit<RefRow, 'sourceId' | 'firstSeenAt' | 'movedTo' | 'deleted'>[],
    now: Instant,
  ): Promise<RefRow[]>;
  /** Forgets refs and contents of every source id that begins with `<source>-`, except `keep`. @throws FenceLost */
  drop(source: string, keep: string | null): Promise<void>;
}

export interface EventHistory {
  append(events: Omit<EventRow, 'id'>[]): Promise<void>;
  /** Ascending from `after` (exclusive); newest last. */
  list(
    filter: { kind?: string; namespace?: string; name?: string },
    page: { limit: number; after?: number },
  ): Promise<EventRow[]>;
  /** Id of the newest; 0 for none. */
  last(): Promise<number>;
  /** Calls back when something may have been appended (this process at once, others within 2 s). Returns a stop function. */
  onAppend(fn: () => void): () => void;
}

export interface LogHistory extends LogSink {
  /** Stored output from `position` on, decoded as UTF-8, at most `limitBytes`. */
  read(runId: string, step: string, attempt: number, position: number, limitBytes: number): Promise<LogLine[]>;
  /** Calls back when a log of this run may have grown. Returns a stop function. */
  onAppend(runId: string, fn: () => void): () => void;
}

/** History and desired state in one database, on either driver. Opened by store/open.ts. */
export interface Store {
  readonly driver: 'pglite' | 'postgres';
  /** The lease as it is now. After a loss the lost one, until another is taken: whoever acts on a claim keeps the lease it was made under. */
  readonly lease: Lease;
  readonly objects: ObjectStore;
  readonly runs: RunHistory;
  readonly promotions: PromotionHistory;
  readonly versions: VersionHistory & FileStore;
  readonly refs: RefHistory;
  readonly events: EventHistory;
  readonly logs: LogHistory;
  /** True while this replica is the leader of the config kinds of its home (always, on PGlite). */
  isLeader(): boolean;
  /** Calls back when leadership was won or lost. Returns a stop function. */
  onLeadership(fn: (leader: boolean) => void): () => void;
  /** Round trip, for /readyz. @throws when the database cannot be reached. */
  ping(): Promise<void>;
  /** Gives up lease, leadership and runs, then closes. */
  close(): Promise<void>;
}
