import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { createKubernetesAccess } from '../api/access-kubernetes.ts';
import { type ArtifactSettings, openArtifacts } from './artifacts/open.ts';
import { createClusterExecutors } from './executors/index.ts';
import type { PodArtifactOptions } from './executors/pod/artifacts.ts';
import { createPodIdentities } from './executors/pod/identity.ts';
import { createKubernetesSecrets } from './executors/kubernetes-secrets.ts';
import type { Home, RunRetention } from './home.ts';
import type { KubernetesClient } from './kubernetes/client.ts';
import { isRefusal } from './kubernetes/errors.ts';
import { environmentManager, reconcilerManagers, runManager } from './kubernetes/field-managers.ts';
import { createKubernetesGovernance } from './kubernetes/governance.ts';
import { followNamespaces } from './kubernetes/namespaces.ts';
import { createPermissions } from './kubernetes/permissions.ts';
import { publishJournal, tellStalled } from './kubernetes-events.ts';
import { createDeletionGuard } from './objects/kubernetes/deletion-guard.ts';
import { createKubernetesObjects } from './objects/kubernetes/objects.ts';
import { findOldSchemas } from './objects/kubernetes/served-schemas.ts';
import type { ControllerOptions } from './start.ts';
import { type OwnPod, createOwnPodEvents, watchOwnReadiness } from './own-pod.ts';
import { databaseAway, databaseHost } from './root-cause.ts';
import { openStore } from './store/open.ts';
import { withObjects } from './store/with-objects.ts';

export interface ClusterHomeOptions extends Pick<ControllerOptions, 'clock' | 'log'> {
  kubeConfig: KubeConfig;
  databaseUrl: string;
  /** Folder of mirrors of sources; what is in it can be fetched again. */
  dataDir: string;
  /** The namespaces that are served; null: all. */
  namespaces: string[] | null;
  /** Namespaces whose steps may reach beyond their Pod. */
  allowPrivilegedSteps: ReadonlySet<string>;
  /** Namespaces whose http steps may reach private addresses. */
  allowPrivateHttp: ReadonlySet<string>;
  /** Where artifacts are kept; null: nowhere, and steps with artifacts fail. */
  artifacts: (ArtifactSettings & Pick<PodArtifactOptions, 'image' | 'url'>) | null;
  /** Image of steps that name none; null: such steps fail. */
  stepImage: string | null;
  retention: RunRetention;
  /** The Pod that it runs in, to tell of trouble there; null: none. */
  pod: OwnPod | null;
}

/** Owner of the fields that callers of the API write through it. */
const apiFieldManager = 'windlass-api';
/** A watch of Pods that is refused is tried again well within this time. */
const refusedMs = 12_000;
/** How often the CRDs are looked at while they are too old, and afterwards. */
const schemaMs = { old: 5_000, good: 60_000 };

/**
 * Everything the controller needs of a cluster: desired state in the Kubernetes API, history in Postgres, steps as Pods.
 * @throws when the API server or the database does not answer
 */
