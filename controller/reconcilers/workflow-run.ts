import type { Logger } from 'pino';
import type { WorkflowRun } from '../../crds/workflow-run.ts';
import { endedRow, judgeHistory } from '../core/run/history-lost.ts';
import { wantsExecution } from '../core/run/execution.ts';
import { hydrate } from '../core/run/hydrate.ts';
import { projectRunStatus } from '../core/run/project.ts';
import {
  type AttemptKey,
  isFinished,
  type ResolvedBody,
  type RunObservation,
  type RunRow,
  type RunRows,
  type RunTransition,
} from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import { TerminalError } from '../runtime/errors.ts';
import { createLoop, type Loop, type Requeue } from '../runtime/loop.ts';
import type { Mailbox } from '../runtime/mailbox.ts';
import { type Clock, pause } from '../seams/clock.ts';
import { AttemptHeld, type Executor } from '../seams/executor.ts';
import { FenceLost, type Lease } from '../seams/lease.ts';
import type { Governance } from '../seams/governance.ts';
import type { LoadedRun, Store } from '../store/types.ts';
import { lookAtRun } from './approval-looks.ts';
import type { AppliedVersions } from './applied-versions.ts';
import type { Metrics } from './metrics.ts';
import type { ChildRuns } from './child-runs.ts';
import type { Circuits } from './circuits.ts';
import { createFinishedStatuses } from './finished-statuses.ts';
import { createLiveAttempts } from './live-attempts.ts';
import type { PlanCache } from './plans.ts';
import { admitRun, isGivenUp, lostStatus } from './run-admission.ts';
import { createRunActions } from './run-actions.ts';
import type { RunCache } from './run-cache.ts';
import { createRunClaims } from './run-claims.ts';
import { createRunDecisions } from './run-decisions.ts';
import type { RunLocks } from './run-locks.ts';
import { isHeld, type RunDeletion } from './run-deletion.ts';
import { countPhases, type Entry, type Loaded, unknownRun } from './run-entries.ts';
import { createRunHolds } from './run-holds.ts';
import { isFinishedObject } from './run-execution.ts';
import { observeCircuits, observeSpec, type SpecObserved, versionOf } from './run-observations.ts';
import { noteWait, sayWait } from './run-waits.ts';
import type { RunStatusWriter } from './statuses.ts';

export interface RunReconcilerDependencies {
  store: Store;
  /** Of every kind, child runs among them. */
  executor: Executor;
  children: Pick<ChildRuns, 'follow' | 'runEnded'>;
  locks: RunLocks;
  cache: RunCache;
  circuits: Pick<Circuits, 'held' | 'sending'>;
  deletion: RunDeletion;
  governance: Governance;
  plans: PlanCache;
  applied: AppliedVersions;
  statuses: RunStatusWriter;
  /** Where executors post how attempts ended. */
  mailbox: Mailbox<RunObservation>;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** Others than this controller can write statuses of this home. */
  othersWrite: boolean;
  /** The namespaces of this home have a limit of running steps. */
  limitedSlots: boolean;
  /** Whether attempts of this kind are waited for before the controller ends: they would end with it. */
  drains(kind: ResolvedBody['kind']): boolean;
  /** A run ended: gates that count runs may open. */
  onFinished(run: RunRow): void;
}

/** Memory is right while the fence is ours; this only bounds how long a bug could hide. */
const rehydrateMs = 600_000;
/** For the statuses that are still to be written when this replica ends: an API server may be away. */
const lastStatusesMs = 3_000;
/** Commits are grouped, so many runs in flight cost little; more only costs memory. */
const concurrency = 512;
const nothing: Requeue = { requeueAt: null };

export interface RunReconciler {
  loop: Loop;
  /** Another run takes its place. */
  supersede(id: string, reason: string): void;
  /** An attempt has begun and is kept from running; null: it goes on. */
  stepWaits(key: AttemptKey, reason: string | null): void;
  /** Requests that were held may be sent again. */
  circuitClosed(): void;
  /** A run was recorded that nobody owns yet. */
  claimSoon(): void;
  /** How many runs of this replica are in each phase. */
  count(): Map<string, number>;
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
  const { store, executor, plans, statuses, mailbox, clock, log, metrics, locks, cache, circuits } = deps;
  const entries = new Map<string, Entry>();
  const loop = createLoop({
    name: 'workflowrun',
    clock,
    concurrency,
    reconcile,
    observe: metrics.reconciled('workflowrun', log),
  });
  const stops: (() => void)[] = [];
  const claims = createRunClaims({
    store,
    clock,
    log,
    lost: disownLost,
    claimed,
    has: (id, fence) => entries.get(id)?.claim?.fence === fence,
  });
  const live = createLiveAttempts(clock);
  const perform = createRunActions({ ...deps, live });
  const decide = createRunDecisions({ statuses, clock });
  const finished = createFinishedStatuses();
  const holds = createRunHolds(clock, (id) => loop.enqueue(id));

