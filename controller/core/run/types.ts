import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { PodSettings } from '../plan/types.ts';
import type { Instant } from '../time.ts';

export type RunPhase =
  | 'Queued'
  | 'Running'
  | 'Compensating'
  | 'Finalizing'
  | 'Succeeded'
  | 'Degraded'
  | 'Failed'
  | 'Cancelled'
  | 'TimedOut';
export type StepPhase =
  | 'Pending'
  | 'Waiting'
  | 'Running'
  | 'Retrying'
  | 'Succeeded'
  | 'Cached'
  | 'Skipped'
  | 'Failed'
  | 'TimedOut'
  | 'Cancelled'
  | 'Compensated';
export type AttemptPhase = 'Starting' | 'Stopping' | 'Succeeded' | 'Failed' | 'TimedOut' | 'Cancelled';
export type RunOutcome = 'Succeeded' | 'Degraded' | 'Failed' | 'Cancelled' | 'TimedOut';

/** Why a step or run did not succeed. `type` is what a program matches, `message` what a person reads. */
export interface StepError {
  /** exit, timeout, outOfMemory, evicted, imagePull, unschedulable, http, assertion, expression, output, approval, cancelled, template, child, lock, infrastructure/lost, … */
  type: string;
  message: string;
  retryable: boolean;
  exitCode?: number;
  status?: number;
  /** The host gave no answer. */
  unreachable?: boolean;
  /** Milliseconds the other side asked us to wait (Retry-After). */
  retryAfterMs?: number;
}

/** One run, as its row holds it. Instants are milliseconds since the epoch. */
export interface RunRow {
  /** UID of the WorkflowRun object. */
  id: string;
  namespace: string;
  name: string;
  workflow: string;
  digest: string;
  /** A name of the version: tag or commit; for people. */
  version: string | null;
  environment: string | null;
  /** Of that Environment: each project may have one of its name, and it may be replaced. */
  environmentUid: string | null;
  /** `environment.X` in expressions: pinned with the digest. */
  values: JsonObject;
  inputs: JsonObject;
  phase: RunPhase;
  desired: 'Running' | 'Paused' | 'Cancelled';
  /** Who or what asked for `desired`. */
  reason: string | null;
  /** UTC date of creation, `YYYY-MM-DD`: `run.date`. */
  date: string;
  createdAt: Instant;
  /** Of runs that wait for the same, the higher goes first. */
  priority: number;
  /** Counts how often it was begun; 1 at first. */
  execution: number;
  /** Since when it waits in the queue: its creation, or the retry that made it go on. */
  queuedAt: Instant;
  /** The attempt whose child it is; null: started by somebody. */
  parent: AttemptKey | null;
  /** UID of the topmost ancestor; its own when it has none. Locks and groups belong to it. */
  root: string;
  /** Name of that run's object, which owns what is made for it in a cluster; child runs have no object. */
  rootName: string;
  /** 0 without a parent. */
  depth: number;
  /** The recorded run that it replays. */
  replayOf: string | null;
  startedAt: Instant | null;
  finishedAt: Instant | null;
  /** Time the run's clock has stood still (paused, or only approvals left), in ms; and since when it stands now. */
  stoodMs: number;
  standsSince: Instant | null;
  /** First cause of the end; final once set, though finally steps still run. */
  outcome: RunOutcome | null;
  error: StepError | null;
  /** No compensation and no `finally`: somebody cancelled it by force. */
  forced: boolean;
  /** When compensating began: its limit counts from here. */
  compensatingAt: Instant | null;
  /** When `finally` began: its limit counts from here. */
  finalizingAt: Instant | null;
  outputs: JsonObject | null;
  /** Why values of Secrets may show in its logs; null: they do not. Stays once set, as the log does. */
  logsUnmasked: string | null;
  /** Raised by every commit. */
  revision: number;
}

/** `reason` of a child run that is paused because its parent is. */
export const pausedAbove = 'the run that started it is paused';

/** The `item` of what is no item of a forEach: the step itself. */
export const wholeStep = -1;

/** What a unit does now: its own body, a fallback, or its compensation. */
export type Via = 'main' | `fallback[${number}]` | 'compensate';

/** A file or folder that a step has kept. */
export interface ArtifactRef {
  /** `sha256:` + hex of what is stored: the file, or a folder's archive. */
  digest: string;
  bytes: number;
  /** True for an archive of a folder. */
  folder: boolean;
  /** Of a file that may be run, and there only; the archive of a folder says it of its files. */
  executable?: true;
}

/**
 * One unit of a run: a step, or one item of a forEach. A row exists once it has left Pending, or when a retry of the run made it
 * Pending again. A forEach step has a row of its own (`wholeStep`) that ends when its items have.
 */
