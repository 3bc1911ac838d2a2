import type { Hono } from 'hono';
import { Type } from 'typebox';
import type { Promotion as PromotionObject } from '../../crds/promotion.ts';
import type { PromotionPhase, PromotionRow } from '../../controller/core/promotion/types.ts';
import { callerOf, demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { notFound, RequestProblem } from '../errors.ts';
import { createPromotion, decidePromotion } from '../intents.ts';
import { demandValid, getObject } from '../objects.ts';
import { projectOf } from '../projects.ts';
import { objectSchema } from '../resources/object.ts';
import {
  Decision,
  NewPromotion,
  pendingPromotion,
  Promotion,
  type PromotionDetail,
  promotionPhases,
  PromotionSummary,
  promotionSummary,
} from '../resources/promotion.ts';
import { Name, nameParams, OneOf, PageOf, pageQuery, projectQuery } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';
import { createWaiting } from '../waiting.ts';

/** Refs on their way into environments. */
export function promotionRoutes(app: Hono, deps: AppDependencies): void {
  const waiting = createWaiting(deps, 'Promotion', async (uid) => (await deps.store.promotions.get(uid)) !== null);
  const into =
    (project: string, environment: string | undefined) =>
    ({ metadata, spec }: PromotionObject): boolean =>
      metadata.namespace === project && (environment === undefined || spec.environment === environment);

  addRoute(
    app,
    {
      method: 'GET',
      path: '/promotions',
      id: 'listPromotions',
      tag: 'promotions',
      summary: 'Lists promotions, newest first',
      description:
        'Those that the controller has not taken up yet (Pending) come first, beside `limit`, on the first page.',
      query: only({
        environment: Type.Optional(Name('Only into this environment.')),
        phase: Type.Optional(
          Type.Array(OneOf(promotionPhases, 'A phase.'), {
            description: 'Only in these phases; repeatable.',
          }),
        ),
        ...projectQuery,
        ...pageQuery,
      }),
      response: {
        status: 200,
        description: 'A page of promotions.',
        schema: PageOf(PromotionSummary, 'PromotionPage'),
      },
    },
    async ({ query: { project: named, environment, phase, limit, after } }, c) => {
      const project = await projectOf(deps, c, named);
      await demand(c, 'list', 'Promotion', project);
      const wantsPending = after === undefined && (!phase || phase.includes('Pending'));
      const pending = wantsPending ? await waiting.list(into(project, environment), limit) : [];
      const page = await deps.store.promotions.list(
        { project, ...(environment ? { environment } : {}), ...(phase ? { phases: phase } : {}) },
        { limit, ...(after ? { after } : {}) },
      );
      // one may have been taken up between the two questions
      const ids = new Set(page.items.map((row) => row.id));
      const first = pending.filter((object) => !ids.has(object.metadata.uid)).map(pendingPromotion);
      return c.json({ items: [...first, ...page.items.map(promotionSummary)], next: page.next });
    },
  );

  addRoute(
    app,
    {
      method: 'GET',
      path: '/promotions/:name',
      id: 'getPromotion',
      tag: 'promotions',
      summary: 'Gets a promotion with its gates and what is wrong in it',
      params: nameParams,
      query: only(projectQuery),
      response: { status: 200, description: 'The promotion.', schema: Promotion },
      problems: ['not-found'],
    },
    async ({ params, query }, c) => {
      const project = await projectOf(deps, c, query.project);
      const object = await getObject(deps, c, 'Promotion', project, params.name);
      const row = await deps.store.promotions.get(object.metadata.uid);
      const detail: PromotionDetail = {
        ...(row ? promotionSummary(row) : pendingPromotion(object)),
        diagnostics: row?.diagnostics ?? [],
        approvals: object.spec.approvals ?? [],
      };
      return c.json(detail);
    },
  );

  addRoute(
    app,
    {
      method: 'POST',
      path: '/promotions',
      id: 'createPromotion',
      tag: 'promotions',
      summary: 'Asks for a ref to be promoted into an environment',
      description: "It has no more power than an automatic one: the environment's gates hold it.",
      query: only(projectQuery),
      body: NewPromotion,
      response: { status: 201, description: 'The Promotion object.', schema: objectSchema('Promotion') },
      problems: ['not-found', 'conflict'],
    },
    async ({ query, body: { environment, ref } }, c) => {
      const project = await projectOf(deps, c, query.project);
      await demand(c, 'create', 'Promotion', project);
      const present = await getObject(deps, c, 'Environment', project, environment);
      const rows = await deps.store.promotions.ofEnvironment(project, environment);
      const row = rows.find((r) => (r.ref === ref || r.commit === ref) && !isFinished(r.phase));
      const [waits] = row ? [] : await waiting.list((o) => into(project, environment)(o) && o.spec.ref === ref, 1);
      const underWay = row?.name ?? waits?.metadata.name;
      if (underWay) {
        throw new RequestProblem(
          'conflict',
          `Promotion ${underWay} of ${ref} into ${environment} is under way already.`,
        );
      }
      await demandKnownRef(deps, { namespace: project, name: present.spec.source.name }, ref);
      const object = await createPromotion(callerOf(c).objects, project, { environment, ref }, (draft) =>
        demandValid(deps, 'Promotion', draft),
      );
      return c.json(object, 201, {
        location: `/api/v1/promotions/${object.metadata.name}${deps.project === null ? `?project=${project}` : ''}`,
      });
    },
  );

  for (const decision of ['Approve', 'Reject'] as const) {
    const verb = decision.toLowerCase();
    addRoute(
      app,
      {
        method: 'POST',
        path: `/promotions/:name/${verb}`,
        id: `${verb}Promotion`,
        tag: 'promotions',
        summary: decision === 'Approve' ? 'Approves a promotion' : 'Rejects a promotion',
        description: "One decision a person; a new one takes the old one's place.",
        params: nameParams,
        query: only(projectQuery),
        body: Decision,
        response: { status: 200, description: 'The Promotion object.', schema: objectSchema('Promotion') },
        problems: ['not-found', 'conflict'],
      },
      async ({ params, query, body }, c) => {
        const project = await projectOf(deps, c, query.project);
        await demand(c, 'update', 'Promotion', project, params.name);
        const present = await getObject(deps, c, 'Promotion', project, params.name);
        await demand(c, 'approve', 'Environment', project, present.spec.environment);
        const row = await deps.store.promotions.get(present.metadata.uid);
        if (row && isFinished(row.phase)) {
          throw new RequestProblem('conflict', `Promotion ${params.name} is ${row.phase} already.`);
        }
        const key = { namespace: project, name: params.name };
        const at = new Date(deps.clock.now()).toISOString();
        const groups = await gateGroups(deps, present, row);
        return c.json(await decidePromotion(callerOf(c).objects, key, callerOf(c), decision, body, groups, at));
      },
    );
  }
}

function isFinished(phase: PromotionPhase): boolean {
  return phase !== 'Pending' && phase !== 'Gating';
}

/** Groups that its approval gates ask for: those of now, and those of when it began. */
async function gateGroups(deps: AppDependencies, object: PromotionObject, row: PromotionRow | null): Promise<string[]> {
  const environment = await deps.store.objects.get('Environment', object.metadata.namespace, object.spec.environment);
  const gates = [...(environment?.spec.gates ?? []), ...(row?.gatesAtStart ?? [])];
  return gates.flatMap((gate) => gate.approval?.groups ?? []);
}

/**
 * A name that is no tag of the source will never be one of a version by itself; which commits there are only git knows.
 * What was not fetched yet may have it.
 * @throws RequestProblem 404 that names the tags there are, newest first, 422 for a short hash
 */
async function demandKnownRef(
  deps: AppDependencies,
  { namespace, name: source }: { namespace: string; name: string },
  ref: string,
): Promise<void> {
  if (/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(ref)) return;
  const object = await deps.store.objects.get('WorkflowSource', namespace, source);
  if (object?.status?.commit === undefined) return;
  const tags = await deps.tags(object);
  if (tags.includes(ref)) return;
  if (/^[0-9a-f]{4,63}$/.test(ref)) {
    throw new RequestProblem(
      'invalid',
      `${ref} is no tag of source ${source}, and too short for a commit: name it by all its digits, as git rev-parse ${ref} prints them.`,
    );
  }
  throw notFound(`tag ${ref} in source ${source}`, tags);
}
