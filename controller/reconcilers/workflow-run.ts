import type { Logger } from 'pino';
import type { WorkflowRun } from '../../crds/workflow-run.ts';
import type { Plan } from '../core/plan/types.ts';
import { decideRun } from '../core/run/decide.ts';
import { endedRow, judgeHistory } from '../core/run/history-lost.ts';
import { hydrate } from '../core/run/hydrate.ts';
import { projectRunStatus } from '../core/run/project.ts';
import type { RunState } from '../core/run/state.ts';
import {
  isFinished,
  type ResolvedBody,
  type RunAction,
  type RunObservation,
  type RunRow,
  type RunRows,
  type RunTransition,
} from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import { LeaseEnding, TerminalError } from '../runtime/errors.ts';
import { createLoop, type Loop, type Requeue } from '../runtime/loop.ts';
import type { Mailbox } from '../runtime/mailbox.ts';
import type { Clock } from '../seams/clock.ts';
import { AttemptHeld, type Executor } from '../seams/executor.ts';
import { FenceLost, type Lease } from '../seams/lease.ts';
import type { Governance } from '../seams/governance.ts';
import type { Store } from '../store/types.ts';
import { createAppliedVersions } from './applied-versions.ts';
import type { Metrics } from './metrics.ts';
import type { PlanCache } from './plans.ts';
import { admitRun, lostStatus } from './run-admission.ts';
import { observeSpec } from './run-observations.ts';
import type { RunStatusWriter } from './statuses.ts';

export interface RunReconcilerDependencies {
  store: Store;
  executor: Executor;
  governance: Governance;
  plans: PlanCache;
  statuses: RunStatusWriter;
  /** Where executors post how attempts ended. */
  mailbox: Mailbox<RunObservation>;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** Whether attempts of this kind are waited for before the controller ends: they would end with it. */
  drains(kind: ResolvedBody['kind']): boolean;
  /** A run ended: gates that count runs may open. */
  onFinished(run: RunRow): void;
}

interface Loaded {
  plan: Plan;
  state: RunState;
  at: Instant;
  /** Of the spec that was observed last; null: observe it again. */
  generation: number | null;
  /** Why the approvals of the spec were not believed then. */
  approvalsHeld: string | null;
}

/** What this replica knows of a run. Only `loaded` is derived; dropping it and hydrating again is always right. */
interface Entry {
  /** The object as last seen; null when it is gone, which means cancel. */
  object: WorkflowRun | null;
  /** False while the watch has not told of the object: a run may be claimed before that, and is not a deleted one then. */
  watched: boolean;
  /** Set while this replica owns the run, which it does no longer than the lease it was claimed under. */
  claim: { fence: number; lease: Lease } | null;
  loaded: Loaded | null;
  /** As they were when it was claimed, until they are looked at. */
  rows: RunRows | null;
  failedDecisions: number;
}

/** Side effects begin only with this much of the lease left. */
const leaseMarginMs = 2000;
const claimIntervalMs = 500;
const claimLimit = 200;
/** Of claimed runs, read together: few, as each may have ten thousand steps. */
const loadLimit = 20;
/** Memory is right while the fence is ours; this only bounds how long a bug could hide. */
const rehydrateMs = 600_000;
/** Approvals that are not believed are looked at again. */
const heldIntervalMs = 10_000;
const decisionAttempts = 3;
/** Commits are grouped, so many runs in flight cost little; more only costs memory. */
const concurrency = 512;
const nothing: Requeue = { requeueAt: null };

export interface RunReconciler {
  loop: Loop;
  /** Watches WorkflowRuns and begins to claim. */
  start(): Promise<void>;
  /**
   * From now on nothing begins, while what runs may end and is recorded; resolves when nothing runs or `graceMs` are
   * over. What was recorded as starting and did not begin is begun by whoever owns the run next.
   */
  drain(graceMs: number): Promise<void>;
  /** Stops reconciling and gives the runs back. */
  stop(): Promise<void>;
}

