import type { Hono } from 'hono';
import { Type } from 'typebox';
import { durationPattern } from '../../crds/metadata.ts';
import type { JsonObject } from '../../crds/json.ts';
import type { WorkflowRun } from '../../crds/workflow-run.ts';
import { parseDuration } from '../../controller/core/duration.ts';
import type { RunPhase, StepPhase } from '../../controller/core/run/types.ts';
import type { Instant } from '../../controller/core/time.ts';
import { callerOf, demand, demandList } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { RequestProblem } from '../errors.ts';
import { createRun } from '../intents.ts';
import { demandValid, getObject } from '../objects.ts';
import { objectSchema } from '../resources/object.ts';
import {
  Item,
  itemResource,
  NewRun,
  pendingRun,
  Run,
  runPhases,
  type RunResourcePhase,
  RunSummary,
  runSummary,
  Step,
} from '../resources/run.ts';
import {
  Name,
  namespacedParams,
  namespaceParams,
  NamespaceFilter,
  OneOf,
  PageOf,
  pageQuery,
} from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';
import { demandInputs } from '../run-inputs.ts';
import { findRun, runResource, runSteps } from '../runs.ts';
import { createWaiting } from '../waiting.ts';

const stepPhases = [
  'Pending',
  'Waiting',
  'Running',
  'Retrying',
  'Succeeded',
  'Cached',
  'Skipped',
  'Failed',
  'TimedOut',
  'Cancelled',
  'Compensated',
] as const satisfies readonly StepPhase[];

const runQuery = only({
  namespace: NamespaceFilter,
  workflow: Type.Optional(Name('Only of this workflow.')),
  environment: Type.Optional(Name('Only in this environment.')),
  phase: Type.Optional(Type.Array(OneOf(runPhases, 'A phase.'), { description: 'Only in these phases; repeatable.' })),
  failed: Type.Optional(Type.Boolean({ description: 'True: only Failed and TimedOut. Not together with `phase`.' })),
  since: Type.Optional(
    Type.String({
      maxLength: 40,
      description: 'Only created since: an RFC 3339 instant, or a length of time such as 1d or 90m.',
    }),
  ),
  name: Type.Optional(Name('Only of this name.')),
  parent: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      description:
        'Id of a run: the child runs that its steps have started. Without it and `name`, runs that no step started.',
    }),
  ),
  ...pageQuery,
});

/** Executions of workflows. */
export function runRoutes(app: Hono, deps: AppDependencies): void {
  const waiting = createWaiting(deps, 'WorkflowRun', async (uid) => (await deps.store.runs.get(uid)) !== null);

  addRoute(
    app,
    {
      method: 'GET',
      path: '/runs',
      id: 'listRuns',
      tag: 'runs',
      summary: 'Lists runs, newest first',
      description:
        'Those that the controller has not taken up yet (Pending) come first, beside `limit`, on the first page.',
      query: runQuery,
      response: { status: 200, description: 'A page of runs.', schema: PageOf(RunSummary, 'RunPage') },
    },
    async ({ query }, c) => {
      const { within, said } = await demandList(c, deps.namespaces, 'WorkflowRun', query.namespace);
      const { limit, after, since: sinceText, failed, phase, ...equal } = query;
      if (failed && phase) throw new RequestProblem('invalid-parameter', 'Use either failed or phase.');
      const phases: readonly RunResourcePhase[] | undefined = failed ? ['Failed', 'TimedOut'] : phase;
      const since = sinceText === undefined ? undefined : readSince(sinceText, deps.clock.now());
      const wantsPending =
        after === undefined &&
        (!phases || phases.includes('Pending')) &&
        equal.environment === undefined &&
        equal.parent === undefined;
      const pending = wantsPending ? await waiting.list(matchesObject(equal, within, since), limit) : [];
      const recorded = phases?.filter((p): p is RunPhase => p !== 'Pending');
      const page =
        recorded?.length === 0
          ? { items: [], next: null }
          : await deps.store.runs.list(
              {
                ...equal,
                ...(within ? { namespaces: within } : {}),
                ...(recorded ? { phases: recorded } : {}),
                ...(since === undefined ? {} : { since }),
              },
              { limit, ...(after ? { after } : {}) },
            );
      // one may have been taken up between the two questions
      const ids = new Set(page.items.map((row) => row.id));
      const first = pending.filter((object) => !ids.has(object.metadata.uid)).map(pendingRun);
      return c.json({ items: [...first, ...page.items.map(runSummary)], next: page.next, ...said });
    },
  );

  addRoute(
    app,
    {
      method: 'POST',
      path: '/namespaces/:namespace/runs',
      id: 'createRun',
      tag: 'runs',
      summary: 'Creates a run',
      description:
        'Answers at once. The inputs must fit the version that is active now; they are checked again when the run leaves the queue, ' +
        'as another may be active then, and wrong ones end it Failed.',
      params: namespaceParams,
      body: NewRun,
      response: { status: 201, description: 'The WorkflowRun object.', schema: objectSchema('WorkflowRun') },
      problems: ['not-found', 'conflict'],
    },
    async ({ params: { namespace }, body }, c) => {
      const { workflow, name, generateName } = body;
      await demand(c, 'create', 'WorkflowRun', namespace);
      // A version is active a moment before its Workflow shows in the namespace.
      const active = await deps.store.promotions.activeIn(namespace, workflow);
      const digest = active?.digest ?? null;
      const version =
        digest === null
          ? await getObject(deps, c, 'Workflow', namespace, workflow)
          : await deps.store.versions.get(digest);
      if (name !== undefined && generateName !== undefined) {
        throw new RequestProblem('invalid', 'Give either name or generateName.');
      }
      const object = await createRun(callerOf(c).objects, namespace, body, (draft) => {
        demandValid(deps, 'WorkflowRun', draft);
        if (version) demandInputs(workflow, version.spec as JsonObject, body.inputs ?? {});
      });
      return c.json(object, 201, { location: `/api/v1/namespaces/${namespace}/runs/${object.metadata.name}` });
    },
  );

  const one = '/namespaces/:namespace/runs/:name';
  addRoute(
    app,
    {
      method: 'GET',
      path: one,
      id: 'getRun',
      tag: 'runs',
      summary: 'Gets a run with its steps and their attempts',
      params: namespacedParams,
      response: { status: 200, description: 'The run.', schema: Run },
      problems: ['not-found'],
    },
    async ({ params: { namespace, name } }, c) => {
      await demand(c, 'get', 'WorkflowRun', namespace, name);
      return c.json(await runResource(deps, await findRun(deps, namespace, name)));
    },
  );
}

