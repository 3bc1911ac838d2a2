import type { Logger } from 'pino';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { createApp } from '../api/app.ts';
import { listen } from '../api/listen.ts';
import { checkObject } from './core/lint/index.ts';
import { formatPath } from './core/parse/position.ts';
import type { Home } from './home.ts';
import { lookAtRun } from './reconcilers/approval-looks.ts';
import { createArtifactRetention } from './reconcilers/artifact-retention.ts';
import { createCacheRetention } from './reconcilers/cache-retention.ts';
import { createEnvironmentReconciler } from './reconcilers/environment.ts';
import { createMetrics } from './reconcilers/metrics.ts';
import { createRedrives } from './reconcilers/redrives.ts';
import { createRepositories, sourceKey } from './reconcilers/repositories.ts';
import { createKindStatusWriter, createRunStatusWriter } from './reconcilers/statuses.ts';
import { createRunRetention } from './reconcilers/run-retention.ts';
import { createWorkflowReconciler } from './reconcilers/workflow.ts';
import { createSourceReconciler } from './reconcilers/workflow-source.ts';
import { databaseAway } from './root-cause.ts';
import type { Clock } from './seams/clock.ts';
import { createRuns } from './start-runs.ts';
import type { Store } from './store/types.ts';

export interface ControllerOptions {
  listen: { host: string; port: number };
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  log: Logger;
  version: string;
  /** Most steps of each namespace that run at once: attempts of run, container, http and template steps. Default: any number. */
  maxStepsPerNamespace?: number;
}

/** A controller that serves and reconciles. */
export interface RunningController {
  url: string;
  store: Store;
  /** Begins nothing more, waits up to `graceMs` for what runs, then lets go of it: the next start adopts it. */
  stop(graceMs: number): Promise<void>;
}

/**
 * Wires the controller of a home and starts it; the home is its own from here on and closed with it.
 * @throws when the port cannot be had; the home is closed then, too
 */
export async function startController(home: Home, options: ControllerOptions): Promise<RunningController> {
  const { clock, log } = options;
  const { store } = home;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const metrics = createMetrics(registry);
  const repositories = createRepositories({
    directory: home.repositories,
    home: home.kind,
    secrets: home.secrets,
    env: options.env,
  });
  const common = { store, clock, log, metrics, repositories };
  const writer = { objects: store.objects, clock, log };
  const statuses = {
    runs: createRunStatusWriter({ store, clock, log }),
    workflows: createKindStatusWriter('Workflow', writer),
    sources: createKindStatusWriter('WorkflowSource', writer),
    environments: createKindStatusWriter('Environment', writer),
    promotions: createKindStatusWriter('Promotion', writer),
  };
  const environments = createEnvironmentReconciler({
    ...common,
    statuses: statuses.environments,
    promotionStatuses: statuses.promotions,
    governance: home.governance,
    onNamespace: (namespace) => workflows.namespaceChanged(namespace),
  });
  const sources = createSourceReconciler({
    ...common,
    statuses: statuses.sources,
    environmentsPath: home.environmentsPath,
    onFetched: environments.sourceFetched,
  });
  const workflows = createWorkflowReconciler({
    ...common,
    statuses: statuses.workflows,
    governance: home.governance,
  });
  const runs = createRuns(home, {
    clock,
    log,
    metrics,
    statuses: statuses.runs,
    maxStepsPerNamespace: options.maxStepsPerNamespace ?? null,
    onFinished: (run) => environments.runFinished(run.environment),
  });
  const retention = home.retention === null ? null : createRunRetention({ store, clock, log, ...home.retention });
  const cacheRetention = createCacheRetention({ store, clock, log });
  const redrives = createRedrives({ store, clock, log });
  const artifactRetention =
    home.artifacts === null || home.artifacts.keptMs === null
      ? null
      : createArtifactRetention({ store, artifacts: home.artifacts.store, clock, log, keptMs: home.artifacts.keptMs });
  // Runs last: ten thousand that wait for a workflow would keep the few others from the database.
  const reconcilers = {
    workflowsource: sources,
    environment: environments,
    workflow: workflows,
    workflowrun: runs.reconciler,
  };
  for (const [kind, { loop }] of Object.entries(reconcilers)) metrics.watchDepth(kind, loop);

  const closing = new AbortController();
  const server = await listen(
    createApp({
      store,
      artifacts: home.artifacts?.store ?? null,
      podArtifacts: home.podArtifacts,
      clock,
      log,
      access: home.access,
      registry,
      ready: () => readiness(home),
      validate: (kind, object) =>
        checkObject(kind, object)
          .filter((problem) => problem.severity !== 'warning')
          .map(({ path, message, rule }) => ({ path: formatPath(path), message, rule })),
      tags: async (source) =>
        (await store.refs.list(sourceKey(source)))
          .filter(({ ref, deleted }) => ref.startsWith('refs/tags/') && !deleted)
          .toSorted((a, b) => b.firstSeenAt - a.firstSeenAt)
          .map(({ ref }) => ref.slice('refs/tags/'.length)),
      believed: (run) => lookAtRun({ store, governance: home.governance, clock }, run),
      circuits: () => runs.circuits.list(),
      project: home.project,
      namespaces: home.namespaces,
      version: options.version,
      closing: closing.signal,
    }),
    options.listen,
  ).catch(async (error: unknown) => {
    await home.close();
    throw error;
  });
  for (const reconciler of Object.values(reconcilers)) await reconciler.start();
  await retention?.start();
  artifactRetention?.start();
  cacheRetention.start();
  redrives.start();
  await home.announce(server.url);

  return {
    url: server.url,
    store,
    async stop(graceMs) {
      await home.announce(null);
      await Promise.all([
        sources.stop(),
        environments.stop(),
        workflows.stop(),
        retention?.stop(),
        artifactRetention?.stop(),
        cacheRetention.stop(),
        redrives.stop(),
      ]);
      await runs.stop(graceMs);
      await Promise.all(Object.values(statuses).map((status) => status.close()));
      closing.abort();
      await server.close();
      await repositories.close();
      await home.close();
    },
  };
}

async function readiness({ store, databaseHost, notReady }: Home): Promise<{ ok: boolean; reasons: string[] }> {
  const reasons = notReady();
  try {
    await store.ping();
  } catch (error) {
    reasons.push(databaseAway(error, databaseHost));
  }
  return { ok: reasons.length === 0, reasons };
}
