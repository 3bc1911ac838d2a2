import type { Context, Hono } from 'hono';
import { Type } from 'typebox';
import { ObjectConflict, ObjectRefused } from '../../controller/seams/objects.ts';
import { callerOf, demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { RequestProblem } from '../errors.ts';
import { findDeadLetter, redriveLetter } from '../redrive.ts';
import {
  DeadLetterResource,
  deadLetterResource,
  deadLetterStates,
  Redrive,
  Redriven,
} from '../resources/dead-letter.ts';
import { Name, NamespaceFilter, OneOf, PageOf, pageQuery } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';

const idParams = only({
  id: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Its number.' }),
});

/** What failed for good: to be looked at, started again, or put aside by somebody with a reason. */
export function deadLetterRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/dead-letters',
      id: 'listDeadLetters',
      tag: 'dead letters',
      summary: 'Lists what failed for good, newest first',
      query: only({
        namespace: NamespaceFilter,
        workflow: Type.Optional(Name('Only of this workflow.')),
        state: Type.Optional(
          Type.Array(OneOf(deadLetterStates, 'A state.'), {
            description: 'Only in these states; repeatable. Default: Waiting and Redriven.',
          }),
        ),
        ...pageQuery,
      }),
      response: { status: 200, description: 'A page.', schema: PageOf(DeadLetterResource, 'DeadLetterPage') },
    },
    async ({ query: { state, limit, after, ...filter } }, c) => {
      await demand(c, 'list', 'WorkflowRun', filter.namespace ?? null);
      const states = state ?? ['Waiting', 'Redriven'];
      const page = await deps.store.deadLetters.list({ ...filter, states }, { limit, ...(after ? { after } : {}) });
      return c.json({ items: page.items.map(deadLetterResource), next: page.next });
    },
  );

  addRoute(
    app,
    {
      method: 'GET',
      path: '/dead-letters/:id',
      id: 'getDeadLetter',
      tag: 'dead letters',
      summary: 'Gets one, with what is needed to start it again',
      params: idParams,
      response: { status: 200, description: 'It.', schema: DeadLetterResource },
      problems: ['not-found'],
    },
    async ({ params: { id } }, c) => {
      const letter = await findDeadLetter(deps, id);
      await demand(c, 'get', 'WorkflowRun', letter.namespace, letter.name);
      return c.json(deadLetterResource(letter));
    },
  );

  addRoute(
    app,
    {
      method: 'POST',
      path: '/dead-letters/redrive',
      id: 'redriveDeadLetters',
      tag: 'dead letters',
      summary: 'Starts some of them again',
      description:
        'A run whose object is still there goes on as its next execution, keeping what succeeded; of one that is gone a new ' +
        'run is created, with the same inputs and priority and the version that is active now; it belongs to the dead letter, and so does its ' +
        'failure. Asking twice starts nothing twice: while it goes on, it is refused. One after another, not too fast; each says what came of it.',
      body: Redrive,
      response: { status: 200, description: 'What came of each.', schema: Redriven },
    },
    async ({ body: { ids, perSecond } }, c) => {
      const items: Redriven['items'] = [];
      const begun = deps.clock.now();
      for (const [place, id] of ids.entries()) {
        await until(deps, begun + (place * 1000) / perSecond);
        if (c.req.raw.signal.aborted) break;
        items.push(await redrive(deps, c, id));
      }
      return c.json({ items });
    },
  );

  addRoute(
    app,
    {
      method: 'POST',
      path: '/dead-letters/:id/discard',
      id: 'discardDeadLetter',
      tag: 'dead letters',
      summary: 'Puts one aside; it stays on record with who and why',
      params: idParams,
      body: only({ reason: Type.String({ minLength: 1, maxLength: 1024, description: 'Why.' }) }),
      response: { status: 200, description: 'It.', schema: DeadLetterResource },
      problems: ['not-found', 'conflict'],
    },
    async ({ params: { id }, body: { reason } }, c) => {
      const letter = await findDeadLetter(deps, id);
      await demand(c, 'update', 'WorkflowRun', letter.namespace, letter.name);
      if (!(await deps.store.deadLetters.discard(id, { by: callerOf(c).user, reason, at: deps.clock.now() }))) {
        throw new RequestProblem('conflict', `Dead letter ${id} is ${letter.state} already.`);
      }
      return c.json(deadLetterResource(await findDeadLetter(deps, id)));
    },
  );
}

/** What keeps one from being started again is said beside it, so that the others are. */
async function redrive(deps: AppDependencies, c: Context, id: number): Promise<Redriven['items'][number]> {
  try {
    const { name, namespace } = (await redriveLetter(deps, c, id)).metadata;
    return { id, run: name, namespace, problem: null };
  } catch (error) {
    if (error instanceof RequestProblem || error instanceof ObjectConflict || error instanceof ObjectRefused) {
      return { id, run: null, namespace: null, problem: error.message };
    }
    throw error;
  }
}

function until(deps: AppDependencies, at: number): Promise<void> {
  if (deps.clock.now() >= at) return Promise.resolve();
  return new Promise((resolve) => void deps.clock.at(at, resolve));
}
