import type { Environment } from '../../crds/environment.ts';
import type { JsonObject } from '../../crds/json.ts';
import type { WorkflowRun, WorkflowRunStatus } from '../../crds/workflow-run.ts';
import { nextConditions } from '../core/conditions.ts';
import { newRun } from '../core/run/create.ts';
import { judgeHistory, lostMessage } from '../core/run/history-lost.ts';
import { hydrate } from '../core/run/hydrate.ts';
import { projectRunStatus } from '../core/run/project.ts';
import { isFinished, type RunRow } from '../core/run/types.ts';
import type { Clock } from '../seams/clock.ts';
import type { Store } from '../store/types.ts';
import type { AppliedVersions } from './applied-versions.ts';
import type { PlanCache } from './plans.ts';

/** What became of a WorkflowRun object that this replica does not own yet. */
export interface Admission {
  /** A row exists, to be claimed. */
  recorded: boolean;
  /** It has ended, or ended without ever starting. */
  finished: boolean;
  status: WorkflowRunStatus | null;
}

export interface AdmissionDependencies {
  store: Store;
  plans: PlanCache;
  applied: AppliedVersions;
  clock: Clock;
}

/**
 * Pins the version a new run executes and records the run. In a namespace that an environment owns that is the active
 * version; elsewhere the Workflow as it stands now, stored as a version. A run whose workflow is not there yet waits.
 */
export async function admitRun(deps: AdmissionDependencies, object: WorkflowRun): Promise<Admission> {
  const { store, plans, clock } = deps;
  const recorded = await store.runs.get(object.metadata.uid);
  if (recorded) {
    const finished = isFinished(recorded.phase);
    return { recorded: !finished, finished, status: finished ? await statusOf(deps, object) : null };
  }
  if (judgeHistory(object.status, null) === 'Lost') {
    // A person has decided; what there was of it is recorded from the object, as of any run that has ended.
    if (object.spec.desired === 'Cancelled') {
      return { recorded: false, finished: true, status: { ...object.status, ...cancelled(deps, object) } };
    }
    return { recorded: false, finished: false, status: lostStatus(object, null, clock.now()) };
  }
  const pin = await pinVersion(deps, object);
  if ('waits' in pin) {
    const finished = object.spec.desired === 'Cancelled';
    return { recorded: false, finished, status: (finished ? cancelled : waiting)(deps, object, pin.waits) };
  }
  const plan = await plans.get(pin.digest);
  const { metadata, spec } = object;
  const checked = plan.checkInputs((spec.inputs ?? {}) as JsonObject);
  const row = newRun({
    id: metadata.uid,
    namespace: metadata.namespace,
    name: metadata.name,
    workflow: spec.workflow,
    digest: pin.digest,
    version: pin.version,
    environment: pin.environment,
    environmentUid: pin.environmentUid,
    values: pin.values,
    inputs: checked.ok ? checked.inputs : ((spec.inputs ?? {}) as JsonObject),
    createdAt: Date.parse(metadata.creationTimestamp),
  });
  if (!checked.ok) {
    const message = `inputs: ${checked.problems.join('; ')}`;
    const at = clock.now();
    const said = `run ${row.name} failed: ${message}`;
    await store.runs.create(refuse(row, message, at), [{ type: 'Warning', reason: 'RunFailed', message: said, at }]);
    return { recorded: false, finished: true, status: await statusOf(deps, object) };
  }
  await store.runs.create(row);
  return { recorded: true, finished: false, status: null };
}

type Pin =
  | {
      digest: string;
      version: string | null;
      environment: string | null;
      environmentUid: string | null;
      values: JsonObject;
    }
  | { waits: { reason: string; message: string } };

