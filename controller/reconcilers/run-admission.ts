import type { JsonObject } from '../../crds/json.ts';
import type { WorkflowRun, WorkflowRunStatus } from '../../crds/workflow-run.ts';
import { nextConditions } from '../core/conditions.ts';
import { newRun } from '../core/run/create.ts';
import { wantsExecution } from '../core/run/execution.ts';
import { judgeHistory, lostMessage } from '../core/run/history-lost.ts';
import { hydrate } from '../core/run/hydrate.ts';
import { projectRunStatus } from '../core/run/project.ts';
import { replayRows } from '../core/run/replay.ts';
import { isFinished, type RunEvent, type RunRow, type RunRows, type StepRow } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';
import type { Governance } from '../seams/governance.ts';
import type { Store } from '../store/types.ts';
import type { AppliedVersions } from './applied-versions.ts';
import { pinVersion, withdrawnConsent } from './pin.ts';
import type { PlanCache } from './plans.ts';
import { goOn, keepRefusal, refuseExecution } from './run-execution.ts';
import { untilDecided } from './statuses.ts';

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
  governance: Pick<Governance, 'admits'>;
  clock: Clock;
}

/**
 * Pins the version a new run executes and records the run; one that replays another executes that one's version, and begins
 * with what it recorded. A run whose workflow is not there yet waits. One that has ended goes on when its object says so.
 */
export async function admitRun(deps: AdmissionDependencies, object: WorkflowRun): Promise<Admission> {
  const { store, clock } = deps;
  const recorded = await store.runs.get(object.metadata.uid);
  if (recorded) {
    if (!isFinished(recorded.phase)) return { recorded: true, finished: false, status: null };
    // It went on after what is recorded: its object has seen more than that end.
    if (!isGivenUp(object) && judgeHistory(object.status, recorded) === 'Lost') {
      return { recorded: false, finished: false, status: lostStatus(object, recorded, clock.now()) };
    }
    if (!wantsExecution(object)) {
      // Of one that has seen another end than what is recorded, as after restoring a database, the object knows more.
      const ahead = judgeHistory(object.status, recorded) === 'Ended';
      const status = ahead ? null : keepRefusal(await statusOf(deps, object), object);
      return { recorded: false, finished: true, status };
    }
    const problem = await goOn(deps, object, recorded);
    if (problem === null) return { recorded: true, finished: false, status: null };
    return {
      recorded: false,
      finished: true,
      status: refuseExecution(await statusOf(deps, object), object, problem, clock.now()),
    };
  }
  const verdict = judgeHistory(object.status, null);
  if (verdict === 'Lost') {
    // A person has decided; what there was of it is recorded from the object, as of any run that has ended.
    if (isGivenUp(object)) {
      return { recorded: false, finished: true, status: { ...object.status, ...cancelled(deps, object) } };
    }
    return { recorded: false, finished: false, status: lostStatus(object, null, clock.now()) };
  }
  if (verdict === 'Ended' || verdict === 'Known') {
    if (!wantsExecution(object)) return { recorded: false, finished: true, status: null };
    const problem = 'nothing is recorded of what it has done';
    return {
      recorded: false,
      finished: true,
      status: refuseExecution(object.status ?? {}, object, problem, clock.now()),
    };
  }
  const pin = await pinRun(deps, object);
  if ('waits' in pin) {
    const finished = isGivenUp(object);
    return { recorded: false, finished, status: (finished ? cancelled : waiting)(deps, object, pin.waits) };
  }
  if (await record(deps, object, pin)) return { recorded: true, finished: false, status: null };
  return { recorded: false, finished: true, status: await statusOf(deps, object) };
}

/** A person has decided that nothing more is to come of it. One that is kept for its end is deleted when that is found to be over. */
export function isGivenUp({ metadata, spec }: WorkflowRun): boolean {
  return spec.desired === 'Cancelled' || metadata.deletionTimestamp !== undefined;
}

/** False when the run is recorded as failed, as it could never begin. */
async function record(
  { store, plans, clock }: AdmissionDependencies,
  object: WorkflowRun,
  pin: PinnedRun,
): Promise<boolean> {
  const { metadata, spec } = object;
  const { recorded, problem, ...version } = pin;
  const row = newRun({
    ...version,
    id: metadata.uid,
    namespace: metadata.namespace,
    name: metadata.name,
    workflow: spec.workflow,
    inputs: { ...recorded?.run.inputs, ...(spec.inputs as JsonObject | undefined) },
    createdAt: Date.parse(metadata.creationTimestamp),
    priority: spec.priority ?? 0,
    replayOf: spec.replay?.run ?? null,
  });
  const at = clock.now();
  const begun = problem === null ? await begin(plans, row, recorded, spec.replay?.from ?? null, at) : { problem };
  if ('problem' in begun) {
    const said = `run ${row.name} failed: ${begun.problem}`;
    const events: RunEvent[] = [{ type: 'Warning', reason: 'RunFailed', message: said, at }];
    await store.runs.create(refuse(row, begun.problem, at), { events });
    return false;
  }
  await store.runs.create({ ...row, inputs: begun.inputs }, { steps: begun.steps });
  return true;
}