/** Steps of a run and their items. */
export function stepRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/namespaces/:namespace/runs/:name/steps',
      id: 'listSteps',
      tag: 'steps',
      summary: 'Lists the steps of a run, in the order of the file',
      params: namespacedParams,
      response: { status: 200, description: 'All of them.', schema: PageOf(Step, 'StepList') },
      problems: ['not-found'],
    },
    async ({ params }, c) => {
      await demand(c, 'get', 'WorkflowRun', params.namespace, params.name);
      const run = await findRun(deps, params.namespace, params.name);
      return c.json({ items: await runSteps(deps, run), next: null });
    },
  );

  addRoute(
    app,
    {
      method: 'GET',
      path: '/namespaces/:namespace/runs/:name/steps/:step/items',
      id: 'listItems',
      tag: 'steps',
      summary: 'Lists the items of a forEach step that have begun, in their order',
      params: stepParams,
      query: only({
        phase: Type.Optional(
          Type.Array(OneOf(stepPhases, 'A phase.'), { description: 'Only in these phases; repeatable.' }),
        ),
        ...pageQuery,
      }),
      response: { status: 200, description: 'A page of items.', schema: PageOf(Item, 'ItemPage') },
      problems: ['not-found'],
    },
    async ({ params: { namespace, name, step }, query: { phase, limit, after } }, c) => {
      await demand(c, 'get', 'WorkflowRun', namespace, name);
      const { row } = await findRun(deps, namespace, name);
      if (row === null) return c.json({ items: [], next: null });
      const page = await deps.store.runs.items(row.id, step, {
        limit,
        ...(after ? { after } : {}),
        ...(phase ? { phases: phase } : {}),
      });
      const items = page.items.map((item) => item.item);
      const attempts = items.length === 0 ? [] : await deps.store.runs.attempts(row.id, { step, items });
      const attemptsOf = Map.groupBy(attempts, (attempt) => attempt.item);
      return c.json({
        items: page.items.map((item) => itemResource(item, attemptsOf.get(item.item) ?? [])),
        next: page.next,
      });
    },
  );
}

export const stepParams = only({
  ...namespacedParams.properties,
  step: Type.String({ pattern: '^[a-z][a-z0-9_]{0,39}$', description: 'The step.' }),
});

/** Which of the runs that have no row are asked for; the row's filter does the same in the database. */
function matchesObject(
  filter: { workflow?: string; name?: string },
  within: string[] | null,
  since: Instant | undefined,
) {
  return ({ metadata, spec }: WorkflowRun): boolean =>
    (within === null || within.includes(metadata.namespace)) &&
    (filter.workflow === undefined || spec.workflow === filter.workflow) &&
    (filter.name === undefined || metadata.name === filter.name) &&
    (since === undefined || Date.parse(metadata.creationTimestamp) >= since);
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

function readSince(text: string, now: Instant): Instant {
  if (new RegExp(durationPattern).test(text)) return now - parseDuration(text);
  const at = rfc3339.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  const problems = [
    { path: 'since', message: 'is neither an RFC 3339 instant nor a length of time such as 1d', rule: 'since' },
  ];
  throw new RequestProblem('invalid-parameter', `The query is wrong: since: ${problems[0]?.message}.`, { problems });
}
