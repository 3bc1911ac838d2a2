import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { PodSettings } from '../plan/types.ts';
import type { Instant } from '../time.ts';

export type RunPhase = 'Queued' | 'Running' | 'Finalizing' | 'Succeeded' | 'Failed' | 'Cancelled' | 'TimedOut';
export type StepPhase =
  | 'Pending'
  | 'Waiting'
  | 'Running'
  | 'Retrying'
  | 'Succeeded'
  | 'Skipped'
  | 'Failed'
  | 'TimedOut'
  | 'Cancelled';
export type AttemptPhase = 'Starting' | 'Stopping' | 'Succeeded' | 'Failed' | 'TimedOut' | 'Cancelled';
export type RunOutcome = 'Succeeded' | 'Failed' | 'Cancelled' | 'TimedOut';

/** Why a step or run did not succeed. `type` is what a program matches, `message` what a person reads. */
export interface StepError {
  /** exit, timeout, http, assertion, expression, output, approval, cancelled, template, infrastructure/lost, … */
  type: string;
  message: string;
  retryable: boolean;
  exitCode?: number;
  status?: number;
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
  startedAt: Instant | null;
  finishedAt: Instant | null;
  /** Time the run's clock has stood still (paused, or only approvals left), in ms; and since when it stands now. */
  stoodMs: number;
  standsSince: Instant | null;
  /** First cause of the end; final once set, though finally steps still run. */
  outcome: RunOutcome | null;
  error: StepError | null;
  /** When `finally` began: its limit counts from here. */
  finalizingAt: Instant | null;
  outputs: JsonObject | null;
  /** Why values of Secrets may show in its logs; null: they do not. Stays once set, as the log does. */
  logsUnmasked: string | null;
  /** Raised by every commit. */
  revision: number;
}

/** One step of a run. A row exists once the step has left Pending. */
export interface StepRow {
  runId: string;
  step: string;
  phase: StepPhase;
  /** CamelCase word: NeedNotMet, ConditionFalse, RunStopping, WaitingForApproval, Backoff, … */
  reason: string | null;
  startedAt: Instant | null;
  finishedAt: Instant | null;
  /** Attempts begun so far; `infrastructureFailures` of them did not count against `retry.limit`. */
  attempts: number;
  infrastructureFailures: number;
  /** When the current wait, backoff or approval ends; null when nothing is timed. */
  until: Instant | null;
  outputs: JsonObject | null;
  error: StepError | null;
}

/** One attempt of a step, with the row committed as Starting before anything begins. */
export interface AttemptRow {
  runId: string;
  step: string;
  /** 1-based. */
  number: number;
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
  | { outcome: 'Succeeded'; outputs: AttemptOutputs; imageId?: string }
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
}

/** What the world told us since the last decision. Duplicates and late ones change nothing. */
export type RunObservation =
  | { type: 'AttemptEnded'; step: string; attempt: number; at: Instant; result: AttemptResult }
  /** The values of these Secrets, which the step uses, may show in its log. */
  | { type: 'LogUnmasked'; step: string; secrets: string[] }
  /** The spec as it is now; the whole of it, so that order and repetition do not matter. */
  | {
      type: 'SpecObserved';
      desired: 'Running' | 'Paused' | 'Cancelled';
      reason: string | null;
      approvals: StepApprovalEntry[];
    };

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
  attempt: number;
}

/** What an executor is told to do, after the commit. */
export type RunAction =
  | {
      type: 'Start';
      key: AttemptKey;
      namespace: string;
      runName: string;
      workflow: string;
      digest: string;
      body: ResolvedBody;
      /** When the attempt was first decided on: an old one may have begun before, and be gone. */
      startedAt: Instant;
    }
  | { type: 'Stop'; key: AttemptKey; kind: ResolvedBody['kind']; graceMs: number };

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
  return phase === 'Succeeded' || phase === 'Failed' || phase === 'Cancelled' || phase === 'TimedOut';
}
