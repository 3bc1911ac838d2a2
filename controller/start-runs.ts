import type { Logger } from 'pino';
import type { RunObservation, RunRow } from './core/run/types.ts';
import type { Home } from './home.ts';
import { createAppliedVersions } from './reconcilers/applied-versions.ts';
import { createAttemptSweeps } from './reconcilers/attempt-sweeps.ts';
import { createChildRuns, withChildRuns } from './reconcilers/child-runs.ts';
import { type Circuits, createCircuits } from './reconcilers/circuits.ts';
import type { Metrics } from './reconcilers/metrics.ts';
import { createPlanCache } from './reconcilers/plans.ts';
import { createRunCache } from './reconcilers/run-cache.ts';
import { createRunDeletion } from './reconcilers/run-deletion.ts';
import { createRunLocks } from './reconcilers/run-locks.ts';
import type { RunStatusWriter } from './reconcilers/statuses.ts';
import { createRunReconciler, type RunReconciler } from './reconcilers/workflow-run.ts';
import { createMailbox } from './runtime/mailbox.ts';
import type { Clock } from './seams/clock.ts';
import type { ExecutorSink } from './seams/executor.ts';

export interface RunsOptions {
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  statuses: RunStatusWriter;
  /** Most steps of each namespace that run at once; null: any number. */
  maxStepsPerNamespace: number | null;
  /** A run has ended: gates that count runs may open. */
  onFinished(run: RunRow): void;
}

/** Everything that runs are driven by. */
export interface Runs {
  circuits: Circuits;
  reconciler: Pick<RunReconciler, 'loop' | 'start'>;
  /** Begins nothing more, waits up to `graceMs` for what runs, then lets go of it. */
  stop(graceMs: number): Promise<void>;
}

/** Wires the reconciler of runs with what it acts by: executors, child runs, locks, the step cache and circuits. */
export function createRuns(
  home: Pick<Home, 'kind' | 'store' | 'governance' | 'deletionGuard' | 'createExecutor'>,
  options: RunsOptions,
): Runs {
  const { clock, log, metrics, maxStepsPerNamespace } = options;
  const { store } = home;
  const mailbox = createMailbox<RunObservation>();
  const circuits = createCircuits(clock, () => reconciler.circuitClosed());
  const plans = createPlanCache(store.versions);
  const applied = createAppliedVersions(store.versions, clock);
  const sink: ExecutorSink = {
    ended(key, result, at) {
      circuits.ended(key, result);
      const { runId, step, item, attempt } = key;
      mailbox.post(runId, { type: 'AttemptEnded', step, item, attempt, at, result });
    },
    unmasked: ({ runId, step }, secrets) => mailbox.post(runId, { type: 'LogUnmasked', step, secrets }),
    waiting: (key, reason) => reconciler.stepWaits(key, reason),
    log: store.logs,
  };
  const children = createChildRuns({
    store,
    plans,
    applied,
    sink,
    clock,
    log,
    onRecorded: () => reconciler.claimSoon(),
  });
  const executor = withChildRuns(
    home.createExecutor(sink, () => {
      const { lease } = store;
      // Looks at the clock, so that one whose time is over counts as lost even before its timer has said so.
      lease.remainingMs();
      return lease.lost;
    }),
    children,
  );
  const post = mailbox.post;
  const locks = createRunLocks({
    store,
    slots: maxStepsPerNamespace,
    post,
    supersede: (id, reason) => reconciler.supersede(id, reason),
    log,
  });
  const cache = createRunCache({ store, post, clock, log, metrics });
  const reconciler = createRunReconciler({
    store,
    executor,
    applied,
    children,
    locks,
    cache,
    circuits,
    deletion: createRunDeletion(home.deletionGuard, clock),
    governance: home.governance,
    plans,
    statuses: options.statuses,
    mailbox,
    clock,
    log,
    metrics,
    limitedSlots: maxStepsPerNamespace !== null,
    othersWrite: home.kind === 'cluster',
    // Pods and child runs go on without a controller, and waiting for them would only keep others from their runs.
    drains: (kind) => kind !== 'workflow' && (home.kind === 'laptop' || (kind !== 'run' && kind !== 'container')),
    onFinished: options.onFinished,
  });
  // On a laptop nothing is left over while it runs: what could leave it has ended.
  const sweeps = home.kind === 'cluster' ? createAttemptSweeps({ store, executor, clock, log }) : null;
  metrics.watchStore(store);
  metrics.watchCircuits(circuits);
  metrics.watchRuns(() => reconciler.count());

  return {
    circuits,
    reconciler: {
      loop: reconciler.loop,
      async start() {
        // What a killed controller did not come to remove takes place, and does no other harm.
        await executor
          .sweep(() => store.runs.openAttempts())
          .catch((error: unknown) => log.warn({ err: error }, 'folders of attempts that have ended stay'));
        children.open();
        locks.start();
        cache.start();
        await reconciler.start();
        sweeps?.start();
      },
    },
    async stop(graceMs) {
      const swept = sweeps?.stop();
      await reconciler.drain(graceMs);
      await reconciler.stop();
      await Promise.all([locks.stop(), cache.stop()]);
      await executor.close();
      // Not before: a sweep that waits for the API server ends with what it waits by.
      await swept;
    },
  };
}
