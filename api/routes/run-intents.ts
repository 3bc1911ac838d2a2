import type { Hono } from 'hono';
import { Type } from 'typebox';
import type { AppDependencies } from '../dependencies.ts';
import { notFound, RequestProblem } from '../errors.ts';
import { objectSchema } from '../resources/object.ts';
import { Decision } from '../resources/promotion.ts';
import { RunSummary } from '../resources/run.ts';
import { namespacedParams } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';
import { decideOnStep, demandChangeable, wantOfRun } from '../run-changes.ts';
import { runSteps } from '../runs.ts';
import { stepParams } from './runs.ts';

const one = '/namespaces/:namespace/runs/:name';
const changed = {
  status: 200,
  description: 'The WorkflowRun object; of a child run, which has none, the run.',
  schema: Type.Union([objectSchema('WorkflowRun'), RunSummary]),
};
const reason = Type.Optional(Type.String({ maxLength: 1024, description: 'Why.' }));

/** What people want of runs. */
export function runIntentRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'POST',
      path: `${one}/cancel`,
      id: 'cancelRun',
      tag: 'runs',
      summary: 'Cancels a run',
      params: namespacedParams,
      body: only({
        reason,
        force: Type.Optional(
          Type.Boolean({ description: 'Neither compensates nor runs finally; also when it does so already.' }),
        ),
      }),
      response: changed,
      problems: ['not-found', 'conflict'],
    },
    async ({ params, body }, c) => c.json(await wantOfRun(deps, c, params, 'Cancelled', body)),
  );

  const intents = [
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
        body: only({ reason }),
        response: changed,
        problems: ['not-found', 'conflict'],
      },
      async ({ params, body }, c) => c.json(await wantOfRun(deps, c, params, desired, body)),
    );
  }

  for (const decision of ['Approve', 'Reject'] as const) {
    const verb = decision.toLowerCase();
    addRoute(
      app,
      {
        method: 'POST',
        path: `${one}/steps/:step/${verb}`,
        id: `${verb}Step`,
        tag: 'steps',
        summary: decision === 'Approve' ? 'Approves a step' : 'Rejects a step, which fails it',
        description: "One decision a person; a new one takes the old one's place.",
        params: stepParams,
        body: Decision,
        response: changed,
        problems: ['not-found', 'conflict'],
      },
      async ({ params: { namespace, name, step }, body }, c) => {
        const run = await demandChangeable(deps, c, { namespace, name });
        if (!run.row) throw new RequestProblem('conflict', `Run ${name} has not begun yet; approve it once it waits.`);
        const steps = await runSteps(deps, run);
        const present = steps.find((s) => s.name === step);
        if (!present)
          throw notFound(
            `step ${step} in run ${name}`,
            steps.map((s) => s.name),
          );
        if (!present.approval)
          throw new RequestProblem('conflict', `Step ${step} is no approval; it is ${present.kind}.`);
        if (present.finishedAt) throw new RequestProblem('conflict', `Step ${step} is ${present.phase} already.`);
        const groups = present.approval.groups ?? [];
        return c.json(await decideOnStep(deps, c, run, { namespace, name, step }, decision, body, groups));
      },
    );
  }
}