export function createRunReconciler(deps: RunReconcilerDependencies): RunReconciler {
  const { store, executor, plans, statuses, mailbox, clock, log, metrics } = deps;
  const entries = new Map<string, Entry>();
  const applied = createAppliedVersions(store.versions, clock);
  const loop = createLoop({
    name: 'workflowrun',
    clock,
    concurrency,
    reconcile,
    observe: metrics.reconciled('workflowrun', log),
  });
  const stops: (() => void)[] = [];
  let stopClaiming = () => {};
  let claiming: Promise<void> | null = null;
  let claimAgain = false;
  let canClaim = true;
  /** Attempts begun here that are waited for and have not ended. */
  const live = new Set<string>();
  let draining = false;
  let drained = () => {};

  async function reconcile(id: string): Promise<Requeue> {
    const entry = entries.get(id);
    if (!entry) {
      // The end of an attempt that was begun for a run which is another's now.
      mailbox.forget(id);
      return nothing;
    }
    if (entry.claim?.lease.lost.aborted) disown(id, entry);
    const { claim } = entry;
    if (claim === null) return await admit(id, entry);
    const facts = await gather(id, entry);
    if (!facts) return nothing;
    try {
      const decision = decide(entry, facts);
      if (decision.transition) await commit(id, claim, decision.transition);
      await perform(decision.actions, claim.lease).catch((error: unknown) => {
        if (error instanceof AttemptHeld) writeStatus(entry, facts.loaded, error.message);
        throw error;
      });
      if (decision.transition || facts.spec) writeStatus(entry, facts.loaded);
      if (isFinished(decision.state.run.phase)) return finish(id, entry, decision.state.run);
      const { at, approvalsHeld } = facts.loaded;
      const again = approvalsHeld === null ? at + rehydrateMs : clock.now() + heldIntervalMs;
      return { requeueAt: Math.min(decision.wakeAt ?? Number.POSITIVE_INFINITY, again) };
    } catch (error) {
      // What was decided may not be what is recorded: drop it, keep the observations, and hydrate at the next turn.
      entry.loaded = null;
      mailbox.putBack(id, facts.posted);
      if (!(error instanceof FenceLost)) throw error;
      log.info({ run: id }, 'another replica owns this run now');
      disown(id, entry);
      return nothing;
    }
  }

  async function admit(id: string, entry: Entry): Promise<Requeue> {
    if (!entry.object) {
      entries.delete(id);
      return nothing;
    }
    const admission = await admitRun({ store, plans, applied, clock }, entry.object);
    if (admission.status) statuses.offer(entry.object.metadata, admission.status, admission.finished);
    if (admission.finished) forget(id);
    else if (admission.recorded) claimSoon();
    return nothing;
  }

  async function gather(id: string, entry: Entry) {
    const now = clock.now();
    if (entry.loaded && now - entry.loaded.at >= rehydrateMs) entry.loaded = null;
    if (!entry.loaded) {
      const rows = entry.rows ?? (await store.runs.load([id]))[0];
      entry.rows = null;
      if (!rows) throw new TerminalError(`the recorded run ${id} is gone`);
      if (!entry.watched) await findObject(entry, rows.run);
      if (await isLost(id, entry, rows)) return null;
      const plan = await plans.get(rows.run.digest);
      entry.loaded = { plan, state: hydrate(plan, rows), at: now, generation: null, approvalsHeld: null };
    }
    const posted = mailbox.take(id);
    const { loaded } = entry;
    const spec = observeSpec(entry.object, loaded.generation);
    if (spec) {
      loaded.generation = entry.object?.metadata.generation ?? -1;
      loaded.approvalsHeld = spec.approvals.length === 0 ? null : await deps.governance.approvalsHeld();
      if (loaded.approvalsHeld !== null) {
        spec.approvals = [];
        loaded.generation = null;
      }
    }
    return { loaded, posted, spec, observations: spec ? [...posted, spec] : posted };
  }

  /** Whether the object knows more than is recorded: then its end is recorded, or nothing is done until a person decides. */
  async function isLost(id: string, { object, claim }: Entry, { run, attempts }: RunRows): Promise<boolean> {
    const verdict = object && claim ? judgeHistory(object.status, run) : 'Known';
    if (!object || !claim || verdict === 'Known' || verdict === 'New') return false;
    const now = clock.now();
    if (verdict === 'Ended') {
      const row = endedRow(object, run, now);
      const ended = attempts.map((attempt) => ({ ...attempt, phase: 'Failed' as const, finishedAt: now }));
      await commit(id, claim, { run: row, steps: [], attempts: ended, events: [] });
      finish(id, { object }, row);
      return true;
    }
    // Cancelling is a decision, and does no harm.
    if (object.spec.desired === 'Cancelled') return false;
    statuses.offer(object.metadata, lostStatus(object, run, now));
    return true;
  }

  async function findObject(entry: Entry, run: RunRow): Promise<void> {
    const found = await store.objects.get('WorkflowRun', run.namespace, run.name);
    // What the watch has told meanwhile is newer.
    if (!entry.watched) entry.object = found?.metadata.uid === run.id ? found : null;
  }

  function decide(entry: Entry, facts: { loaded: Loaded; observations: RunObservation[] }) {
    try {
      const decision = decideRun(facts.loaded.plan, facts.loaded.state, facts.observations, clock.now());
      entry.failedDecisions = 0;
      return decision;
    } catch (cause) {
      // Counted no further once it is parked: its message stays the same, so that its status is not written for ever.
      entry.failedDecisions = Math.min(entry.failedDecisions + 1, decisionAttempts);
      const message = `deciding failed ${entry.failedDecisions} times: ${String(cause)}`;
      if (entry.failedDecisions < decisionAttempts) throw new Error(message, { cause });
      if (entry.object) statuses.park(entry.object, message);
      throw new TerminalError(`the run is parked; ${message}`, { cause });
    }
  }

  async function commit(id: string, { fence }: { fence: number }, transition: RunTransition): Promise<void> {
    await store.runs.commit(transition, fence);
    metrics.committed(transition);
    for (const attempt of transition.attempts) {
      if (attempt.finishedAt !== null) {
        live.delete(`${id} ${attempt.step} ${attempt.number}`);
        const key = { runId: id, step: attempt.step, attempt: attempt.number };
        executor
          .forget(key)
          .catch((error: unknown) => log.warn({ err: error, ...key }, 'the folder of an attempt stays'));
      }
    }
  }

  async function perform(actions: RunAction[], lease: Lease): Promise<void> {
    if (draining && live.size === 0) drained();
    if (actions.length === 0) return;
    if (lease.remainingMs() < leaseMarginMs) throw new LeaseEnding('too little of the lease is left to begin anything');
    await Promise.all(actions.map(act));
  }

  async function act(action: RunAction): Promise<void> {
    if (action.type === 'Stop') return await executor.stop(action);
    if (draining) return;
    if (deps.drains(action.body.kind)) live.add(`${action.key.runId} ${action.key.step} ${action.key.attempt}`);
    await executor.start(action);
  }

  /** After every transition; and when the spec was seen anew, as after hydrating, when nobody knows what was shown before. */
  function writeStatus(entry: Entry, { state, approvalsHeld }: Loaded, step: string | null = null): void {
    if (!entry.object) return;
    const { metadata, status } = entry.object;
    const next = projectRunStatus(state, metadata.generation, status?.conditions, clock.now(), {
      approvals: approvalsHeld,
      step,
    });
    statuses.offer(metadata, next, isFinished(state.run.phase));
  }

  function finish(id: string, entry: Pick<Entry, 'object'>, run: RunRow): Requeue {
    deps.onFinished(run);
    if (!entry.object) statuses.forgetId(id);
    forget(id);
    return nothing;
  }

  /** The run is another's, or nobody's: all that is known of it may be old. Its object is looked at like any other's. */
  function disown(id: string, entry: Entry): void {
    entry.claim = null;
    entry.loaded = null;
    entry.rows = null;
    // Claimed anew meanwhile.
    if (entries.get(id) !== entry) return;
    mailbox.forget(id);
    for (const attempt of live) if (attempt.startsWith(`${id} `)) live.delete(attempt);
    if (draining && live.size === 0) drained();
    if (!entry.object) entries.delete(id);
  }

  /** What was claimed under a lease that is lost now is dropped, to be claimed again by whoever comes first. */
  function disownLost(): void {
    for (const [id, entry] of entries) if (entry.claim?.lease.lost.aborted) disown(id, entry);
  }

  function forget(id: string): void {
    entries.delete(id);
    mailbox.forget(id);
    loop.forget(id);
  }

  /** One claim at a time; a request during one makes one more. */
  function claimSoon(): void {
    claimAgain = true;
    claiming ??= claim().finally(() => {
      claiming = null;
    });
  }

  /** Many runs by one query each; what cannot be read now is read by each of them. */
  async function loadTogether(ids: string[]): Promise<Map<string, RunRows>> {
    const found = new Map<string, RunRows>();
    for (let i = 0; i < ids.length; i += loadLimit) {
      const some = await store.runs.load(ids.slice(i, i + loadLimit)).catch(() => []);
      for (const rows of some) found.set(rows.run.id, rows);
    }
    return found;
  }

  async function claim(): Promise<void> {
    while (claimAgain) {
      claimAgain = false;
      try {
        const { lease } = store;
        disownLost();
        const claimed = await store.runs.claim(claimLimit);
        canClaim = true;
        const rows = await loadTogether(claimed.map(({ id }) => id));
        for (const { id, fence } of claimed) {
          const entry = entries.get(id);
          // A new entry: a reconcile that is still under way with the old one must not commit by the new fence.
          entries.set(id, {
            object: entry?.object ?? null,
            watched: entry?.watched ?? false,
            claim: { fence, lease },
            loaded: null,
            rows: rows.get(id) ?? null,
            failedDecisions: entry?.failedDecisions ?? 0,
          });
          loop.enqueue(id);
        }
        if (claimed.length === claimLimit) claimAgain = true;
      } catch (error) {
        // Said once: it is tried twice a second for as long as the database is away.
        if (canClaim) log.warn({ err: error }, 'looking for runs without an owner failed; it is tried again');
        canClaim = false;
      }
    }
  }

  function claimEvery(): void {
    claimSoon();
    stopClaiming = clock.at(clock.now() + claimIntervalMs, claimEvery);
  }

  return {
    loop,
    async start() {
      mailbox.onPost((id) => loop.enqueue(id));
      const stopRuns = await store.objects.watch('WorkflowRun', ({ type, object }) => {
        const id = object.metadata.uid;
        const entry = entries.get(id);
        if (entry?.claim) {
          entry.object = type === 'Deleted' ? null : object;
          entry.watched = true;
        } else if (type === 'Deleted' || isFinishedObject(object)) {
          // Nothing is left to do for it here, whoever had it.
          if (entry) forget(id);
          if (type === 'Deleted') statuses.forgetId(id);
          return;
        } else if (entry) entry.object = object;
        else entries.set(id, { object, watched: true, claim: null, loaded: null, rows: null, failedDecisions: 0 });
        loop.enqueue(id);
      });
      const stopWorkflows = await store.objects.watch('Workflow', ({ object }) => {
        // Runs wait for a workflow that is not there yet, or not promoted yet.
        const { namespace, name } = object.metadata;
        for (const [id, { claim, object: run }] of entries) {
          if (claim === null && run?.metadata.namespace === namespace && run.spec.workflow === name) loop.enqueue(id);
        }
      });
      stops.push(stopRuns, stopWorkflows);
      claimEvery();
    },
    async drain(graceMs) {
      draining = true;
      stopClaiming();
      if (live.size === 0) return;
      await new Promise<void>((resolve) => {
        const cancel = clock.at(clock.now() + graceMs, resolve);
        drained = () => {
          cancel();
          resolve();
        };
      });
    },
    async stop() {
      for (const stop of stops) stop();
      stopClaiming();
      await claiming;
      await loop.stop();
      await store.runs.release([...entries].filter(([, entry]) => entry.claim !== null).map(([id]) => id));
    },
  };
}

function isFinishedObject(object: WorkflowRun): boolean {
  return object.status?.conditions?.some((c) => c.type === 'Finished' && c.status === 'True') ?? false;
}
