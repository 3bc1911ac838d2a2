import type { Logger } from 'pino';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { PromotionRow } from '../core/promotion/types.ts';
import { isFinished, type RunTransition } from '../core/run/types.ts';
import type { Loop, LoopOptions } from '../runtime/loop.ts';
import type { Store } from '../store/types.ts';
import type { Circuits } from './circuits.ts';
import { createTroubles } from './troubles.ts';

/** What the reconcilers count. Names are `windlass_*`, seconds and totals as Prometheus asks for. */
export interface Metrics {
  /** The observer of one kind's loop: figures for every reconcile, a log line for every new reason to fail. */
  reconciled(kind: string, log: Logger): NonNullable<LoopOptions['observe']>;
  /** A run decision was recorded. */
  committed(transition: RunTransition): void;
  /** Promotions that reached their last phase. */
  promoted(rows: PromotionRow[]): void;
  fetched(source: string, seconds: number, ok: boolean): void;
  /** A unit asked the step cache and was told. */
  cached(namespace: string, workflow: string, hit: boolean): void;
  /** Shows how many keys of a loop wait or run. */
  watchDepth(kind: string, loop: Loop): void;
  /** Shows, whenever the metrics are read, what is asked for then. */
  watchStore(store: Pick<Store, 'locks' | 'deadLetters'>): void;
  watchCircuits(circuits: Pick<Circuits, 'list'>): void;
  /** Runs of this replica by phase: how many are in the queue, and how many run. */
  watchRuns(count: () => Map<string, number>): void;
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
  const retries = new Counter({
    name: 'windlass_step_retries_total',
    help: 'Times that a step or item was about to be tried again.',
    labelNames: ['namespace', 'workflow'],
    registers,
  });
  const lookUps = new Counter({
    name: 'windlass_cache_lookups_total',
    help: 'Answers of the step cache: hit or miss.',
    labelNames: ['namespace', 'workflow', 'result'],
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
    reconciled(kind, log) {
      const said = { trouble: 'reconcile failed; it is tried again', over: 'reconcile succeeded again' };
      const troubles = createTroubles(log.child({ kind }), said);
      return ({ key, error, failures, terminal, ...result }) => {
        seconds.observe({ kind }, result.seconds);
        if (error === null) return troubles.over(key);
        errors.inc({ kind, terminal: String(terminal) });
        if (terminal) log.error({ kind, key, failures, err: error }, 'reconcile failed for good');
        else troubles.failed(key, { key, failures }, error);
      };
    },
    committed({ run, steps: stepRows, attempts: attemptRows }) {
      const { namespace, workflow, phase } = run;
      for (const step of stepRows) if (step.phase === 'Retrying') retries.inc({ namespace, workflow });
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
    cached: (namespace, workflow, hit) => lookUps.inc({ namespace, workflow, result: hit ? 'hit' : 'miss' }),
    watchDepth: (kind, loop) => void loops.set(kind, loop),
    watchStore: ({ locks, deadLetters }) => watchStore(registry, locks, deadLetters),
    watchCircuits(circuits) {
      registry.registerMetric(
        new Gauge({
          name: 'windlass_circuit_open',
          help: 'Target hosts of http steps that have failed lately: 1 while nothing is sent to them, 0.5 while one request tries, else 0.',
          labelNames: ['host'],
          registers: [],
          collect() {
            this.reset();
            const value = { Open: 1, HalfOpen: 0.5, Closed: 0 };
            for (const { host, state } of circuits.list()) this.set({ host }, value[state]);
          },
        }),
      );
    },
    watchRuns(count) {
      registry.registerMetric(
        new Gauge({
          name: 'windlass_runs',
          help: 'Runs that this replica works on, by phase; Queued ones wait for their turn.',
          labelNames: ['phase'],
          registers: [],
          collect() {
            this.reset();
            for (const [phase, runs] of count()) this.set({ phase }, runs);
          },
        }),
      );
    },
  };
}

/** Figures of the database are left as they were while it is away: the others must be readable then above all. */
function watchStore(registry: Registry, locks: Store['locks'], deadLetters: Store['deadLetters']): void {
  registry.registerMetric(
    new Gauge({
      name: 'windlass_lock_claims',
      help: 'Runs and steps that wait for, or hold, a lock, a concurrency group or a running step of their namespace.',
      labelNames: ['namespace', 'state'],
      registers: [],
      async collect() {
        const counts = await locks.counts().catch(() => null);
        if (counts === null) return;
        this.reset();
        for (const { namespace, waiting, holding } of counts) {
          this.set({ namespace, state: 'waiting' }, waiting);
          this.set({ namespace, state: 'holding' }, holding);
        }
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'windlass_dead_letters',
      help: 'Runs that failed for good and that nobody has looked after.',
      labelNames: ['namespace', 'workflow'],
      registers: [],
      async collect() {
        const counts = await deadLetters.waiting().catch(() => null);
        if (counts === null) return;
        this.reset();
        for (const { namespace, workflow, count } of counts) this.set({ namespace, workflow }, count);
      },
    }),
  );
}
