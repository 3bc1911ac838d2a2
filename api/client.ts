import type { Kind, ObjectByKind } from '../crds/kinds.ts';
import { kinds } from '../crds/kinds.ts';
import type { Promotion } from '../crds/promotion.ts';
import type { WorkflowRun } from '../crds/workflow-run.ts';
import type { WorkflowSource } from '../crds/workflow-source.ts';
import { ApiProblem, createTransport, type Connection, type Query } from './transport.ts';
import type { Decision, NewPromotion, PromotionDetail, PromotionSummary } from './resources/promotion.ts';
import type { DeadLetterResource as DeadLetter, Redriven } from './resources/dead-letter.ts';
import type { Item, NewReplay, NewRun, Run, RunResourcePhase, RunSummary, Step } from './resources/run.ts';
import type { RunArtifact } from './routes/artifacts.ts';
import type { CacheExplanation } from './routes/cache.ts';
import type { Circuit } from './routes/circuits.ts';
import type { EnvironmentResource } from './routes/environments.ts';
import type { EventResource } from './routes/events.ts';
import type { LogPage } from './routes/logs.ts';
import type { PlannedUnits } from './routes/run-again.ts';
import type { Readiness, ServerInfo } from './routes/server.ts';
import type { SourceResource } from './routes/sources.ts';
import type { Version, VersionName } from './routes/versions.ts';
import type { WorkflowDetail, WorkflowSummary } from './routes/workflows.ts';

export { ApiProblem, type Connection };
export type {
  CacheExplanation,
  Circuit,
  DeadLetter,
  Decision,
  EnvironmentResource,
  EventResource,
  Item,
  LogPage,
  NewReplay,
  NewPromotion,
  NewRun,
  PlannedUnits,
  PromotionDetail,
  PromotionSummary,
  Readiness,
  Run,
  RunArtifact,
  RunResourcePhase,
  RunSummary,
  ServerInfo,
  SourceResource,
  Step,
  Version,
  VersionName,
  WorkflowDetail,
  WorkflowSummary,
};

