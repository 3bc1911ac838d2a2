import type { Hono } from 'hono';
import { type Static, Type } from 'typebox';
import { Condition } from '../../crds/metadata.ts';
import type { WorkflowSource } from '../../crds/workflow-source.ts';
import { callerOf, demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { requestReconcile } from '../intents.ts';
import { projectOf } from '../projects.ts';
import { objectSchema } from '../resources/object.ts';
import { iso, namespacedParams, Nullable, PageOf, projectQuery } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';

const SourceResource = Type.Object(
  {
    name: Type.String(),
    url: Type.String(),
    branch: Type.String(),
    path: Type.String({ description: 'Folder of the workflow files.' }),
    commit: Nullable(Type.String(), 'The tip of the branch at the last fetch.'),
    suspended: Type.Boolean(),
    refused: Type.Array(
      Type.Object({ ref: Type.String(), commit: Type.String(), reason: Type.String(), message: Type.String() }),
      { description: 'Refs that are not followed, and why.' },
    ),
    conditions: Type.Array(Type.Unsafe<Condition>({ ...Condition, ref: 'Condition' })),
  },
  { ref: 'Source' },
);
export type SourceResource = Static<typeof SourceResource>;

/** Where versions come from. */
export function sourceRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/sources',
      id: 'listSources',
      tag: 'sources',
      summary: 'Lists sources with the refs they refuse',
      query: only(projectQuery),
      response: { status: 200, description: 'All of them.', schema: PageOf(SourceResource, 'SourceList') },
    },
    async ({ query }, c) => {
      const project = await projectOf(deps, c, query.project);
      await demand(c, 'list', 'WorkflowSource', project);
      const objects = await deps.store.objects.list('WorkflowSource', { namespace: project });
      return c.json({ items: objects.map(sourceResource), next: null });
    },
  );

  addRoute(
    app,
    {
      method: 'POST',
      path: '/namespaces/:namespace/workflowsources/:name/reconcile',
      id: 'reconcileWorkflowSource',
      tag: 'sources',
      summary: 'Asks for a fetch now',
      description: 'Done when status.lastHandledReconcileAt has the value of the annotation windlass.dev/requestedAt.',
      params: namespacedParams,
      body: only({}),
      response: {
        status: 202,
        description: 'The source, with the request noted.',
        schema: objectSchema('WorkflowSource'),
      },
      problems: ['not-found'],
    },
    async ({ params }, c) => {
      const now = iso(deps.clock.now());
      return c.json(await requestReconcile(callerOf(c).objects, params, now), 202);
    },
  );
}

function sourceResource(object: WorkflowSource): SourceResource {
  return {
    name: object.metadata.name,
    url: withoutCredentials(object.spec.url),
    branch: object.spec.branch,
    path: object.spec.path ?? 'workflows',
    commit: object.status?.commit ?? null,
    suspended: object.spec.suspend ?? false,
    refused: object.status?.refused ?? [],
    conditions: object.status?.conditions ?? [],
  };
}

/** A password that was written into a URL must not travel on. */
function withoutCredentials(url: string): string {
  return url.replace(/^([a-z+]+:\/\/)[^/@]*@/i, (_, scheme: string) => scheme);
}
