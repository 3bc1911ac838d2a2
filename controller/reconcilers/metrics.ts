import type { Logger } from 'pino';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { PromotionRow } from '../core/promotion/types.ts';
import { isFinished, type RunTransition } from '../core/run/types.ts';
import type { Loop, LoopOptions } from '../runtime/loop.ts';

/** What the reconcilers count. Names are `windlass_*`, seconds and totals as Prometheus asks for. */
export interface Metrics {
  /** The observer of one kind's loop: figures for every reconcile, a log line for every failure. */
  reconciled(kind: string, log: Logger): NonNullable<LoopOptions['observe']>;
  /** A run decision was recorded. */
  committed(transition: RunTransition): void;
  /** Promotions that reached their last phase. */
  promoted(rows: PromotionRow[]): void;
  fetched(source: string, seconds: number, ok: boolean): void;
  /** Shows how many keys of a loop wait or run. */
  watchDepth(kind: string, loop: Loop): void;
}

export function createMetrics(registry: Registry): Metrics {
  const registers = [registry];
  const seconds = new Histogram({
    name: 'windlass_reconcile_seconds',
    help: 'Time of one reconcile.',
    labelNames: ['kind'],
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    registers,
  });
  const errors = new Counter({
    name: 'windlass_reconcile_errors_total',
    help: 'Reconciles that threw; terminal ones are not retried.',
    labelNames: ['kind', 'terminal'],
    registers,
  });
  const runs = new Counter({
    name: 'windlass_runs_finished_total',
    help: 'Runs that ended.',
    labelNames: ['namespace', 'workflow', 'phase'],
    registers,
  });
  const runSeconds = new Histogram({
    name: 'windlass_run_seconds',
    help: 'Time from leaving the queue to the end of a run.',
    labelNames: ['namespace', 'workflow'],
    buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400],
    registers,
  });
  const steps = new Counter({
    name: 'windlass_steps_finished_total',
    help: 'Steps that ended.',
    labelNames: ['namespace', 'phase'],
    registers,
  });
  const attempts = new Counter({
    name: 'windlass_attempts_finished_total',
    help: 'Attempts that ended.',
    labelNames: ['namespace', 'phase'],
    registers,
  });
  const promotions = new Counter({
    name: 'windlass_promotions_finished_total',
    help: 'Promotions that reached their last phase.',
    labelNames: ['environment', 'phase'],
    registers,
  });
  const fetches = new Histogram({
    name: 'windlass_source_fetch_seconds',
    help: 'Time of one fetch of a source.',
    labelNames: ['source', 'ok'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120],
    registers,
  });
  const loops = new Map<string, Loop>();
  const depth = new Gauge({
    name: 'windlass_queue_depth',
    help: 'Keys waiting to be reconciled or being reconciled.',
    labelNames: ['kind'],
    registers,
    collect() {
      for (const [kind, loop] of loops) depth.set({ kind }, loop.depth());
    },
  });

  return {
    reconciled: (kind, log) => (result) => {
      seconds.observe({ kind }, result.seconds);
      if (result.error === null) return;
      errors.inc({ kind, terminal: String(result.terminal) });
      const fields = { kind, key: result.key, failures: result.failures, err: result.error };
      if (result.terminal) log.error(fields, 'reconcile failed for good');
      else log.warn(fields, 'reconcile failed; it is tried again');
    },
    committed({ run, steps: stepRows, attempts: attemptRows }) {
      const { namespace, workflow, phase } = run;
      if (isFinished(phase)) {
        runs.inc({ namespace, workflow, phase });
        if (run.startedAt !== null && run.finishedAt !== null) {
          runSeconds.observe({ namespace, workflow }, (run.finishedAt - run.startedAt) / 1000);
        }
      }
      for (const step of stepRows) if (step.finishedAt !== null) steps.inc({ namespace, phase: step.phase });
      for (const a of attemptRows) if (a.finishedAt !== null) attempts.inc({ namespace, phase: a.phase });
    },
    promoted(rows) {
      for (const { environment, phase, finishedAt } of rows) {
        if (finishedAt !== null) promotions.inc({ environment, phase });
      }
    },
    fetched: (source, time, ok) => fetches.observe({ source, ok: String(ok) }, time),
    watchDepth: (kind, loop) => void loops.set(kind, loop),
  };
}
