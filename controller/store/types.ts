import type {
  ActiveVersion,
  Person,
  PromotionDecision,
  PromotionRow,
  RefContent,
  UpstreamFact,
} from '../core/promotion/types.ts';
import type { JsonObject } from '../../crds/json.ts';
import type { AdmissionDecision, AdmissionFacts } from '../core/admission/types.ts';
import type {
  ArtifactRef,
  AttemptKey,
  AttemptRow,
  Holder,
  RunAction,
  RunEvent,
  RunObservation,
  RunPhase,
  RunRow,
  RunRows,
  RunTransition,
  StepError,
  StepPhase,
  StepRow,
} from '../core/run/types.ts';
import type { Snapshot } from '../core/snapshot.ts';
import type { Instant } from '../core/time.ts';
import type { ArtifactReader, StoredArtifact } from '../seams/artifacts.ts';
import type { FileStore, LogSink } from '../seams/executor.ts';
import type { Lease } from '../seams/lease.ts';
import type { ObjectStore } from '../seams/objects.ts';
import type { ApprovalLooks } from './approval-types.ts';
import type { StepCache } from './cache-types.ts';

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
  /** Id of a run: the runs that its steps started. Without it and without `name`, only runs that no step started. */
  parent?: string;
}

/** What is wanted of a child run, which has no object: as `SpecObserved` tells it. */
export type ChildSpec = Omit<Extract<RunObservation, { type: 'SpecObserved' }>, 'type'>;

/** What hydrate needs; and of a child run, what is wanted of it. */
export interface LoadedRun extends RunRows {
  spec: ChildSpec | null;
}

/** How a run came out. */
export type RunResult = Pick<RunRow, 'id' | 'parent' | 'phase' | 'finishedAt' | 'outputs' | 'error'>;

/** How many items of a forEach are in a phase. */
export interface ItemCount {
  step: string;
  phase: StepPhase;
  count: number;
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
  /**
   * Records a run that has left the queue, with what happened as it did, and with what it takes over from the run it replays;
   * false when the id is there already. A child run begins with the spec that its row says. One that is recorded as Failed or
   * TimedOut at once becomes a dead letter, as by a commit.
   */
  create(run: RunRow, more?: { events?: RunEvent[]; steps?: StepRow[] }): Promise<boolean>;
  /** Takes runs of this home with no live owner for the lease as it is at the call, up to `limit` (≤200); raises their fence. */
  claim(limit: number): Promise<{ id: string; fence: number }[]>;
  /** What the database says is this replica's and has not ended: what `claim` has given, also where its answer was lost. */
  owned(): Promise<{ id: string; fence: number }[]>;
  /** Those of these ids whose end is recorded; at most 1,000 are asked for at a time. */
  ended(ids: string[]): Promise<Set<string>>;
  /** How those of these runs that have ended came out; at most 1,000 are asked for at a time. For parents. */
  results(ids: string[]): Promise<RunResult[]>;
  /** For hydrate: run, all rows of steps and items, attempts that have not ended. */
  load(ids: string[]): Promise<LoadedRun[]>;
  /**
   * One fenced transaction, shared with whatever else is waiting (group commit): resolves when it is durable.
   * A run that nobody's step started and that ends Failed or TimedOut becomes a dead letter, or is the new failure of the one
   * that was redriven as it; one that ends well resolves it.
   * @throws FenceLost when another replica owns the run. Unstorable data ends the run Failed `infrastructure/unstorable`.
   */
  commit(transition: RunTransition, fence: number): Promise<void>;
  /** Gives runs back, so that another replica (or the next start) claims them at once. */
  release(ids: string[]): Promise<void>;
  get(id: string): Promise<RunRow | null>;
  getByName(namespace: string, name: string): Promise<RunRow | null>;
  list(filter: RunFilter, page: { limit: number; after?: string }): Promise<Page<RunRow>>;
  /** The steps of a run, without the items of those that have some. */
  steps(runId: string): Promise<StepRow[]>;
  /** One step, or one item of it. */
  step(runId: string, step: string, item: number): Promise<StepRow | null>;
  /** Items of a step in their order. */
  items(
    runId: string,
    step: string,
    page: { limit: number; after?: string; phases?: StepPhase[] },
  ): Promise<Page<StepRow>>;
  /** How many items there are of each step, by phase. */
  itemCounts(runId: string): Promise<ItemCount[]>;
  /** Attempts of a run's steps, or of one; of no items but those that are named. */
  attempts(runId: string, of?: { step?: string; items?: number[] }): Promise<AttemptRow[]>;
  /** Attempts of this home that have not ended, of runs that have not finished. */
  openAttempts(): Promise<AttemptKey[]>;
  /**
   * Makes an ended run go on: writes its rows as the next execution has them. Nobody owns it then, and whoever owned it may
   * not write any more. A child run becomes that of the attempt in `parent`, and nobody wants it paused or cancelled any more. False, and nothing is written, unless the run has ended and its execution is the one before.
   */
  reopen(transition: RunTransition): Promise<boolean>;
  /**
   * Changes what is wanted of a child run; again from the start if another writer was first. Null from `change` changes
   * nothing. Returns the spec as it is now; null when there is no such child run.
   */
  changeSpec(id: string, change: (spec: ChildSpec) => ChildSpec | null): Promise<ChildSpec | null>;
  /** What is wanted of these runs; of those that have no such spec, nothing. */
  specs(ids: string[]): Promise<Map<string, ChildSpec>>;
  /** Calls back with child runs of this replica whose spec was changed (here at once, elsewhere within 2 s), maybe again. Returns a stop function. */
  onSpecs(fn: (ids: string[]) => void): () => void;
}