export async function openClusterHome(options: ClusterHomeOptions): Promise<Home> {
  const { clock, log, namespaces } = options;
  const permissions = createPermissions({ kubeConfig: options.kubeConfig, namespaces, clock, log });
  const { client } = permissions;
  const repositories = join(options.dataDir, 'repositories');
  await mkdir(repositories, { recursive: true, mode: 0o700 });
  const home = await clusterId(client);
  const history = await openStore(
    { databaseUrl: options.databaseUrl },
    { clock, home, log: (message, fields) => log.info(fields ?? {}, message) },
  );
  permissions.start();
  const followed = followNamespaces({ client, names: namespaces, clock, log });
  const objects = createKubernetesObjects({ client, fieldManager: reconcilerManagers, namespaces, clock, log });
  const store = withObjects(history, tellStalled(objects, { store: history, client, clock, log }));
  const events = publishJournal({ store, client, clock, log });
  const secrets = createKubernetesSecrets(client);
  const artifacts =
    options.artifacts &&
    openArtifacts(options.artifacts, {
      home,
      spools: join(options.dataDir, 'artifacts'),
      clock,
      note: (noted) => history.artifacts.note(noted),
    });
  const schemas = watchSchemas(client, { clock, log });
  let synced = false;
  let podsRefused: { message: string; at: number } | null = null;
  const notReady = () => [
    ...schemas.problems(),
    ...permissions.problems(),
    ...objects.refusals(),
    ...followed.problems(),
    ...(podsRefused && clock.now() < podsRefused.at + refusedMs ? [podsRefused.message] : []),
    ...(synced ? [] : ['the objects of the cluster have not all been read yet']),
  ];
  const stopWatching = watchOwnReadiness(createOwnPodEvents({ client, clock, pod: options.pod }), clock, async () => ({
    NotReady: [
      ...notReady(),
      ...(await history.ping().then(
        () => [],
        (error: unknown) => [databaseAway(error, databaseHost(options.databaseUrl))],
      )),
    ],
    NamespaceMissing: followed.absences(),
  }));
  objects.ready().then(
    () => (synced = true),
    () => {}, // closed before it was
  );
  return {
    kind: 'cluster',
    store,
    databaseHost: databaseHost(options.databaseUrl),
    secrets,
    podArtifacts: artifacts && {
      store: artifacts,
      maxBytes: options.artifacts?.maxBytes ?? 0,
      identify: createPodIdentities(client, clock),
    },
    artifacts: artifacts && { store: artifacts, keptMs: options.artifacts?.keptMs ?? null },
    repositories,
    environmentsPath: null,
    project: null,
    namespaces,
    governance: createKubernetesGovernance({ client, namespaces: followed, fieldManager: environmentManager }),
    access: createKubernetesAccess({
      reviewer: client,
      objectsFor: (token) =>
        createKubernetesObjects({ client: client.as(token), fieldManager: apiFieldManager, namespaces, clock, log }),
      clock,
    }),
    deletionGuard: createDeletionGuard(client, runManager),
    retention: options.retention,
    createExecutor: (sink, lost) =>
      createClusterExecutors({
        client,
        files: store.versions,
        secrets,
        sink,
        clock,
        lost,
        namespaces,
        defaultImage: options.stepImage,
        allowPrivileged: options.allowPrivilegedSteps,
        artifacts: options.artifacts,
        allowPrivateHttp: options.allowPrivateHttp,
        onUnseen: (error) => {
          log.warn({ err: error }, 'the Pods of steps cannot be watched; tried again');
          if (!isRefusal(error, 403)) return;
          podsRefused = { message: `${error.status.message}; give the controller its role back`, at: clock.now() };
        },
      }),
    notReady,
    announce: () => Promise.resolve(),
    async close() {
      stopWatching();
      schemas.stop();
      await events.stop();
      objects.close();
      followed.stop();
      permissions.stop();
      await history.close();
    },
  };
}

/** Two clusters may share a database: the UID of this namespace, which every cluster has, tells them apart. */
async function clusterId(client: KubernetesClient): Promise<string> {
  const { metadata } = await client.request<{ metadata: { uid: string } }>('GET', '/api/v1/namespaces/kube-system');
  return metadata.uid;
}

/** Looks at the CRDs for as long as the controller runs: they may be changed under it, either way. */
function watchSchemas(
  client: KubernetesClient,
  { clock, log }: Pick<ClusterHomeOptions, 'clock' | 'log'>,
): { problems(): string[]; stop(): void } {
  let problems: string[] = ['the CRDs have not been looked at yet'];
  let stopped = false;
  let cancel = () => {};

  async function look(): Promise<void> {
    try {
      const found = await findOldSchemas(client);
      if (found.join() !== problems.join()) for (const problem of found) log.error(problem);
      problems = found;
    } catch (error) {
      // Known ones stay good while the API server is away.
      if (!stopped) log.debug({ err: error }, 'the CRDs could not be looked at');
    }
    const pause = problems.length > 0 ? schemaMs.old : schemaMs.good;
    if (!stopped) cancel = clock.at(clock.now() + pause, () => void look());
  }

  void look();
  return {
    problems: () => problems,
    stop() {
      stopped = true;
      cancel();
    },
  };
}
