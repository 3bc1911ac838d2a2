import type { Context, Hono } from 'hono';
import { Type } from 'typebox';
import type { DeadLetter } from '../../controller/store/types.ts';
import { ObjectConflict, ObjectRefused } from '../../controller/seams/objects.ts';
import { callerOf, demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { notFound, RequestProblem } from '../errors.ts';
import { createRun, retryRun } from '../intents.ts';
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
      const letter = await find(deps, id);
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
        'run is created, with the same inputs and the version that is active now. One after another, not too fast; each says what came of it.',
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
      const letter = await find(deps, id);
      await demand(c, 'update', 'WorkflowRun', letter.namespace, letter.name);
      if (!(await deps.store.deadLetters.discard(id, { by: callerOf(c).user, reason, at: deps.clock.now() }))) {
        throw new RequestProblem('conflict', `Dead letter ${id} is ${letter.state} already.`);
      }
      return c.json(deadLetterResource(await find(deps, id)));
    },
  );
}

async function find(deps: AppDependencies, id: number): Promise<DeadLetter> {
  const letter = await deps.store.deadLetters.get(id);
  if (letter === null) throw notFound(`dead letter ${id}`);
  return letter;
}

/** What keeps one from being started again is said beside it, so that the others are. */
async function redrive(deps: AppDependencies, c: Context, id: number): Promise<Redriven['items'][number]> {
  try {
    const letter = await find(deps, id);
    if (letter.state === 'Resolved' || letter.state === 'Discarded') {
      throw new RequestProblem('conflict', `Dead letter ${id} is ${letter.state} already.`);
    }
    const { name, uid } = await startAgain(deps, c, letter);
    await deps.store.deadLetters.markRedriven(id, { by: callerOf(c).user, as: uid, at: deps.clock.now() });
    return { id, run: name, namespace: letter.namespace, problem: null };
  } catch (error) {
    if (error instanceof RequestProblem || error instanceof ObjectConflict || error instanceof ObjectRefused) {
      return { id, run: null, namespace: null, problem: error.message };
    }
    throw error;
  }
}

async function startAgain(
  deps: AppDependencies,
  c: Context,
  letter: DeadLetter,
): Promise<{ name: string; uid: string }> {
  const { namespace, name, workflow, payload } = letter;
  const { objects } = callerOf(c);
  const object = await deps.store.objects.get('WorkflowRun', namespace, name);
  if (object?.metadata.uid === letter.subject) {
    await demand(c, 'update', 'WorkflowRun', namespace, name);
    return (await retryRun(objects, { namespace, name }, {})).metadata;
  }
  await demand(c, 'create', 'WorkflowRun', namespace);
  const generateName = `${name.slice(0, 230)}-again-`;
  return (await createRun(objects, namespace, { workflow, inputs: payload.inputs, generateName })).metadata;
}

function until(deps: AppDependencies, at: number): Promise<void> {
  if (deps.clock.now() >= at) return Promise.resolve();
  return new Promise((resolve) => void deps.clock.at(at, resolve));
}