async function begin(
  plans: PlanCache,
  row: RunRow,
  recorded: RunRows | null,
  from: string | null,
  now: Instant,
): Promise<{ inputs: JsonObject; steps: StepRow[] } | { problem: string }> {
  const plan = await plans.get(row.digest);
  const checked = plan.checkInputs(row.inputs);
  if (!checked.ok) return { problem: `inputs: ${checked.problems.join('; ')}` };
  if (recorded === null) return { inputs: checked.inputs, steps: [] };
  const replayed = replayRows(plan, recorded, { runId: row.id, from }, now);
  return replayed.ok ? { inputs: checked.inputs, steps: replayed.steps } : { problem: replayed.problem };
}

/** What a run executes, and what it takes over from the run it replays; `problem`: why it cannot be. */
type PinnedRun = Pick<RunRow, 'digest' | 'version' | 'environment' | 'environmentUid' | 'values'> & {
  recorded: RunRows | null;
  problem: string | null;
};

async function pinRun(
  deps: AdmissionDependencies,
  { metadata, spec }: WorkflowRun,
): Promise<PinnedRun | { waits: { reason: string; message: string } }> {
  const { store } = deps;
  if (spec.replay === undefined) {
    const pin = await pinVersion(deps, metadata.namespace, spec.workflow);
    return 'waits' in pin ? pin : { ...pin, recorded: null, problem: null };
  }
  const owner = await store.promotions.activeIn(metadata.namespace, spec.workflow);
  const withdrawn = owner && (await withdrawnConsent(deps.governance, owner.project, metadata.namespace));
  if (withdrawn) return { waits: withdrawn };
  const { run: id, version } = spec.replay;
  const [recorded] = await store.runs.load([id]);
  const nothing = { digest: version ?? '', version: null, environment: null, environmentUid: null, values: {} };
  if (recorded?.run.namespace !== metadata.namespace) {
    return { ...nothing, recorded: null, problem: `no run ${id} is recorded in namespace ${metadata.namespace}` };
  }
  const { run } = recorded;
  if (run.workflow !== spec.workflow) {
    return {
      ...nothing,
      recorded: null,
      problem: `run ${run.name} is one of workflow ${run.workflow}, not of ${spec.workflow}`,
    };
  }
  const digest = version ?? run.digest;
  const { environment, environmentUid, values } = run;
  const pinned = { digest, environment, environmentUid, values, recorded };
  const snapshot = await store.versions.get(digest);
  const problem =
    snapshot?.workflow === spec.workflow ? null : `no version ${digest} of workflow ${spec.workflow} is stored`;
  return { ...pinned, version: digest === run.digest ? run.version : null, problem };
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
  object: WorkflowRun,
): Promise<WorkflowRunStatus> {
  const { metadata, status } = object;
  const [rows] = await store.runs.load([metadata.uid]);
  if (!rows) throw new Error(`the run ${metadata.uid} was recorded and is gone`);
  // It replays what is not stored, and ended at once.
  if ((await store.versions.get(rows.run.digest)) === null) return failedStatus(object, rows.run, clock.now());
  const state = hydrate(await plans.get(rows.run.digest), rows);
  return projectRunStatus(state, metadata.generation, status?.conditions, clock.now());
}

function failedStatus({ metadata, status }: WorkflowRun, run: RunRow, now: Instant): WorkflowRunStatus {
  const { generation } = metadata;
  const message = run.error?.message ?? 'the run failed';
  const conditions = nextConditions(
    status?.conditions,
    [
      { type: 'Succeeded', status: 'False', reason: run.phase, message },
      { type: 'Finished', status: 'True', reason: run.phase, message: 'the run has ended' },
      { type: 'Stalled', status: 'True', reason: run.phase, message },
    ],
    generation,
    now,
  );
  return {
    observedGeneration: generation,
    phase: run.phase,
    revision: run.revision,
    execution: run.execution,
    finishedAt: new Date(run.finishedAt ?? now).toISOString(),
    conditions,
  };
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

export function lostStatus(object: WorkflowRun, row: Pick<RunRow, 'revision'> | null, now: Instant): WorkflowRunStatus {
  return untilDecided(object, 'HistoryLost', lostMessage(object.status, row), now);
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