async function pinVersion({ store, applied }: AdmissionDependencies, object: WorkflowRun): Promise<Pin> {
  const { namespace } = object.metadata;
  const { workflow } = object.spec;
  const active = await store.promotions.activeIn(namespace, workflow);
  if (active) {
    if (active.digest === null) {
      const message = `environment ${active.environment} has no active version of ${workflow}; promote one first`;
      return { waits: { reason: 'NotPromoted', message } };
    }
    const environment = await environmentOf(store, active);
    const values = (environment?.spec.values ?? {}) as JsonObject;
    const { digest, ref: version, uid: environmentUid } = active;
    return { digest, version, environment: active.environment, environmentUid, values };
  }
  const found = await store.objects.get('Workflow', namespace, workflow);
  if (!found) {
    const message = `there is no workflow ${workflow} in namespace ${namespace}; apply it, or correct spec.workflow`;
    return { waits: { reason: 'WorkflowNotFound', message } };
  }
  const pinned = await applied.of(found);
  if ('message' in pinned) return { waits: { reason: 'WorkflowInvalid', message: pinned.message } };
  return { digest: pinned.digest, version: null, environment: null, environmentUid: null, values: {} };
}

async function environmentOf(
  store: Store,
  active: { project: string; environment: string },
): Promise<Environment | null> {
  return await store.objects.get('Environment', active.project, active.environment);
}

function refuse(row: RunRow, message: string, now: number): RunRow {
  return {
    ...row,
    phase: 'Failed',
    outcome: 'Failed',
    error: { type: 'input', message, retryable: false },
    startedAt: now,
    finishedAt: now,
    revision: 1,
  };
}

/** As whoever ran it would write it: which of them is the last does not matter. */
async function statusOf(
  { store, plans, clock }: AdmissionDependencies,
  { metadata, status }: WorkflowRun,
): Promise<WorkflowRunStatus> {
  const [rows] = await store.runs.load([metadata.uid]);
  if (!rows) throw new Error(`the run ${metadata.uid} was recorded and is gone`);
  const state = hydrate(await plans.get(rows.run.digest), rows);
  return projectRunStatus(state, metadata.generation, status?.conditions, clock.now());
}

function waiting(
  { clock }: AdmissionDependencies,
  object: WorkflowRun,
  { reason, message }: { reason: string; message: string },
): WorkflowRunStatus {
  const { generation } = object.metadata;
  const conditions = nextConditions(
    object.status?.conditions,
    [
      { type: 'Succeeded', status: 'Unknown', reason, message },
      { type: 'Finished', status: 'False', reason, message },
      { type: 'Reconciling', status: 'True', reason, message },
    ],
    generation,
    clock.now(),
  );
  return { observedGeneration: generation, phase: 'Pending', conditions };
}

/** The status as it was, with the word that nothing is done until a person decides. */
export function lostStatus(
  { metadata, status }: WorkflowRun,
  row: Pick<RunRow, 'revision'> | null,
  now: number,
): WorkflowRunStatus {
  const message = lostMessage(status, row);
  const conditions = nextConditions(
    status?.conditions,
    [
      { type: 'Succeeded', status: 'Unknown', reason: 'HistoryLost', message },
      { type: 'Finished', status: 'False', reason: 'HistoryLost', message },
      { type: 'Stalled', status: 'True', reason: 'HistoryLost', message },
    ],
    metadata.generation,
    now,
  );
  return { ...status, observedGeneration: metadata.generation, conditions };
}

/** It never began, so there is nothing to record; nobody should have to wait for a workflow that may never come. */
function cancelled({ clock }: AdmissionDependencies, { metadata, spec, status }: WorkflowRun): WorkflowRunStatus {
  const { generation } = metadata;
  const now = clock.now();
  const message = spec.reason ? `the run was cancelled: ${spec.reason}` : 'the run was cancelled';
  const conditions = nextConditions(
    status?.conditions,
    [
      { type: 'Succeeded', status: 'False', reason: 'Cancelled', message },
      { type: 'Finished', status: 'True', reason: 'Cancelled', message: 'the run has ended' },
    ],
    generation,
    now,
  );
  return { observedGeneration: generation, phase: 'Cancelled', finishedAt: new Date(now).toISOString(), conditions };
}
