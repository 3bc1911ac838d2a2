import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { Registry } from 'prom-client';
import type { RunRow, RunTransition } from '../../controller/core/run/types.ts';
import type { JsonObject } from '../../crds/json.ts';
import type { WorkflowSpec } from '../../crds/workflow.ts';
import { createArtifactDirectory } from '../../controller/artifacts/directory.ts';
import { createExecutors } from '../../controller/executors/index.ts';
import { createSecretDirectory } from '../../controller/executors/secrets.ts';
import { createMetrics } from '../../controller/reconcilers/metrics.ts';
import { createRunStatusWriter } from '../../controller/reconcilers/statuses.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import type { ArtifactStore } from '../../controller/seams/artifacts.ts';
import type { Executor, ExecutorSink } from '../../controller/seams/executor.ts';
import { createRuns } from '../../controller/start-runs.ts';
import { openStore } from '../../controller/store/open.ts';
import type { Store } from '../../controller/store/types.ts';
import { laptopGovernance } from '../../controller/home-laptop.ts';

/** Everything that runs workflows, without sources, environments and API. */
export interface Engine {
  store: Store;
  artifacts: ArtifactStore;
  /** Applies a workflow to namespace `bench`. */
  apply(name: string, spec: WorkflowSpec): Promise<void>;
  /** Creates runs of a workflow and resolves with them when all have ended. */
  run(workflow: string, count: number, inputs?: JsonObject): Promise<RunRow[]>;
  /** Is told of every decision that is durable. */
  onCommitted: ((transition: RunTransition) => void) | null;
  /** Milliseconds from every end of an attempt to the next start in the same run, since `reset`. */
  handOffs: number[];
  /** When the executor last reported the end of an attempt of a run, ms since the epoch. */
  reported: Map<string, number>;
  stop(): Promise<void>;
}

export async function startEngine(databaseUrl: string | null): Promise<Engine> {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-bench-'));
  const log = pino({ level: 'warn' }, pino.destination(2));
  const clock = systemClock;
  const store = await openStore(databaseUrl ? { databaseUrl } : { dataDir: directory }, { clock, home: 'bench' });
  const artifacts = createArtifactDirectory(join(directory, 'artifacts'), clock);
  const handOffs: number[] = [];
  const ended = new Map<string, number>();
  const reported = new Map<string, number>();
  function createExecutor(sink: ExecutorSink, lost: () => AbortSignal): Executor {
    const executor = createExecutors({
      root: join(directory, 'attempts'),
      files: store.versions,
      artifacts: { store: artifacts, maxBytes: 1024 ** 3 },
      secrets: createSecretDirectory(join(directory, 'secrets')),
      sink: {
        ended(key, result, at) {
          ended.set(key.runId, performance.now());
          reported.set(key.runId, clock.now());
          sink.ended(key, result, at);
        },
        unmasked: (key, secrets) => sink.unmasked(key, secrets),
        waiting: (key, reason) => sink.waiting(key, reason),
        log: sink.log,
      },
      clock,
      lost,
      env: process.env,
      troubled: () => {},
      allowLoopback: true,
      allowPrivate: true,
    });
    return {
      ...executor,
      start(action) {
        const since = ended.get(action.key.runId);
        if (since !== undefined) handOffs.push(performance.now() - since);
        return executor.start(action);
      },
    };
  }
  const finished = new Map<string, (run: RunRow) => void>();
  const early = new Map<string, RunRow>();
  const statuses = createRunStatusWriter({ store, clock, log });
  const watched: Store = Object.create(store, { runs: { value: { ...store.runs, commit } } });
  async function commit(transition: RunTransition, fence: number): Promise<void> {
    await store.runs.commit(transition, fence);
    engine.onCommitted?.(transition);
  }
  const home = {
    kind: 'laptop' as const,
    store: watched,
    governance: laptopGovernance,
    deletionGuard: null,
    createExecutor,
  };
  const runs = createRuns(home, {
    statuses,
    clock,
    log,
    metrics: createMetrics(new Registry()),
    maxStepsPerNamespace: null,
    onFinished(run) {
      ended.delete(run.id);
      const resolve = finished.get(run.id);
      if (resolve) resolve(run);
      else early.set(run.id, run);
    },
  });
  await runs.reconciler.start();
  let next = 0;

  const engine: Engine = {
    store,
    artifacts,
    onCommitted: null,
    handOffs,
    reported,
    async apply(name, spec) {
      await store.objects.apply({ kind: 'Workflow', metadata: { name, namespace: 'bench' }, spec });
    },
    async run(workflow, count, inputs = {}) {
      return await Promise.all(
        Array.from({ length: count }, async () => {
          const object = await store.objects.create({
            kind: 'WorkflowRun',
            metadata: { name: `${workflow}-${process.pid}-${next++}`, namespace: 'bench' },
            spec: { workflow, inputs },
          });
          const id = object.metadata.uid;
          const done = early.get(id);
          return done ?? (await new Promise<RunRow>((resolve) => finished.set(id, resolve)));
        }),
      );
    },
    async stop() {
      await runs.stop(0);
      await statuses.close();
      await store.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
  return engine;
}

/** A chain of template steps: in-controller work that is over at once, so that what is left is the engine. */
export function templateChain(length: number): WorkflowSpec {
  return {
    steps: Array.from({ length }, (_, i) => ({
      name: `s${i}`,
      template: { text: 'x' },
      ...(i > 0 ? { needs: [`s${i - 1}`] } : {}),
    })),
  };
}
