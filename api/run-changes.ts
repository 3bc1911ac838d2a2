import type { Context } from 'hono';
import type { WorkflowRun } from '../crds/workflow-run.ts';
import { isFinished, pausedAbove, type RunRow } from '../controller/core/run/types.ts';
import type { ChildSpec } from '../controller/store/types.ts';
import { callerOf, demand } from './access.ts';
import { approvalEntry } from './approvals.ts';
import type { AppDependencies } from './dependencies.ts';
import { RequestProblem } from './errors.ts';
import { decideStep, setDesired } from './intents.ts';
import type { Decision } from './resources/promotion.ts';
import { type RunSummary, runSummary } from './resources/run.ts';
import { findRun, type KnownRun } from './runs.ts';

interface Key {
  namespace: string;
  name: string;
}

/** What a change answers: the object; of a child run, which has none, the run. */
type Changed = WorkflowRun | RunSummary;

/** What people want of a run, where it is written: in its object with the caller's rights, or in a child run's row. */
export async function wantOfRun(
  deps: AppDependencies,
  c: Context,
  key: Key,
  desired: 'Cancelled' | 'Paused' | 'Running',
  wish: { reason?: string | undefined; force?: boolean | undefined },
): Promise<Changed> {
  const { object, row } = await demandChangeable(deps, c, key);
  if (object !== null) return setDesired(callerOf(c).objects, key, desired, wish);
  const { reason = null, force = false } = wish;
  return changeChild(deps, row, (spec) => {
    if (spec.desired === 'Cancelled' && desired !== 'Cancelled') {
      throw new RequestProblem('conflict', `Run ${key.name} is cancelled; that cannot be taken back.`);
    }
    // Somebody's own pause outlasts that of the parent.
    const inherited = spec.desired === 'Paused' && spec.reason === pausedAbove;
    if (spec.desired === desired && !inherited) return force && !spec.force ? { ...spec, force } : null;
    return { ...spec, desired, reason, force: spec.force || force };
  });
}

/** One decision a person on a step of a run that `demandChangeable` gave. */
export async function decideOnStep(
  deps: AppDependencies,
  c: Context,
  { object, row }: KnownRun,
  key: Key & { step: string },
  verdict: 'Approve' | 'Reject',
  decision: Decision,
  askedFor: string[],
): Promise<Changed> {
  const caller = callerOf(c);
  if (object !== null) {
    const at = new Date(deps.clock.now()).toISOString();
    return decideStep(caller.objects, key, caller, verdict, decision, askedFor, at);
  }
  const entry = { step: key.step, ...approvalEntry(caller, verdict, decision, askedFor) };
  const written = { ...entry, groups: entry.groups ?? [], comment: entry.comment ?? null, execution: row.execution };
  return changeChild(deps, row, (spec) => ({
    ...spec,
    approvals: [...spec.approvals.filter((other) => other.step !== entry.step || other.user !== entry.user), written],
  }));
}

/**
 * The run, provided that the caller may change it and it has not ended. Who may change the run that began it all may change what it
 * has begun. @throws RequestProblem 403 before anything is said of the run, 404, 409
 */
export async function demandChangeable(deps: AppDependencies, c: Context, key: Key): Promise<KnownRun> {
  const { namespace, name } = key;
  const row = await deps.store.runs.getByName(namespace, name);
  await demand(c, 'update', 'WorkflowRun', namespace, row?.parent ? row.rootName : name);
  const run = await findRun(deps, namespace, name);
  if (run.row && isFinished(run.row.phase)) {
    throw new RequestProblem('conflict', `Run ${name} is ${run.row.phase} already.`);
  }
  if (!run.object && run.row.parent === null) {
    throw new RequestProblem('conflict', `Run ${name} was deleted and is being cancelled.`);
  }
  return run;
}

async function changeChild(
  deps: AppDependencies,
  row: RunRow,
  change: (spec: ChildSpec) => ChildSpec | null,
): Promise<RunSummary> {
  const spec = await deps.store.runs.changeSpec(row.id, change);
  return { ...runSummary(row), desired: spec?.desired ?? row.desired, reason: spec?.reason ?? row.reason };
}