export interface StepRow {
  runId: string;
  step: string;
  /** Place in the forEach, from 0; `wholeStep` for the step itself. */
  item: number;
  /** What people call the item: its key, or its value when that is short; null for the step itself. */
  label: string | null;
  /** How many items its forEach has, most of which may have no row yet; null: none, or it has not begun. */
  items: number | null;
  phase: StepPhase;
  /** CamelCase word: NeedNotMet, ConditionFalse, RunStopping, WaitingForApproval, Backoff, … */
  reason: string | null;
  startedAt: Instant | null;
  finishedAt: Instant | null;
  /** Which body it does now, or did last. */
  via: Via;
  /** Attempts begun so far, of all bodies, iterations and executions: the number of the last one. */
  attempts: number;
  /** Of them, begun for the present body and iteration; `infrastructureFailures` of these did not count against `retry.limit`. */
  bodyAttempts: number;
  infrastructureFailures: number;
  /** Of `until`, from 1; 0: none has begun. */
  iteration: number;
  /** When the current wait, backoff or approval ends; null when nothing is timed. */
  until: Instant | null;
  outputs: JsonObject | null;
  error: StepError | null;
  /** What it has kept, by name. */
  artifacts: Record<string, ArtifactRef>;
  /** The key that the cache was asked by; null: it was not. */
  cache: CacheKey | null;
}

/** A key of the step cache, with what it was made of, so that two can be compared. */
export interface CacheKey {
  key: string;
  /** Name of the part → its value when short, else `sha256:` of it. Secrets are no part. */
  parts: Record<string, string>;
}

/** One attempt of a step, with the row committed as Starting before anything begins. */
export interface AttemptRow {
  runId: string;
  step: string;
  item: number;
  /** 1-based. */
  number: number;
  via: Via;
  phase: AttemptPhase;
  /** Why it is Stopping: cancelled or timeout; null otherwise. */
  stopReason: 'cancelled' | 'timeout' | null;
  startedAt: Instant;
  finishedAt: Instant | null;
  error: StepError | null;
  /** What ran, as the node's runtime names it (with its digest); null: no container, or it never began. */
  imageId: string | null;
}

/** All rows of one run. `folding any observations equals hydrating the rows they left` is a property test. */
export interface RunRows {
  run: RunRow;
  steps: StepRow[];
  /** Only attempts that have not ended are needed to hydrate; more do no harm. */
  attempts: AttemptRow[];
}

/** How an attempt ended, as an executor saw it. */
export type AttemptResult =
  | {
      outcome: 'Succeeded';
      outputs: AttemptOutputs;
      artifacts?: Record<string, ArtifactRef>;
      imageId?: string;
    }
  | { outcome: 'Failed'; error: StepError; imageId?: string }
  /** It ended because it was told to stop. */
  | { outcome: 'Stopped'; imageId?: string };

/** Scripts hand over the text of $WINDLASS_OUTPUT, read by the declared types in the core; other kinds hand over values. */
export type AttemptOutputs = { text: string } | { values: JsonObject };

export interface StepApprovalEntry {
  step: string;
  user: string;
  groups: string[];
  decision: 'Approve' | 'Reject';
  comment: string | null;
  /** Of the run; one for another counts for nothing. */
  execution: number;
}

/** What the world told us since the last decision. Duplicates and late ones change nothing. */
export type RunObservation =
  | { type: 'AttemptEnded'; step: string; item: number; attempt: number; at: Instant; result: AttemptResult }
  /** The values of these Secrets, which the step uses, may show in its log. */
  | { type: 'LogUnmasked'; step: string; secrets: string[] }
  /** The spec as it is now; the whole of it, so that order and repetition do not matter. */
  | {
      type: 'SpecObserved';
      desired: 'Running' | 'Paused' | 'Cancelled';
      reason: string | null;
      /** Cancel without compensating and without `finally`. */
      force: boolean;
      approvals: StepApprovalEntry[];
    }
  /** What the `Acquire` of that `since` came to. Refused: it can never be granted, or the group rejects. */
  | { type: 'LocksGranted'; holder: Holder; since: Instant }
  | { type: 'LocksRefused'; holder: Holder; since: Instant; error: StepError }
  /** What `LookUp` came to: an entry; or nobody has one, and this unit is the one to fill it. */
  | {
      type: 'CacheHit';
      step: string;
      item: number;
      key: string;
      outputs: JsonObject;
      artifacts: Record<string, ArtifactRef>;
    }
  | { type: 'CacheMiss'; step: string; item: number; key: string }
  /** All circuits of target hosts that are not closed, for runs with `http` steps; replaces what was told before. */
  | { type: 'CircuitsObserved'; open: { host: string; until: Instant }[] };

