import type { Access } from '../api/access.ts';
import type { PodArtifacts } from '../api/pod-artifacts.ts';
import type { ArtifactStore } from './seams/artifacts.ts';
import type { Executor, ExecutorSink, SecretReader } from './seams/executor.ts';
import type { DeletionGuard } from './seams/deletion.ts';
import type { Governance } from './seams/governance.ts';
import type { Store } from './store/types.ts';

export interface HomeArtifacts {
  store: ArtifactStore;
  /** Milliseconds that they are kept after the end of their run; null: for good. */
  keptMs: number | null;
}

/** How long the objects of finished runs stay; their history stays for good. */
export interface RunRetention {
  /** Milliseconds after the end of a run; null: for good. */
  ttlMs: number | null;
  /** The newest so many of each workflow; null: any number. */
  perWorkflow: number | null;
}

/** What differs between a laptop and a cluster. Everything else is the same code. */
export interface Home {
  readonly kind: 'laptop' | 'cluster';
  /** History, with the desired state of this home: objects of the database, or of the Kubernetes API. */
  readonly store: Store;
  readonly secrets: SecretReader;
  /** Where its database server is, as people know it; null: it has none, or its URL does not say. */
  readonly databaseHost: string | null;
  /** Where artifacts are kept; null: nowhere, and steps with artifacts fail. */
  readonly artifacts: HomeArtifacts | null;
  /** How Pods of steps reach them; null: there are no Pods, or no artifacts. */
  readonly podArtifacts: PodArtifacts | null;
  /** Folder of the mirrors of sources. */
  readonly repositories: string;
  /** Folder of environment files in the repository; null where Environments are applied by people. */
  readonly environmentsPath: string | null;
  /** Namespace of sources, environments and promotions; null: every namespace may be a project. */
  readonly project: string | null;
  /** The namespaces that it is installed for; null: all. */
  readonly namespaces: readonly string[] | null;
  /** Consent of namespaces, trust in approvals, and who is who. */
  readonly governance: Governance;
  /** Who may call the API, and what they may do. */
  readonly access: Access;
  /** Keeps the objects of runs that have something to do at their end; null: nothing belongs to objects. */
  readonly deletionGuard: DeletionGuard | null;
  /** When objects of finished runs are removed; null: never. */
  readonly retention: RunRetention | null;
  /** Runs the attempts of every step kind of this home. `lost`: aborted when the lease of the moment is lost. */
  createExecutor(sink: ExecutorSink, lost: () => AbortSignal): Executor;
  /** Why this home cannot serve yet; empty when it can. The database is asked apart. */
  notReady(): string[];
  /** Called when the API listens, and with null when it ends. */
  announce(url: string | null): Promise<void>;
  /** After everything that uses it has stopped; the store is closed with it. */
  close(): Promise<void>;
}