/** What failed for good, with all that is needed to start it again. What it is redriven as belongs to it, and so does its failure. */
export interface DeadLetter {
  id: number;
  kind: 'run';
  /** Id of the run that failed last. */
  subject: string;
  namespace: string;
  name: string;
  workflow: string;
  payload: {
    workflow: string;
    namespace: string;
    inputs: JsonObject;
    digest: string;
    execution: number;
    priority: number;
  };
  error: StepError | null;
  /** The execution that failed. */
  execution: number;
  landedAt: Instant;
  /** Redriven: somebody started it again, and it has not ended yet. Resolved: it has, and well. Waiting: neither. */
  state: 'Waiting' | 'Redriven' | 'Resolved' | 'Discarded';
  /** How often somebody began to start it again; when and who that was last. */
  redrives: number;
  redrivenAt: Instant | null;
  redrivenBy: string | null;
  /** Name and id of the run it was redriven as. A name without an id: that was begun, and nobody has said yet that it was done. */
  redrivenName: string | null;
  redrivenAs: string | null;
  /** When it was resolved or discarded; by whom and why, when it was discarded. */
  closedAt: Instant | null;
  closedBy: string | null;
  closedReason: string | null;
}

/** What failed for good. Landing and resolving happen in the commit that ends the run. */
export interface DeadLetterHistory {
  get(id: number): Promise<DeadLetter | null>;
  ofRun(runId: string): Promise<DeadLetter | null>;
  /** Newest first. */
  list(
    filter: { namespace?: string; workflow?: string; states?: DeadLetter['state'][] },
    page: { limit: number; after?: string },
  ): Promise<Page<DeadLetter>>;
  /** How many wait, by namespace and workflow. */
  waiting(): Promise<{ namespace: string; workflow: string; count: number }[]>;
  /**
   * To be called before anything is started: says as which run, so that this run's end is the letter's however soon it comes.
   * False, and nothing is written, unless the letter is open and still as it was seen: somebody else was first.
   */
  beginRedrive(
    seen: Pick<DeadLetter, 'id' | 'subject' | 'execution' | 'redrives'>,
    redrive: { by: string; name: string; at: Instant },
  ): Promise<boolean>;
  /** Says that the redrive of this number was done, as which run. Says nothing once that run has ended, or said already. */
  markRedriven(id: number, redriven: { redrives: number; as: string }): Promise<void>;
  /** Those that were redriven before that instant as a run of which nothing is recorded, or nothing new: by ascending id, past `after`. */
  unrecorded(before: Instant, after: number, limit: number): Promise<DeadLetter[]>;
  /** It waits again, as nothing came of its redrive, and that is told by an event. False unless it is still as it was seen. */
  waitAgain(
    seen: Pick<DeadLetter, 'id' | 'redrives' | 'redrivenAs'>,
    why: { message: string; at: Instant },
  ): Promise<boolean>;
  /** Puts it aside, for a reason, and tells it by an event. False unless it waits or was redriven. */
  discard(id: number, discarded: { by: string; reason: string; at: Instant }): Promise<boolean>;
}

