import type { Hono } from 'hono';
import { type Static, Type } from 'typebox';
import { buildPlan } from '../../controller/core/plan/build.ts';
import { planReplay } from '../../controller/core/run/replay.ts';
import { planRetry, type RetryPlan } from '../../controller/core/run/retry.ts';
import type { RunRow, RunRows } from '../../controller/core/run/types.ts';
import { callerOf, demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { notFound, RequestProblem } from '../errors.ts';
import { replayRun, retryRun } from '../intents.ts';
import { objectSchema } from '../resources/object.ts';
import { NewReplay } from '../resources/run.ts';
import { namespacedParams, Nullable, OneOf } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';
import { demandInputs } from '../run-inputs.ts';
import { findRun } from '../runs.ts';

const PlannedUnits = Type.Object(
  {
    items: Type.Array(
      Type.Object(
        {
          step: Type.String(),
          item: Type.Integer({ description: 'The item of its forEach; -1: the step itself.' }),
          label: Nullable(Type.String(), 'What people call the item.'),
          action: OneOf(
            ['run', 'reuse', 'skip'],
            'reuse: it keeps its outputs. skip: it stays as it ended, without any.',
          ),
          why: Type.String(),
        },
        { ref: 'PlannedUnit' },
      ),
    ),
  },
  { ref: 'PlannedUnits' },
);
export type PlannedUnits = Static<typeof PlannedUnits>;

const step = (description: string) => Type.Optional(Type.String({ pattern: '^[a-z][a-z0-9_]{0,39}$', description }));
const from = step('This step, and all that come after it, run again.');
const onlyFailed = Type.Optional(
  Type.Boolean({ description: 'Only what failed runs again, not what came after it and succeeded.' }),
);
/** Of a replay, all but the name of the new run. */
const { name: _, ...planned } = NewReplay.properties;
const PlannedReplay = only(planned);

/** Going on with runs that have ended, and running recorded ones again. */
export function runAgainRoutes(app: Hono, deps: AppDependencies): void {
  const one = '/namespaces/:namespace/runs/:name';

  addRoute(
    app,
    {
      method: 'GET',
      path: `${one}/retry`,
      id: 'planRetry',
      tag: 'runs',
      summary: 'Says what a retry would do with each step, and why',
      params: namespacedParams,
      query: only({ from, onlyFailed }),
      response: { status: 200, description: 'In the order of the file.', schema: PlannedUnits },
      problems: ['not-found', 'conflict'],
    },
    async ({ params: { namespace, name }, query }, c) => {
      await demand(c, 'get', 'WorkflowRun', namespace, name);
      return c.json(await retryPlan(deps, namespace, name, query));
    },
  );

  addRoute(
    app,
    {
      method: 'POST',
      path: `${one}/retry`,
      id: 'retryRun',
      tag: 'runs',
      summary: 'Makes a run that has ended go on, keeping what succeeded',
      params: namespacedParams,
      body: only({ from, onlyFailed }),
      response: { status: 200, description: 'The WorkflowRun object.', schema: objectSchema('WorkflowRun') },
      problems: ['not-found', 'conflict'],
    },
    async ({ params: { namespace, name }, body }, c) => {
      await demand(c, 'update', 'WorkflowRun', namespace, name);
      await retryPlan(deps, namespace, name, body);
      return c.json(await retryRun(callerOf(c).objects, { namespace, name }, body));
    },
  );

  addRoute(
    app,
    {
      method: 'POST',
      path: `${one}/replay/plan`,
      id: 'planReplay',
      tag: 'runs',
      summary: 'Says what a replay would do with each step, and why; creates nothing',
      params: namespacedParams,
      body: PlannedReplay,
      response: { status: 200, description: 'In the order of the file.', schema: PlannedUnits },
      problems: ['not-found', 'conflict'],
    },
    async ({ params: { namespace, name }, body }, c) => {
      await demand(c, 'get', 'WorkflowRun', namespace, name);
      return c.json(await replayPlan(deps, await recorded(deps, namespace, name), body));
    },
  );

  addRoute(
    app,
    {
      method: 'POST',
      path: `${one}/replay`,
      id: 'replayRun',
      tag: 'runs',
      summary: 'Creates a run that does again what was recorded',
      description:
        'With its inputs, but for those that are given; steps before `from` are not run, their recorded outputs are taken.',
      params: namespacedParams,
      body: NewReplay,
      response: { status: 201, description: 'The WorkflowRun object.', schema: objectSchema('WorkflowRun') },
      problems: ['not-found', 'conflict'],
    },
    async ({ params: { namespace, name }, body }, c) => {
      await demand(c, 'create', 'WorkflowRun', namespace);
      await demand(c, 'get', 'WorkflowRun', namespace, name);
      const row = await recorded(deps, namespace, name);
      await replayPlan(deps, row, body);
      const object = await replayRun(callerOf(c).objects, row, body);
      return c.json(object, 201, { location: `/api/v1/namespaces/${namespace}/runs/${object.metadata.name}` });
    },
  );
}

async function recorded(deps: AppDependencies, namespace: string, name: string): Promise<RunRow> {
  const { row } = await findRun(deps, namespace, name);
  if (row === null) throw new RequestProblem('conflict', `Run ${name} has not begun yet: there is nothing recorded.`);
  return row;
}

async function retryPlan(
  deps: AppDependencies,
  namespace: string,
  name: string,
  options: { from?: string; onlyFailed?: boolean },
): Promise<PlannedUnits> {
  const row = await recorded(deps, namespace, name);
  if (row.parent !== null) {
    throw new RequestProblem('conflict', `Run ${name} is a child run: retry ${row.rootName}, which began it.`);
  }
  const plan = buildPlan(await snapshotOf(deps, row.digest));
  const planned = planRetry(plan, await rowsOf(deps, row.id), {
    from: options.from ?? null,
    onlyFailed: options.onlyFailed ?? false,
  });
  return demandPlan(planned);
}

async function replayPlan(
  deps: AppDependencies,
  row: RunRow,
  { from: start, version, inputs }: Static<typeof PlannedReplay>,
): Promise<PlannedUnits> {
  const snapshot = await snapshotOf(deps, version ?? row.digest);
  const plan = buildPlan(snapshot);
  if (plan.name !== row.workflow) {
    throw new RequestProblem('conflict', `Version ${version} is one of ${plan.name}; ${row.name} ran ${row.workflow}.`);
  }
  demandInputs(row.workflow, snapshot.spec, { ...row.inputs, ...inputs });
  return demandPlan(planReplay(plan, await rowsOf(deps, row.id), { from: start ?? null }));
}

function demandPlan(planned: RetryPlan): PlannedUnits {
  if (!planned.ok) throw new RequestProblem('conflict', `${planned.problem}.`);
  return { items: planned.units };
}

async function snapshotOf(deps: AppDependencies, version: string) {
  const snapshot = await deps.store.versions.get(version);
  if (snapshot === null) throw notFound(`version ${version}`);
  return snapshot;
}

async function rowsOf(deps: AppDependencies, id: string): Promise<RunRows> {
  const [rows] = await deps.store.runs.load([id]);
  if (!rows) throw notFound(`run ${id}`);
  return rows;
}
