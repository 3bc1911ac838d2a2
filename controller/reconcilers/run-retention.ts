import type { Logger } from 'pino';
import type { WorkflowRun } from '../../crds/workflow-run.ts';
import { wantsExecution } from '../core/run/execution.ts';
import { endedRow, judgeHistory } from '../core/run/history-lost.ts';
import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';
import type { Store } from '../store/types.ts';

export interface RunRetentionDependencies {
  store: Store;
  clock: Clock;
  log: Logger;
  /** Milliseconds that a finished run's object stays; null: for good. */
  ttlMs: number | null;
  /** The newest so many finished objects of each workflow stay; null: all. */
  perWorkflow: number | null;
}

export interface RunRetentionReconciler {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** A finished run whose object is still there. */
interface Finished {
  id: string;
  namespace: string;
  name: string;
  workflow: string;
  finishedAt: Instant;
  /** Its end is known to be recorded, so that the object may go. */
  recorded: boolean;
}

/** A finished run's Pods go with its object, and are there for `kubectl` for this long, whatever the number of runs. */
const keepMs = 30_000;
/** Runs that end within this time are looked at together. */
const gatherMs = 1000;
const retryMs = 30_000;
const idsAtOnce = 500;
const deletionsAtOnce = 8;

/**
 * Removes the objects of runs that have ended, by age and by number; their history stays. A finished object that history
 * knows nothing of, as after restoring an older database, is recorded first. The leader's work.
 */
export function createRunRetention(deps: RunRetentionDependencies): RunRetentionReconciler {
  const { store, clock, log, ttlMs, perWorkflow } = deps;
  const finished = new Map<string, Finished>();
  const stops: (() => void)[] = [];
  const stopping = new AbortController();
  const stopped = stopping.signal;
  let wakeAt: Instant = Number.POSITIVE_INFINITY;
  let cancel = () => {};
  let running: Promise<void> | null = null;

  function wake(at: Instant): void {
    if (stopped.aborted || at >= wakeAt) return;
    cancel();
    wakeAt = at;
    cancel = clock.at(at, () => {
      wakeAt = Number.POSITIVE_INFINITY;
      running = (running ?? Promise.resolve()).then(pass).catch((error: unknown) => {
        log.warn({ err: error }, 'finished runs could not be looked at; it is tried again');
        wake(clock.now() + retryMs);
      });
    });
  }

  async function pass(): Promise<void> {
    if (stopped.aborted || !store.isLeader()) return;
    await record();
    const over = [...overdue()];
    for (let i = 0; i < over.length && !stopped.aborted; i += deletionsAtOnce) {
      await Promise.all(over.slice(i, i + deletionsAtOnce).map(remove));
    }
    if (ttlMs === null) return;
    let next = Number.POSITIVE_INFINITY;
    for (const { finishedAt } of finished.values()) next = Math.min(next, finishedAt + ttlMs);
    if (Number.isFinite(next)) wake(Math.max(next, clock.now() + gatherMs));
  }

  /** Finds out which ends are recorded, and records those that are not. */
  async function record(): Promise<void> {
    const unknown = [...finished.values()].filter(({ recorded }) => !recorded);
    for (let i = 0; i < unknown.length && !stopped.aborted; i += idsAtOnce) {
      const some = unknown.slice(i, i + idsAtOnce);
      const ended = await store.runs.ended(some.map(({ id }) => id));
      for (const run of some) run.recorded = ended.has(run.id) || (await importEnd(run));
    }
  }

  /** False when it is recorded as a run that has not ended: whoever owns that run ends it. */
  async function importEnd({ id, namespace, name }: Finished): Promise<boolean> {
    const object = await store.objects.get('WorkflowRun', namespace, name);
    if (object?.metadata.uid !== id) return false;
    if (judgeHistory(object.status, null) !== 'Ended') return true;
    const owner = await store.promotions.activeIn(namespace, object.spec.workflow);
    const row = endedRow(object, null, clock.now(), owner);
    if (!(await store.runs.create(row))) return false;
    log.info({ namespace, name }, 'a finished run that history did not know was recorded from its object');
    return true;
  }

  function* overdue(): Generator<Finished> {
    const now = clock.now();
    const removable = [...finished.values()].filter(({ recorded }) => recorded);
    for (const runs of Map.groupBy(removable, (run) => `${run.namespace}/${run.workflow}`).values()) {
      const newestFirst = runs.sort((a, b) => b.finishedAt - a.finishedAt || (a.id < b.id ? -1 : 1));
      for (const [place, run] of newestFirst.entries()) {
        const old = ttlMs !== null && run.finishedAt + ttlMs <= now;
        const beyond = perWorkflow !== null && place >= perWorkflow;
        if (old || (beyond && run.finishedAt + keepMs <= now)) yield run;
        else if (beyond) wake(Math.max(run.finishedAt + keepMs, now + gatherMs));
      }
    }
  }

  async function remove(run: Finished): Promise<void> {
    const { id, namespace, name } = run;
    // It goes on since, or has ended once more.
    if (finished.get(id) !== run) return;
    await store.objects.delete('WorkflowRun', namespace, name, id);
    finished.delete(id);
  }

  return {
    async start() {
      stops.push(
        await store.objects.watch('WorkflowRun', ({ type, object }) => {
          const run = type === 'Applied' ? finishedOf(object) : null;
          const { uid } = object.metadata;
          if (!run) finished.delete(uid);
          else if (finished.get(uid)?.finishedAt !== run.finishedAt) {
            finished.set(uid, run);
            wake(clock.now() + gatherMs);
          }
        }),
        store.onLeadership((leader) => {
          if (leader) wake(clock.now() + gatherMs);
        }),
      );
    },
    async stop() {
      stopping.abort();
      cancel();
      for (const stop of stops) stop();
      await running;
    },
  };
}

/** Null while the run has not ended or is to go on, and when its object is already on its way out. */
function finishedOf(object: WorkflowRun): Finished | null {
  if (wantsExecution(object)) return null;
  const { metadata, spec, status } = object;
  const condition = status?.conditions?.find(({ type }) => type === 'Finished');
  if (condition?.status !== 'True' || metadata.deletionTimestamp !== undefined) return null;
  return {
    id: metadata.uid,
    namespace: metadata.namespace,
    name: metadata.name,
    workflow: spec.workflow,
    finishedAt: Date.parse(status?.finishedAt ?? condition.lastTransitionTime),
    recorded: false,
  };
}