/** Who asks for locks: a run, or a unit of one. */
export type LockAsk = Omit<Extract<RunAction, { type: 'Acquire' }>, 'type'>;

/** What was decided about the ask of that `since`. Superseded: its run is to be cancelled, as another takes its place. */
export type LockAnswer =
  | { type: 'Granted'; runId: string; holder: Holder; since: Instant }
  | { type: 'Refused'; runId: string; holder: Holder; since: Instant; error: StepError }
  | { type: 'Superseded'; runId: string; holder: Holder; reason: string };

/** How admission is decided: by `decideAdmission`, which the store must not know. */
export type DecideAdmission = (facts: AdmissionFacts) => AdmissionDecision;

/**
 * Who holds and who waits for locks, groups and slots. `slots`: most running steps of the namespace; null: any number.
 * What was decided about whom goes to `onAnswers`; those of other replicas ask by `answers`.
 */
export interface LockTable {
  /** Asks, and decides about its namespace. Asked again, the answer comes again. */
  ask(ask: LockAsk, slots: number | null, decide: DecideAdmission): Promise<void>;
  /** Decides anew, once a run or a unit has ended and that is recorded: what has ended holds nothing, named here or not. */
  letGo(
    namespace: string,
    ended: Pick<LockAsk, 'runId' | 'holder'> | null,
    slots: number | null,
    decide: DecideAdmission,
  ): Promise<void>;
  /** What is decided about these runs and their units; waiting ones are left out. */
  answers(runIds: string[]): Promise<LockAnswer[]>;
  /** Calls back with what a decision of this process came to. Returns a stop function. */
  onAnswers(fn: (answers: LockAnswer[]) => void): () => void;
  /** Calls back when another replica may have decided something (within 2 s). Returns a stop function. */
  onElsewhere(fn: () => void): () => void;
  /** How many wait and hold in each namespace. */
  counts(): Promise<{ namespace: string; waiting: number; holding: number }[]>;
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
  /**
   * Output from `position` on, decoded as UTF-8, at most `limitBytes`: what is stored here, then what `artifacts` has of
   * the rest. Where that is not there (yet, or any more), a line says so.
   */
  read(
    key: AttemptKey,
    position: number,
    limitBytes: number,
    artifacts: Pick<ArtifactReader, 'read'> | null,
  ): Promise<LogLine[]>;
  /** Calls back when a log of this run may have grown. Returns a stop function. */
  onAppend(runId: string, fn: () => void): () => void;
}

/** What a step (or an item of it) has kept under a name. */
export interface RunArtifact extends ArtifactRef {
  step: string;
  item: number;
  label: string | null;
  name: string;
}

/** Which artifacts are kept, and for how long; the content itself is an ArtifactStore's. */
export interface ArtifactHistory {
  /** Notes content that is about to be kept or referred to: it stays for a day at least. Waits while it is being removed. */
  note(artifacts: readonly StoredArtifact[]): Promise<void>;
  /** What the steps of a run and their items have kept: whole steps first, then by place in the forEach. */
  ofRun(runId: string, page: { limit: number; after?: string }): Promise<Page<RunArtifact>>;
  /** True when a step of this run has kept, or was given by the cache, content of this digest. */
  isOf(runId: string, digest: string): Promise<boolean>;
  /**
   * Finds what no run refers to that has not ended or ended less than `keptMs` ago, nor an entry of the cache, and lets
   * `remove` remove it. Safe beside others who put, and who sweep.
   * @returns how many were removed
   */
  sweep(options: { keptMs: number; remove(digests: string[]): Promise<void> }): Promise<number>;
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
  readonly cache: StepCache;
  readonly deadLetters: DeadLetterHistory;
  readonly locks: LockTable;
  readonly logs: LogHistory;
  readonly artifacts: ArtifactHistory;
  readonly approvals: ApprovalLooks;
  /** True while this replica is the leader of the config kinds of its home (always, on PGlite). */
  isLeader(): boolean;
  /** Calls back when leadership was won or lost. Returns a stop function. */
  onLeadership(fn: (leader: boolean) => void): () => void;
  /** Round trip, for /readyz. @throws when the database cannot be reached. */
  ping(): Promise<void>;
  /** Gives up lease, leadership and runs, then closes. */
  close(): Promise<void>;
}
