import type { Logger } from 'pino';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { createApp } from '../api/app.ts';
import { listen } from '../api/listen.ts';
import type { RunObservation } from './core/run/types.ts';
import { checkObject } from './core/lint/index.ts';
import { formatPath } from './core/parse/position.ts';
import { openDataDirectory } from './data-directory.ts';
import { createExecutors } from './executors/index.ts';
import { createSecretDirectory } from './executors/secrets.ts';
import { createEnvironmentReconciler } from './reconcilers/environment.ts';
import { createMetrics } from './reconcilers/metrics.ts';
import { createPlanCache } from './reconcilers/plans.ts';
import { createRepositories, sourceKey } from './reconcilers/repositories.ts';
import { createKindStatusWriter, createRunStatusWriter } from './reconcilers/statuses.ts';
import { createWorkflowReconciler } from './reconcilers/workflow.ts';
import { createRunReconciler } from './reconcilers/workflow-run.ts';
import { createSourceReconciler } from './reconcilers/workflow-source.ts';
import { createMailbox } from './runtime/mailbox.ts';
import type { Clock } from './seams/clock.ts';
import { openStore } from './store/open.ts';
import type { Store } from './store/types.ts';

/** Namespace of sources, environments and promotions on a laptop. */
export const project = 'default';
/** Where environment files are, from the root of the repository. */
export const environmentsPath = 'environments';

export interface ControllerOptions {
  dataDir: string;
  /** Postgres to use instead of the embedded one. */
  databaseUrl: string | null;
  listen: { host: string; port: number };
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  log: Logger;
  version: string;
}

/** A controller that serves and reconciles. */
export interface RunningController {
  url: string;
  token: string;
  store: Store;
  /** Begins nothing more, waits up to `graceMs` for what runs, then lets go of it: the next start adopts it. */
  stop(graceMs: number): Promise<void>;
}

/** Wires everything of a laptop's controller and starts it. @throws when the data directory, database or port cannot be had */
export async function startController(options: ControllerOptions): Promise<RunningController> {
  const { clock, log } = options;
  const data = await openDataDirectory(options.dataDir);
  const store = await openStore(options.databaseUrl ? { databaseUrl: options.databaseUrl } : { dataDir: data.path }, {
    clock,
    home: data.home,
    log: (message, fields) => log.info(fields ?? {}, message),
  });
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const metrics = createMetrics(registry);
  const secrets = createSecretDirectory(data.secrets);
  const repositories = createRepositories({ directory: data.repositories, home: 'laptop', secrets, env: options.env });
  const mailbox = createMailbox<RunObservation>();
  const executor = createExecutors({
    root: data.attempts,
    files: store.versions,
    secrets,
    sink: {
      ended: (key, result, at) => mailbox.post(key.runId, { type: 'AttemptEnded', ...keyed(key), at, result }),
      log: store.logs,
    },
    clock,
    lost: () => store.lease.lost,
    env: options.env,
    troubled: (key, error) => log.warn({ err: error, ...key }, 'following a process failed; it is tried again'),
    allowLoopback: true,
    allowPrivate: true,
  });
  const common = { store, clock, log, metrics, repositories };
  const writer = { objects: store.objects, clock, log };
  const statuses = {
    runs: createRunStatusWriter(writer),
    workflows: createKindStatusWriter('Workflow', writer),
    sources: createKindStatusWriter('WorkflowSource', writer),
    environments: createKindStatusWriter('Environment', writer),
    promotions: createKindStatusWriter('Promotion', writer),
  };
  const environments = createEnvironmentReconciler({
    ...common,
    statuses: statuses.environments,
    promotionStatuses: statuses.promotions,
  });
  const sources = createSourceReconciler({
    ...common,
    statuses: statuses.sources,
    environmentsPath,
    onFetched: environments.sourceFetched,
  });
  const workflows = createWorkflowReconciler({ ...common, statuses: statuses.workflows });
  const runs = createRunReconciler({
    ...common,
    executor,
    mailbox,
    plans: createPlanCache(store.versions),
    statuses: statuses.runs,
    onFinished: (run) => environments.runFinished(run.environment),
  });
  // Runs last: ten thousand that wait for a workflow would keep the few others from the database.
  const reconcilers = { workflowsource: sources, environment: environments, workflow: workflows, workflowrun: runs };
  for (const [kind, { loop }] of Object.entries(reconcilers)) metrics.watchDepth(kind, loop);

  const closing = new AbortController();
  const server = await listen(
    createApp({
      store,
      clock,
      log,
      token: data.token,
      identity: { user: 'local', groups: ['*'] },
      allowedHosts: ['127.0.0.1', 'localhost', '[::1]'],
      registry,
      ready: () => readiness(store),
      validate: (kind, object) =>
        checkObject(kind, object)
          .filter((problem) => problem.severity !== 'warning')
          .map(({ path, message, rule }) => ({ path: formatPath(path), message, rule })),
      tags: async (source) =>
        (await store.refs.list(sourceKey(source)))
          .filter(({ ref, deleted }) => ref.startsWith('refs/tags/') && !deleted)
          .toSorted((a, b) => b.firstSeenAt - a.firstSeenAt)
          .map(({ ref }) => ref.slice('refs/tags/'.length)),
      project,
      version: options.version,
      closing: closing.signal,
    }),
    options.listen,
  ).catch(async (error: unknown) => {
    await store.close();
    throw error;
  });
  // What a killed controller did not come to remove takes place, and does no other harm.
  await executor
    .sweep(() => store.runs.openAttempts())
    .catch((error: unknown) => log.warn({ err: error }, 'folders of attempts that have ended stay'));
  for (const reconciler of Object.values(reconcilers)) await reconciler.start();
  await data.announce(server.url);

  return {
    url: server.url,
    token: data.token,
    store,
    async stop(graceMs) {
      await data.retract();
      await Promise.all([sources.stop(), environments.stop(), workflows.stop()]);
      await runs.drain(graceMs);
      await runs.stop();
      await executor.close();
      await Promise.all(Object.values(statuses).map((status) => status.close()));
      closing.abort();
      await server.close();
      await repositories.close();
      await store.close();
    },
  };
}

function keyed(key: { step: string; attempt: number }): { step: string; attempt: number } {
  return { step: key.step, attempt: key.attempt };
}

async function readiness(store: Store): Promise<{ ok: boolean; reasons: string[] }> {
  try {
    await store.ping();
    return { ok: true, reasons: [] };
  } catch (error) {
    return {
      ok: false,
      reasons: [`the database does not answer: ${error instanceof Error ? error.message : String(error)}`],
    };
  }
}