/** A page of a list; `next` goes into `after`, null at the end. */
export interface Page<T> {
  items: T[];
  next: string | null;
  /** Only of these namespaces, as the caller may not list in the others. */
  namespaces?: string[];
}
interface PageQuery {
  limit?: number;
  after?: string;
}
export interface RunQuery extends PageQuery {
  namespace?: string;
  workflow?: string;
  environment?: string;
  phase?: RunResourcePhase[];
  failed?: boolean;
  /** An RFC 3339 instant, or a length of time such as `1d`. */
  since?: string;
  name?: string;
  /** Id of a run: the child runs of its steps. */
  parent?: string;
}
/** Of a retry: where from, and whether of that only what failed. */
export interface RetryQuery {
  from?: string;
  onlyFailed?: boolean;
}
/** The object, or of a child run, which has none, the run. */
export type ChangedRun = WorkflowRun | RunSummary;
export interface EventQuery {
  kind?: string;
  namespace?: string;
  name?: string;
  limit?: number;
  after?: number;
}
export interface ObjectKey {
  namespace: string;
  name: string;
}
/** An object to apply; what the server set in one that was read may stay in. */
export interface ObjectDraft {
  apiVersion?: string;
  kind: Kind;
  metadata: { name: string; namespace: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  spec: unknown;
}
export type LogEvent =
  | { event: 'log'; step: string; item: number; attempt: number; lines: { position: number; text: string }[] }
  /** What was followed has ended, in this phase, and all was sent. */
  | { event: 'end'; phase: string };

export type Client = ReturnType<typeof createClient>;

/**
 * Speaks to the HTTP API; holds no connection. Every call throws ApiProblem when the server refuses, and fetch's TypeError
 * when it cannot be reached. The streams reconnect by themselves and go on where they were cut.
 */
export function createClient(connection: Connection & { project?: string | undefined }) {
  const { call, follow, open } = createTransport(connection);
  const get = <T>(path: string, query?: Query) => call<T>('GET', path, query ? { query } : {});
  const post = <T>(path: string, body: object, query: Query = {}) => call<T>('POST', path, { body, query });
  /** Of sources, environments, promotions and versions, where there may be several. */
  const { project } = connection;

  return {
    /** Where objects go that say no namespace; null: to `default`, or the project's. */
    defaultNamespace: null as string | null,
    /** Where sources, environments and promotions are, as the user said; null: nobody did. */
    project: project ?? null,
    server: () => get<ServerInfo>('/api/v1/server'),
    /** Whether the controller does its work; not ready is an answer, not a problem. */
    readiness: () => call<Readiness>('GET', '/readyz', { accept: [503] }),

    environments: () => get<Page<EnvironmentResource>>('/api/v1/environments', { project }),
    environment: (name: string) => get<EnvironmentResource>(`/api/v1/environments/${part(name)}`, { project }),
    workflows: (query: PageQuery & { namespace?: string } = {}) =>
      get<Page<WorkflowSummary>>('/api/v1/workflows', { ...query }),
    workflow: ({ namespace, name }: ObjectKey) =>
      get<WorkflowDetail>(`/api/v1/workflows/${part(namespace)}/${part(name)}`),
    versions: (query: PageQuery & { workflow?: string } = {}) =>
      get<Page<VersionName>>('/api/v1/versions', { project, ...query }),
    version: (digest: string) => get<Version>(`/api/v1/versions/${digest}`, { project }),
    sources: () => get<Page<SourceResource>>('/api/v1/sources', { project }),
    reconcileSource: ({ namespace, name }: ObjectKey) =>
      post<WorkflowSource>(`${object('WorkflowSource', namespace)}/${part(name)}/reconcile`, {}),

    promotions: (query: PageQuery & { environment?: string; phase?: PromotionSummary['phase'][] } = {}) =>
      get<Page<PromotionSummary>>('/api/v1/promotions', { project, ...query }),
    promotion: (name: string) => get<PromotionDetail>(`/api/v1/promotions/${part(name)}`, { project }),
    promote: (body: NewPromotion) => post<Promotion>('/api/v1/promotions', body, { project }),
    approvePromotion: (name: string, body: Decision = {}) =>
      post<Promotion>(`/api/v1/promotions/${part(name)}/approve`, body, { project }),
    rejectPromotion: (name: string, body: Decision = {}) =>
      post<Promotion>(`/api/v1/promotions/${part(name)}/reject`, body, { project }),

    runs: (query: RunQuery = {}) => get<Page<RunSummary>>('/api/v1/runs', { ...query }),
    run: (key: ObjectKey) => get<Run>(run(key)),
    createRun: (namespace: string, body: NewRun) =>
      post<WorkflowRun>(`/api/v1/namespaces/${part(namespace)}/runs`, body),
    cancelRun: (key: ObjectKey, body: { reason?: string; force?: boolean } = {}) =>
      post<ChangedRun>(`${run(key)}/cancel`, body),
    pauseRun: (key: ObjectKey, body: { reason?: string } = {}) => post<ChangedRun>(`${run(key)}/pause`, body),
    resumeRun: (key: ObjectKey, body: { reason?: string } = {}) => post<ChangedRun>(`${run(key)}/resume`, body),
    /** What a retry would do with each step, and why. */
    planRetry: (key: ObjectKey, query: RetryQuery = {}) => get<PlannedUnits>(`${run(key)}/retry`, { ...query }),
    retryRun: (key: ObjectKey, body: RetryQuery = {}) => post<WorkflowRun>(`${run(key)}/retry`, body),
    planReplay: (key: ObjectKey, body: Omit<NewReplay, 'name'> = {}) =>
      post<PlannedUnits>(`${run(key)}/replay/plan`, body),
    replayRun: (key: ObjectKey, body: NewReplay = {}) => post<WorkflowRun>(`${run(key)}/replay`, body),
    steps: (key: ObjectKey) => get<Page<Step>>(`${run(key)}/steps`),
    items: (key: ObjectKey, step: string, query: PageQuery & { phase?: string[] } = {}) =>
      get<Page<Item>>(`${run(key)}/steps/${part(step)}/items`, { ...query }),
    explainCache: (key: ObjectKey, step: string, query: { item?: number } = {}) =>
      get<CacheExplanation>(`${run(key)}/steps/${part(step)}/cache`, { ...query }),
    approveStep: (key: ObjectKey, step: string, body: Decision = {}) =>
      post<ChangedRun>(`${run(key)}/steps/${part(step)}/approve`, body),
    rejectStep: (key: ObjectKey, step: string, body: Decision = {}) =>
      post<ChangedRun>(`${run(key)}/steps/${part(step)}/reject`, body),

    stepLogs: (key: ObjectKey, step: string, query: { item?: number; attempt?: number; position?: number } = {}) =>
      get<LogPage>(`${run(key)}/steps/${part(step)}/logs`, { ...query }),
    /** Output as it grows, of all steps or of one, until the run (the step, the attempt) has ended; the last event is `end`. */
    async *followLogs(
      key: ObjectKey,
      options: { step?: string; item?: number; attempt?: number; signal?: AbortSignal } = {},
    ): AsyncGenerator<LogEvent> {
      const { step, item, attempt, signal } = options;
      const path = step === undefined ? `${run(key)}/logs` : `${run(key)}/steps/${part(step)}/logs`;
      for await (const { event, data } of follow(path, { query: { item, attempt }, signal })) {
        if (event !== 'log' && event !== 'end') continue;
        yield { event, ...(JSON.parse(data) as object) } as LogEvent;
        if (event === 'end') return;
      }
    },

    artifacts: (key: ObjectKey, query: PageQuery = {}) => get<Page<RunArtifact>>(`${run(key)}/artifacts`, { ...query }),
    /** The content of an artifact, as it comes, and what its file may be called. */
    artifact: (key: ObjectKey, step: string, name: string, options: { item?: number; signal?: AbortSignal } = {}) => {
      const { item, signal } = options;
      return open(`${run(key)}/steps/${part(step)}/artifacts/${part(name)}`, { query: { item }, signal });
    },

    deadLetters: (query: PageQuery & { namespace?: string; workflow?: string; state?: DeadLetter['state'][] } = {}) =>
      get<Page<DeadLetter>>('/api/v1/dead-letters', { ...query }),
    deadLetter: (id: number) => get<DeadLetter>(`/api/v1/dead-letters/${id}`),
    redrive: (body: { ids: number[]; perSecond?: number }) => post<Redriven>('/api/v1/dead-letters/redrive', body),
    discardDeadLetter: (id: number, body: { reason: string }) =>
      post<DeadLetter>(`/api/v1/dead-letters/${id}/discard`, body),
    circuits: () => get<Page<Circuit>>('/api/v1/circuits'),

    events: (query: EventQuery = {}) => get<Page<EventResource>>('/api/v1/events', { ...query }),
    /** Events as they come, from `after` on; ends only by the signal, or when the reader stops. */
    async *followEvents(query: Omit<EventQuery, 'limit'> = {}, signal?: AbortSignal): AsyncGenerator<EventResource> {
      for await (const { event, data } of follow('/api/v1/events', { query: { ...query }, signal })) {
        if (event === 'event') yield JSON.parse(data) as EventResource;
      }
    },

    list: <K extends Kind>(kind: K, namespace: string, query: PageQuery = {}) =>
      get<Page<ObjectByKind[K]>>(object(kind, namespace), { ...query }),
    get: <K extends Kind>(kind: K, { namespace, name }: ObjectKey) =>
      get<ObjectByKind[K]>(`${object(kind, namespace)}/${part(name)}`),
    /** Creates the object, or replaces its spec, labels and annotations. */
    apply: <K extends Kind>(draft: ObjectDraft & { kind: K }) =>
      call<ObjectByKind[K]>('PUT', `${object(draft.kind, draft.metadata.namespace)}/${part(draft.metadata.name)}`, {
        body: draft,
      }),
    delete: (kind: Kind, { namespace, name }: ObjectKey) =>
      call<void>('DELETE', `${object(kind, namespace)}/${part(name)}`, {}),
  };
}

function run({ namespace, name }: ObjectKey): string {
  return `/api/v1/namespaces/${part(namespace)}/runs/${part(name)}`;
}

function object(kind: Kind, namespace: string): string {
  return `/api/v1/namespaces/${part(namespace)}/${kinds[kind].plural}`;
}

function part(name: string): string {
  return encodeURIComponent(name);
}
