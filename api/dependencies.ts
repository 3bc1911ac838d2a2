import type { Registry } from 'prom-client';
import type { Kind } from '../crds/kinds.ts';
import type { WorkflowRun } from '../crds/workflow-run.ts';
import type { WorkflowSource } from '../crds/workflow-source.ts';
import type { ArtifactReader } from '../controller/seams/artifacts.ts';
import type { StepApprovalEntry } from '../controller/core/run/types.ts';
import type { Clock } from '../controller/seams/clock.ts';
import type { Store } from '../controller/store/types.ts';
import type { Access } from './access.ts';
import type { PodArtifacts } from './pod-artifacts.ts';
import type { InvalidField } from './problem.ts';

/** What the API writes to its log; a pino logger fits. */
export interface RequestLog {
  error(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** Everything the API needs, handed in by start.ts. It reads history and writes intent (objects) only. */
export interface AppDependencies {
  store: Store;
  /** The content of artifacts; null: this controller keeps none. */
  artifacts: ArtifactReader | null;
  /** How Pods of steps bring and keep them; null: they do not. */
  podArtifacts: PodArtifacts | null;
  clock: Clock;
  log: RequestLog;
  /** Who may call every /api route, and what they may do. */
  access: Access;
  registry: Registry;
  ready(): Promise<{ ok: boolean; reasons: string[] }>;
  /** Checks an object as a user wrote it against its schema and rules; empty when it is right. */
  validate(kind: Kind, object: unknown): InvalidField[];
  /** The tags of a source at its last fetch, newest first. */
  tags(source: WorkflowSource): Promise<string[]>;
  /** Which approvals in the spec of a run count, as decisions have it; `held`: why some or all do not. */
  believed(run: WorkflowRun): Promise<{ approvals: StepApprovalEntry[]; held: string | null }>;
  /** The circuit breakers of this replica: target hosts whose last request failed. `openUntil`: ms since the epoch. */
  circuits(): { host: string; state: 'Closed' | 'Open' | 'HalfOpen'; failures: number; openUntil: number | null }[];
  /** Namespace of sources, environments and promotions; null: every namespace may be a project, requests say which. */
  project: string | null;
  /** The namespaces that this controller is installed for; null: all. */
  namespaces: readonly string[] | null;
  version: string;
  /** Aborted when the server is about to stop: open streams end. */
  closing?: AbortSignal;
}