/** Who holds locks: the run (`step` null), or one unit of it. */
export type Holder = { step: null } | { step: string; item: number };

/** What a holder asks for, all or nothing. */
export interface LockRequest {
  locks: { name: string; limit: number }[];
  /** The run's concurrency group; null: none, or a unit. */
  group: { name: string; policy: 'Queue' | 'CancelRunning' | 'Reject' } | null;
  /** Whether it takes one of the namespace's running steps. */
  slot: boolean;
}

/** Rows to write in one transaction; each replaces the row of its key. */
export interface RunTransition {
  /** The run's row after the decision, revision already raised. */
  run: RunRow;
  steps: StepRow[];
  attempts: AttemptRow[];
  events: RunEvent[];
}

/** For people and Kubernetes Events: started, ended, failures. Never chatter. */
export interface RunEvent {
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  at: Instant;
}

/** Identifies an attempt everywhere: executor, folder, Pod, log. */
export interface AttemptKey {
  runId: string;
  step: string;
  item: number;
  attempt: number;
}

/** What an executor is told to do, after the commit. */
export type RunAction =
  | {
      type: 'Start';
      key: AttemptKey;
      namespace: string;
      runName: string;
      /** The root run's object. */
      owner: { uid: string; name: string };
      workflow: string;
      digest: string;
      body: ResolvedBody;
      artifacts: { out: Record<string, string>; in: Record<string, ArtifactRef> };
      /** Equal for attempts that do the same again; another body, iteration or execution has another. */
      effect: string;
      /** When the attempt was first decided on: an old one may have begun before, and be gone. */
      startedAt: Instant;
    }
  | {
      type: 'Stop';
      key: AttemptKey;
      /** As of its Start. */
      namespace: string;
      owner: { uid: string; name: string };
      kind: ResolvedBody['kind'];
      graceMs: number;
    }
  /** Ask for locks; said again by a hydrated state, and the answer comes again. */
  | {
      type: 'Acquire';
      runId: string;
      holder: Holder;
      namespace: string;
      priority: number;
      /** Since when it waits; another of the same holder has another. */
      since: Instant;
      request: LockRequest;
      /** What it asks for, it needs to undo what was done. */
      compensates: boolean;
    }
  | { type: 'Release'; runId: string; holder: Holder; namespace: string }
  /** Ask the cache for an entry; while another unit fills it the answer waits. */
  | {
      type: 'LookUp';
      runId: string;
      step: string;
      item: number;
      namespace: string;
      cache: CacheKey;
      ttlMs: number;
      image: string | null;
    }
  /** Put an entry; lost when the controller dies just now, which costs one more run of the step. */
  | {
      type: 'Fill';
      runId: string;
      step: string;
      item: number;
      namespace: string;
      workflow: string;
      key: string;
      ttlMs: number;
      outputs: JsonObject;
      artifacts: Record<string, ArtifactRef>;
      image: string | null;
      imageId: string | null;
    };

/** A step's body with every expression evaluated. Pure: hydrating resolves the same again. */
export type ResolvedBody =
  | {
      kind: 'run';
      script: string;
      shell: string[];
      env: Record<string, string>;
      secrets: Record<string, { name: string; key: string }>;
      pod: PodSettings;
    }
  | {
      kind: 'container';
      image: string;
      command: string[] | null;
      args: string[] | null;
      workingDir: string | null;
      env: Record<string, string>;
      secrets: Record<string, { name: string; key: string }>;
      pod: PodSettings;
    }
  /** A child run. `resumes`: that of an earlier attempt goes on, if it was given the same and has not ended well. */
  | {
      kind: 'workflow';
      name: string;
      inputs: JsonObject;
      priority: number;
      root: string;
      depth: number;
      resumes: boolean;
    }
  | {
      kind: 'http';
      method: string;
      url: string;
      headers: Record<string, string>;
      secretHeaders: Record<string, { name: string; key: string; prefix: string }>;
      body: JsonValue | undefined;
      expect: string[];
      requestTimeoutMs: number;
      retryable: boolean;
    }
  | { kind: 'template'; source: { file: string } | { text: string }; vars: JsonObject };

export interface RunDecision<State> {
  state: State;
  /** Null when nothing changed: nothing to commit. */
  transition: RunTransition | null;
  actions: RunAction[];
  /** When to decide again though nothing was observed; null when only an observation can change anything. */
  wakeAt: Instant | null;
}

/** True for phases that a run never leaves. */
export function isFinished(phase: RunPhase): boolean {
  return (
    phase === 'Succeeded' || phase === 'Degraded' || phase === 'Failed' || phase === 'Cancelled' || phase === 'TimedOut'
  );
}
