import type { Hono } from 'hono';
import { Type } from 'typebox';
import type { Promotion as PromotionObject } from '../../crds/promotion.ts';
import type { PromotionPhase, PromotionRow } from '../../controller/core/promotion/types.ts';
import { approvalEntry, withEntry } from '../approvals.ts';
import type { AppDependencies } from '../dependencies.ts';
import { notFound, RequestProblem } from '../errors.ts';
import { withGeneratedName } from '../names.ts';
import { demandValid, getObject } from '../objects.ts';
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
import { Name, nameParams, OneOf, PageOf, pageQuery } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';
import { createWaiting } from '../waiting.ts';

/** Refs on their way into environments. */
export function promotionRoutes(app: Hono, deps: AppDependencies): void {
  const waiting = createWaiting(deps, 'Promotion', async (uid) => (await deps.store.promotions.get(uid)) !== null);
  const into =
    (environment: string | undefined) =>
    ({ metadata, spec }: PromotionObject): boolean =>
      metadata.namespace === deps.project && (environment === undefined || spec.environment === environment);

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
        ...pageQuery,
      }),
      response: {
        status: 200,
        description: 'A page of promotions.',
        schema: PageOf(PromotionSummary, 'PromotionPage'),
      },
    },
    async ({ query: { environment, phase, limit, after } }, c) => {
      const wantsPending = after === undefined && (!phase || phase.includes('Pending'));
      const pending = wantsPending ? await waiting.list(into(environment), limit) : [];
      const page = await deps.store.promotions.list(
        { project: deps.project, ...(environment ? { environment } : {}), ...(phase ? { phases: phase } : {}) },
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
      response: { status: 200, description: 'The promotion.', schema: Promotion },
      problems: ['not-found'],
    },
    async ({ params }, c) => {
      const object = await getObject(deps, 'Promotion', deps.project, params.name);
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
      body: NewPromotion,
      response: { status: 201, description: 'The Promotion object.', schema: objectSchema('Promotion') },
      problems: ['not-found', 'conflict'],
    },
    async ({ body: { environment, ref } }, c) => {
      const present = await getObject(deps, 'Environment', deps.project, environment);
      const rows = await deps.store.promotions.ofEnvironment(deps.project, environment);
      const row = rows.find((r) => (r.ref === ref || r.commit === ref) && !isFinished(r.phase));
      const [waits] = row ? [] : await waiting.list((o) => into(environment)(o) && o.spec.ref === ref, 1);
      const underWay = row?.name ?? waits?.metadata.name;
      if (underWay) {
        throw new RequestProblem(
          'conflict',
          `Promotion ${underWay} of ${ref} into ${environment} is under way already.`,
        );
      }
      await demandKnownRef(deps, present.spec.source.name, ref);
      const spec = { environment, ref };
      const object = await withGeneratedName(namePrefix(environment, ref), async (name) => {
        const metadata = { name, namespace: deps.project };
        demandValid(deps, 'Promotion', { metadata, spec });
        return deps.store.objects.create({ kind: 'Promotion', metadata, spec });
      });
      return c.json(object, 201, { location: `/api/v1/promotions/${object.metadata.name}` });
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
        body: Decision,
        response: { status: 200, description: 'The Promotion object.', schema: objectSchema('Promotion') },
        problems: ['not-found', 'conflict'],
      },
      async ({ params, body }, c) => {
        const present = await getObject(deps, 'Promotion', deps.project, params.name);
        const row = await deps.store.promotions.get(present.metadata.uid);
        if (row && isFinished(row.phase)) {
          throw new RequestProblem('conflict', `Promotion ${params.name} is ${row.phase} already.`);
        }
        const entry = approvalEntry(deps.identity, decision, body, await gateGroups(deps, present, row));
        const object = await deps.store.objects.update('Promotion', deps.project, params.name, ({ spec }) => ({
          spec: { ...spec, approvals: withEntry(spec.approvals ?? [], entry, () => true) },
        }));
        return c.json(object);
      },
    );
  }
}

function isFinished(phase: PromotionPhase): boolean {
  return phase !== 'Pending' && phase !== 'Gating';
}

/** Groups that its approval gates ask for: those of now, and those of when it began. */
async function gateGroups(deps: AppDependencies, object: PromotionObject, row: PromotionRow | null): Promise<string[]> {
  const environment = await deps.store.objects.get('Environment', deps.project, object.spec.environment);
  const gates = [...(environment?.spec.gates ?? []), ...(row?.gatesAtStart ?? [])];
  return gates.flatMap((gate) => gate.approval?.groups ?? []);
}

/**
 * A name that is no tag of the source will never be one of a version by itself; which commits there are only git knows.
 * What was not fetched yet may have it.
 * @throws RequestProblem 404 that names the tags there are, newest first, 422 for a short hash
 */
async function demandKnownRef(deps: AppDependencies, source: string, ref: string): Promise<void> {
  if (/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(ref)) return;
  const object = await deps.store.objects.get('WorkflowSource', deps.project, source);
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

/** `prod-v1-4-0-`, so that a list of names says what they are. */
function namePrefix(environment: string, ref: string): string {
  const short = /^[0-9a-f]{40,64}$/.test(ref) ? ref.slice(0, 12) : ref;
  const safe = short
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return `${environment.slice(0, 100)}-${safe.slice(0, 100)}-`;
}
