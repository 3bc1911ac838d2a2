import type { Hono } from 'hono';
import { Type } from 'typebox';
import { durationPattern } from '../../crds/metadata.ts';
import type { JsonObject } from '../../crds/json.ts';
import type { WorkflowRun } from '../../crds/workflow-run.ts';
import { compileInputs } from '../../controller/core/plan/json-schema.ts';
import { parseDuration } from '../../controller/core/duration.ts';
import { isFinished, type RunPhase } from '../../controller/core/run/types.ts';
import type { Instant } from '../../controller/core/time.ts';
import { callerOf, demand, demandList } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { notFound, RequestProblem } from '../errors.ts';
import { createRun, decideStep, setDesired } from '../intents.ts';
import { demandValid, getObject } from '../objects.ts';
import { objectSchema } from '../resources/object.ts';
import { Decision } from '../resources/promotion.ts';
import {
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
import { findRun, runResource, runSteps } from '../runs.ts';
import { createWaiting } from '../waiting.ts';

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
        after === undefined && (!phases || phases.includes('Pending')) && equal.environment === undefined;
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

  const intents = [
    { verb: 'cancel', desired: 'Cancelled', summary: 'Cancels a run' },
    { verb: 'pause', desired: 'Paused', summary: 'Pauses a run: no attempt begins, running ones end' },
    { verb: 'resume', desired: 'Running', summary: 'Lets a paused run go on' },
  ] as const;
  for (const { verb, desired, summary } of intents) {
    addRoute(
      app,
      {
        method: 'POST',
        path: `${one}/${verb}`,
        id: `${verb}Run`,
        tag: 'runs',
        summary,
        params: namespacedParams,
        body: only({ reason: Type.Optional(Type.String({ maxLength: 1024, description: 'Why.' })) }),
        response: { status: 200, description: 'The WorkflowRun object.', schema: objectSchema('WorkflowRun') },
        problems: ['not-found', 'conflict'],
      },
      async ({ params: { namespace, name }, body }, c) => {
        await demand(c, 'update', 'WorkflowRun', namespace, name);
        await demandUnfinished(deps, namespace, name);
        return c.json(await setDesired(callerOf(c).objects, { namespace, name }, desired, body.reason));
      },
    );
  }
}

/** Steps of a run, and decisions on those that wait for approval. */
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
      const { row } = await findRun(deps, params.namespace, params.name);
      return c.json({ items: await runSteps(deps, row), next: null });
    },
  );

  for (const decision of ['Approve', 'Reject'] as const) {
    const verb = decision.toLowerCase();
    addRoute(
      app,
      {
        method: 'POST',
        path: `/namespaces/:namespace/runs/:name/steps/:step/${verb}`,
        id: `${verb}Step`,
        tag: 'steps',
        summary: decision === 'Approve' ? 'Approves a step' : 'Rejects a step, which fails it',
        description: "One decision a person; a new one takes the old one's place.",
        params: stepParams,
        body: Decision,
        response: { status: 200, description: 'The WorkflowRun object.', schema: objectSchema('WorkflowRun') },
        problems: ['not-found', 'conflict'],
      },
      async ({ params: { namespace, name, step }, body }, c) => {
        await demand(c, 'update', 'WorkflowRun', namespace, name);
        const run = await demandUnfinished(deps, namespace, name);
        if (!run.row) throw new RequestProblem('conflict', `Run ${name} has not begun yet; approve it once it waits.`);
        const steps = await runSteps(deps, run.row);
        const present = steps.find((s) => s.name === step);
        if (!present)
          throw notFound(
            `step ${step} in run ${name}`,
            steps.map((s) => s.name),
          );
        if (!present.approval)
          throw new RequestProblem('conflict', `Step ${step} is no approval; it is ${present.kind}.`);
        if (present.finishedAt) throw new RequestProblem('conflict', `Step ${step} is ${present.phase} already.`);
        const key = { namespace, name, step };
        const groups = present.approval.groups ?? [];
        return c.json(await decideStep(callerOf(c).objects, key, callerOf(c), decision, body, groups));
      },
    );
  }
}

export const stepParams = only({
  ...namespacedParams.properties,
  step: Type.String({ pattern: '^[a-z][a-z0-9_]{0,39}$', description: 'The step.' }),
});

async function demandUnfinished(deps: AppDependencies, namespace: string, name: string) {
  const run = await findRun(deps, namespace, name);
  if (run.row && isFinished(run.row.phase)) {
    throw new RequestProblem('conflict', `Run ${name} is ${run.row.phase} already.`);
  }
  if (!run.object) throw new RequestProblem('conflict', `Run ${name} was deleted and is being cancelled.`);
  return run;
}

/** @throws RequestProblem 422 with everything that is wrong in the inputs */
function demandInputs(workflow: string, spec: JsonObject, inputs: JsonObject): void {
  let checked;
  try {
    checked = compileInputs((spec['inputs'] ?? {}) as JsonObject)(inputs);
  } catch {
    // The mistake is in the Workflow that somebody applied: its status says so, and so will the run.
    return;
  }
  if (checked.ok) return;
  const problems = checked.problems.map((message) => ({ path: 'inputs', message, rule: 'inputs' }));
  const list = checked.problems.join('; ');
  throw new RequestProblem('invalid', `The inputs do not fit workflow ${workflow}: ${list}.`, { problems });
}

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
