import type { WorkflowRun } from '../crds/workflow-run.ts';
import type { StepSpec, WorkflowSpec } from '../crds/workflow.ts';
import { type ApprovalAsked, entriesByStep, sayMissing } from '../controller/core/run/approvals.ts';
import type { RunRow } from '../controller/core/run/types.ts';
import { reasons } from '../controller/core/run/units.ts';
import type { JsonObject } from '../crds/json.ts';
import type { AppDependencies } from './dependencies.ts';
import { notFound } from './errors.ts';
import {
  askedBy,
  type ItemPhases,
  pendingRun,
  type Run,
  type RunSummary,
  runSummary,
  type Step,
  stepResource,
} from './resources/run.ts';

/** A run as far as it is known: its object (null when deleted), its row (null until it is pinned), or both. */
export type KnownRun =
  | { object: WorkflowRun; row: null }
  | { object: WorkflowRun; row: RunRow }
  | { object: null; row: RunRow };

/**
 * The run of this name: the object's own row when there is an object, else the newest history under the name.
 * @throws RequestProblem 404
 */
export async function findRun(deps: AppDependencies, namespace: string, name: string): Promise<KnownRun> {
  const object = await deps.store.objects.get('WorkflowRun', namespace, name);
  const row = object
    ? await deps.store.runs.get(object.metadata.uid)
    : await deps.store.runs.getByName(namespace, name);
  if (row) return { object, row };
  if (object) return { object, row: null };
  throw notFound(`run ${name} in namespace ${namespace}`);
}

/** Every step of the version a run executes, in the order of the file; empty while nothing is pinned. */
export async function runSteps(deps: AppDependencies, run: KnownRun): Promise<Step[]> {
  const { row } = run;
  const snapshot = row ? await deps.store.versions.get(row.digest) : null;
  if (!row || !snapshot) return [];
  const { runs } = deps.store;
  const [rows, attempts, counts] = await Promise.all([
    runs.steps(row.id),
    runs.attempts(row.id),
    runs.itemCounts(row.id),
  ]);
  const phases = new Map<string, ItemPhases>();
  for (const { step, phase, count } of counts) phases.set(step, { ...phases.get(step), [phase]: count });
  const byStep = new Map(rows.map((r) => [r.step, r]));
  const attemptsOf = Map.groupBy(attempts, (a) => a.step);
  // a snapshot is stored only after its spec was checked
  const spec = snapshot.spec as WorkflowSpec;
  const waits = ({ name, approval }: StepSpec) =>
    approval !== undefined && (byStep.get(name)?.reason === reasons.approval || (phases.get(name)?.Waiting ?? 0) > 0);
  const all = [...spec.steps, ...(spec.finally ?? [])];
  const given = all.some(waits) ? await approvalsOf(deps, run.object, row) : null;
  const resources = (steps: WorkflowSpec['steps'], section: 'main' | 'finally') =>
    steps.map((step) => {
      const { name, approval } = step;
      const missing = given !== null && approval && waits(step) ? given.missing(name, askedBy(approval)) : null;
      return stepResource(step, section, byStep.get(name), attemptsOf.get(name) ?? [], phases.get(name) ?? {}, missing);
    });
  return [...resources(spec.steps, 'main'), ...resources(spec.finally ?? [], 'finally')];
}

/** What was approved of a run so far, by the rules of its decisions. */
async function approvalsOf(deps: AppDependencies, object: WorkflowRun | null, row: RunRow) {
  const { approvals, held } = await entriesOf(deps, object, row);
  const byStep = entriesByStep(approvals, row.execution);
  return {
    missing(step: string, asked: ApprovalAsked): string {
      const says = sayMissing(asked, byStep.get(step) ?? []);
      return held === null ? says : `${says}. ${held}`;
    },
  };
}

async function entriesOf(deps: AppDependencies, object: WorkflowRun | null, { id, parent }: RunRow) {
  if (parent !== null) return { approvals: (await deps.store.runs.specs([id])).get(id)?.approvals ?? [], held: null };
  return object?.spec.approvals?.length ? await deps.believed(object) : { approvals: [], held: null };
}

function summarise(run: KnownRun): RunSummary {
  return run.row === null ? pendingRun(run.object) : runSummary(run.row);
}

/** The whole of a run. */
export async function runResource(deps: AppDependencies, run: KnownRun): Promise<Run> {
  const { object, row } = run;
  return {
    ...summarise(run),
    // intent is the object's: the row follows a moment later
    ...(object ? { desired: object.spec.desired ?? 'Running', reason: object.spec.reason ?? row?.reason ?? null } : {}),
    parentName: row?.parent ? ((await deps.store.runs.get(row.parent.runId))?.name ?? null) : null,
    inputs: row?.inputs ?? ((object?.spec.inputs ?? {}) as JsonObject),
    outputs: row?.outputs ?? null,
    approvals: object?.spec.approvals ?? [],
    conditions: object?.status?.conditions ?? [],
    deleted: object === null && row.parent === null,
    steps: await runSteps(deps, run),
  };
}