  async function reconcile(id: string): Promise<Requeue> {
    const entry = entries.get(id);
    if (!entry) {
      // The end of an attempt that was begun for a run which is another's now.
      letGo(id);
      return nothing;
    }
    // Asking is what makes a lost lease known: of a process that stood still, nothing else may have said so yet.
    if (entry.claim && entry.claim.lease.remainingMs() <= 0) disown(id, entry);
    const { claim } = entry;
    if (claim === null) return await admit(id, entry);
    const letGoAt = entry.object ? await deps.deletion.check(entry.object) : null;
    const facts = await gather(id, entry);
    if (!facts) return { requeueAt: letGoAt };
    try {
      const decision = decide(entry, facts.loaded, facts.observations);
      circuits.sending(decision.actions);
      if (decision.transition) await commit(id, claim, decision.transition);
      await perform(decision.actions, claim.lease, decision.state.run).catch((error: unknown) => {
        if (error instanceof AttemptHeld && isOwned(id, entry)) {
          holds.held(decision.state.run.namespace, id);
          writeStatus(entry, facts.loaded, error.message);
        }
        throw error;
      });
      holds.begun(id);
      await tellChildren(facts.loaded);
      if (decision.transition || facts.spec || entry.waitsChanged) writeStatus(entry, facts.loaded);
      if (isFinished(decision.state.run.phase)) {
        if (entry.object) await deps.deletion.ended(entry.object);
        if (entry.object?.spec.approvals?.length) await store.approvals.forget([id]);
        return finish(id, entry, decision.state.run);
      }
      const { at, lookAt } = facts.loaded;
      const again = lookAt ?? at + rehydrateMs;
      return { requeueAt: Math.min(...[decision.wakeAt, letGoAt, again].filter((at) => at !== null)) };
    } catch (error) {
      // What was decided may not be what is recorded: drop it, keep the observations, and hydrate at the next turn.
      entry.loaded = null;
      mailbox.putBack(id, facts.posted);
      // Its lease was lost meanwhile: what is put back goes with the rest.
      if (entry.claim === null) disown(id, entry);
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
    const admission = await admitRun(deps, entry.object);
    if (admission.status) statuses.offer(entry.object.metadata, admission.status, admission.finished);
    if (admission.finished) {
      await deps.deletion.ended(entry.object);
      // Else it has gone on meanwhile, and was claimed by this replica.
      if (entries.get(id) === entry) forget(id);
    } else if (admission.recorded) void claims.soon();
    return nothing;
  }

  async function gather(id: string, entry: Entry) {
    const now = clock.now();
    if (entry.loaded && now - entry.loaded.at >= rehydrateMs) entry.loaded = null;
    const loaded = entry.loaded ?? (await load(id, entry, now));
    if (!loaded) return null;
    entry.loaded = loaded;
    if (entry.childChanged) await readChild(id, entry);
    // Its lease was lost meanwhile.
    if (entry.claim === null) return null;
    const posted = mailbox.take(id);
    if (loaded.lookAt !== null && loaded.lookAt <= now) loaded.spec = null;
    const spec = observeSpec(entry, loaded.spec);
    if (spec) {
      loaded.spec = versionOf(entry);
      await keepBelieved(entry, loaded, spec);
    }
    const seen = observeCircuits(loaded, circuits.held());
    return { loaded, posted, spec, observations: [...posted, ...(spec ? [spec] : []), ...(seen ? [seen] : [])] };
  }

  async function readChild(id: string, entry: Entry): Promise<void> {
    // Before it is read: what is told of meanwhile may be newer.
    entry.childChanged = false;
    try {
      entry.child = (await store.runs.specs([id])).get(id) ?? entry.child;
    } catch (error) {
      entry.childChanged = true;
      throw error;
    }
  }

  /** Takes approvals that do not count out of the spec. Those of a child run are written by this controller's API alone. */
  async function keepBelieved({ object }: Entry, loaded: Loaded, spec: SpecObserved): Promise<void> {
    const { approvalsHeld, lookAt } = loaded;
    if (object === null || (spec.approvals.length === 0 && approvalsHeld === null && lookAt === null)) return;
    const looked = await lookAtRun(deps, object);
    spec.approvals = looked.approvals;
    loaded.approvalsHeld = looked.held;
    loaded.lookAt = looked.againInMs === null ? null : clock.now() + looked.againInMs;
  }

  /** Null: nothing is done until a person decides, or its end was recorded just now. */
  async function load(id: string, entry: Entry, at: Instant): Promise<Loaded | null> {
    // What is told of while they are read may be newer than they are; what was told of before is newer than those read before.
    if (!entry.rows) entry.childChanged = false;
    const rows = entry.rows ?? (await store.runs.load([id]))[0];
    entry.rows = null;
    if (!rows) throw new TerminalError(`the recorded run ${id} is gone`);
    const { run } = rows;
    entry.child = rows.spec;
    if (run.parent !== null) {
      const parent = await store.runs.get(run.parent.runId);
      if (!parent || isFinished(parent.phase)) entry.superseded = 'the run that started it has ended';
    } else {
      if (!entry.watched) await findObject(entry, run);
      if (await isLost(id, entry, rows)) return null;
    }
    const plan = await plans.get(run.digest);
    await deps.deletion.hold(run, plan, entry.object);
    const state = hydrate(plan, rows, { limitedSlots: deps.limitedSlots });
    // While it is queued it asks, and is told then.
    if (plan.concurrency !== null && run.phase !== 'Queued' && !isFinished(run.phase)) await locks.follow(id);
    return { plan, state, at, spec: null, circuits: '', childrenTold: null, approvalsHeld: null, lookAt: null };
  }

  /** What is paused keeps its children paused. */
  async function tellChildren(loaded: Loaded): Promise<void> {
    const { id, desired } = loaded.state.run;
    if (loaded.childrenTold === desired) return;
    await deps.children.follow(id, desired);
    loaded.childrenTold = desired;
  }

  /** Whether the object knows more than is recorded: then its end is recorded, or nothing is done until a person decides. */
  async function isLost(id: string, entry: Entry, { run, attempts }: RunRows): Promise<boolean> {
    const { object, claim } = entry;
    const verdict = object && claim ? judgeHistory(object.status, run) : 'Known';
    if (!object || !claim || verdict === 'Known' || verdict === 'New') return false;
    const now = clock.now();
    if (verdict === 'Ended') {
      const row = endedRow(object, run, now);
      const ended = attempts.map((attempt) => ({ ...attempt, phase: 'Failed' as const, finishedAt: now }));
      await commit(id, claim, { run: row, steps: [], attempts: ended, events: [] });
      finish(id, entry, row);
      return true;
    }
    // Cancelling is a decision, and does no harm.
    if (isGivenUp(object)) return false;
    statuses.offer(object.metadata, lostStatus(object, run, now));
    return true;
  }

  async function findObject(entry: Entry, run: RunRow): Promise<void> {
    const found = await store.objects.get('WorkflowRun', run.namespace, run.name);
    // What the watch has told meanwhile is newer.
    if (!entry.watched) entry.object = found?.metadata.uid === run.id ? found : null;
  }

  async function commit(id: string, { fence }: { fence: number }, transition: RunTransition): Promise<void> {
    await store.runs.commit(transition, fence);
    metrics.committed(transition);
    for (const { step, item, number: attempt, finishedAt } of transition.attempts) {
      if (finishedAt === null) continue;
      const key = { runId: id, step, item, attempt };
      live.ended(key);
      executor
        .forget(key)
        .catch((error: unknown) => log.warn({ err: error, ...key }, 'the folder of an attempt stays'));
    }
  }

  /** After every transition; and when the spec was seen anew, as after hydrating, when nobody knows what was shown before. */
  function writeStatus(entry: Entry, loaded: Loaded, step: string | null = null): void {
    const { state, approvalsHeld } = loaded;
    entry.waitsChanged = false;
    const { phase } = state.run;
    // The end of a run stays true; what there is more to say of one that is another's now, that one says.
    if (!entry.object || (entry.claim === null && !isFinished(phase))) return;
    const { metadata, status } = entry.object;
    const next = projectRunStatus(state, metadata.generation, status?.conditions, clock.now(), {
      approvals: approvalsHeld,
      step,
      waiting: sayWait(entry, loaded),
    });
    statuses.offer(metadata, next, isFinished(phase));
  }

  function finish(id: string, entry: Entry, run: RunRow): Requeue {
    deps.onFinished(run);
    deps.children.runEnded(run);
    if (!entry.object) statuses.forgetId(id);
    // Else it has gone on, and was claimed anew meanwhile.
    if (entries.get(id) === entry) forget(id);
    return nothing;
  }

  /** The run is another's, or nobody's: all that is known of it may be old. Its object is looked at like any other's. */
  function disown(id: string, entry: Entry): void {
    // The end that was recorded stays to be shown: nobody claims a run that is over.
    const isOver = entry.loaded !== null && isFinished(entry.loaded.state.run.phase);
    entry.claim = null;
    entry.loaded = null;
    entry.rows = null;
    // Claimed anew meanwhile.
    if (entries.get(id) !== entry) return;
    letGo(id);
    live.forget(id);
    if (!isOver) statuses.forgetId(id);
    if (!entry.object) entries.delete(id);
  }

  function isOwned(id: string, entry: Entry): boolean {
    return entry.claim !== null && entries.get(id) === entry;
  }

  /** What was claimed under a lease that is lost now is dropped, to be claimed again by whoever comes first. */
  function disownLost(): void {
    for (const [id, entry] of entries) if (entry.claim?.lease.lost.aborted) disown(id, entry);
  }

  function forget(id: string): void {
    entries.delete(id);
    letGo(id);
    loop.forget(id);
  }

  function letGo(id: string): void {
    mailbox.forget(id);
    locks.forget(id);
    cache.forget(id);
    holds.forget(id);
  }

  function claimed(id: string, claim: { fence: number; lease: Lease }, rows: LoadedRun | null): void {
    const entry = entries.get(id);
    // A new entry: a reconcile that is still under way with the old one must not commit by the new fence.
    entries.set(id, {
      ...unknownRun,
      object: entry?.object ?? null,
      watched: entry?.watched ?? false,
      claim,
      rows,
      failedDecisions: entry?.failedDecisions ?? 0,
      waits: entry?.waits ?? null,
    });
    loop.enqueue(id);
  }

  function childrenChanged(ids: string[]): void {
    for (const id of ids) {
      const entry = entries.get(id);
      if (!entry) claims.changed(id);
      else {
        entry.childChanged = true;
        loop.enqueue(id);
      }
    }
  }

  /** Those that nobody has begun: what others run has a revision. */
  function wakeNew(namespace: string, which: (run: WorkflowRun) => boolean): void {
    for (const [id, { claim, object: run }] of entries) {
      const isNew = claim === null && run !== null && run.status?.revision === undefined;
      if (isNew && run.metadata.namespace === namespace && which(run)) loop.enqueue(id);
    }
  }

  return {
    loop,
    supersede(id, reason) {
      const entry = entries.get(id);
      if (!entry?.claim) return;
      entry.superseded = reason;
      loop.enqueue(id);
    },
    stepWaits(key, reason) {
      const entry = entries.get(key.runId);
      if (entry && noteWait(entry, key, reason) && entry.claim) loop.enqueue(key.runId);
    },
    circuitClosed() {
      for (const [id, { loaded }] of entries) if (loaded && loaded.state.awaitingCircuit.size > 0) loop.enqueue(id);
    },
    claimSoon: () => void claims.soon(),
    count: () => countPhases(entries.values()),
    async start() {
      mailbox.onPost((id) => loop.enqueue(id));
      const stopRuns = await store.objects.watch('WorkflowRun', ({ type, object }) => {
        const id = object.metadata.uid;
        const entry = entries.get(id);
        const isOver = type !== 'Deleted' && isFinishedObject(object) && !wantsExecution(object) && !isHeld(object);
        if (!isOver) finished.forget(id);
        if (entry?.claim) {
          entry.object = type === 'Deleted' ? null : object;
          entry.watched = true;
        } else if (type === 'Deleted' || isOver) {
          // Nothing is left to do for it here, whoever had it.
          if (entry) forget(id);
          if (type === 'Deleted') statuses.forgetId(id);
          // But what somebody else has written into its status, which the leader puts right.
          if (type === 'Deleted' || !deps.othersWrite || !finished.changed(object) || !store.isLeader()) return;
          entries.set(id, { ...unknownRun, object, watched: true });
        } else if (entry) entry.object = object;
        else entries.set(id, { ...unknownRun, object, watched: true });
        loop.enqueue(id);
      });
      const stopWorkflows = await store.objects.watch('Workflow', ({ object }) => {
        // Runs wait for a workflow that is not there yet, or not promoted yet.
        const { namespace, name } = object.metadata;
        wakeNew(namespace, ({ spec }) => spec.workflow === name);
      });
      // They wait where an environment's namespace has withdrawn its consent, too.
      const stopNamespaces = deps.governance.watchNamespaces((namespace) => wakeNew(namespace, () => true));
      stops.push(stopRuns, stopWorkflows, stopNamespaces, store.runs.onSpecs(childrenChanged));
      claims.start();
    },
    async drain(graceMs) {
      void claims.stop();
      await live.drain(graceMs);
    },
    async stop() {
      for (const stop of stops) stop();
      await claims.stop();
      await loop.stop();
      holds.stop();
      // While these runs are owned here: later, another may have shown more of them. But they do not wait for it for long.
      const written = new AbortController();
      await Promise.race([statuses.close(), pause(clock, lastStatusesMs, written.signal)]);
      written.abort();
      await store.runs.release([...entries].filter(([, entry]) => entry.claim !== null).map(([id]) => id));
    },
  };
}
