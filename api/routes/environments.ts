import type { Hono } from 'hono';
import { type Static, Type } from 'typebox';
import { EnvironmentSpec, type Environment } from '../../crds/environment.ts';
import { Condition } from '../../crds/metadata.ts';
import { demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { getObject } from '../objects.ts';
import { projectOf } from '../projects.ts';
import { iso, nameParams, PageOf, projectQuery, TimeString } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';

const EnvironmentResource = Type.Object(
  {
    name: Type.String(),
    namespace: Type.String({ description: 'Where its workflows and runs live.' }),
    spec: Type.Unsafe<EnvironmentSpec>({ ...EnvironmentSpec, ref: 'EnvironmentSpec' }),
    active: Type.Array(
      Type.Object(
        {
          workflow: Type.String(),
          digest: Type.String(),
          ref: Type.String({ description: 'The tag or commit it was promoted by.' }),
          commit: Type.String(),
          since: TimeString('When it became active.'),
        },
        { ref: 'ActiveVersion' },
      ),
    ),
    waiting: Type.Integer({ description: 'Promotions that are not yet let in.' }),
    conditions: Type.Array(Type.Unsafe<Condition>({ ...Condition, ref: 'Condition' })),
    createdAt: TimeString('When it was created.'),
  },
  { ref: 'EnvironmentDetail' },
);
export type EnvironmentResource = Static<typeof EnvironmentResource>;

/** Environments with what is active in them. */
export function environmentRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/environments',
      id: 'listEnvironments',
      tag: 'environments',
      summary: 'Lists environments with their active versions',
      query: only(projectQuery),
      response: { status: 200, description: 'All of them.', schema: PageOf(EnvironmentResource, 'EnvironmentList') },
    },
    async ({ query }, c) => {
      const project = await projectOf(deps, c, query.project);
      await demand(c, 'list', 'Environment', project);
      const objects = await deps.store.objects.list('Environment', { namespace: project });
      const items: EnvironmentResource[] = [];
      for (const object of objects) items.push(await environmentResource(deps, object));
      return c.json({ items, next: null });
    },
  );

  addRoute(
    app,
    {
      method: 'GET',
      path: '/environments/:name',
      id: 'getEnvironment',
      tag: 'environments',
      summary: 'Gets an environment with its active versions',
      params: nameParams,
      query: only(projectQuery),
      response: { status: 200, description: 'The environment.', schema: EnvironmentResource },
      problems: ['not-found'],
    },
    async ({ params, query }, c) => {
      const project = await projectOf(deps, c, query.project);
      return c.json(await environmentResource(deps, await getObject(deps, c, 'Environment', project, params.name)));
    },
  );
}

async function environmentResource(deps: AppDependencies, object: Environment): Promise<EnvironmentResource> {
  const active = await deps.store.promotions.active(object.metadata.namespace, object.metadata.name);
  return {
    name: object.metadata.name,
    namespace: object.spec.namespace ?? object.metadata.name,
    spec: object.spec,
    active: active.map((v) => ({
      workflow: v.workflow,
      digest: v.digest,
      ref: v.ref,
      commit: v.commit,
      since: iso(v.since),
    })),
    waiting: object.status?.waiting ?? 0,
    conditions: object.status?.conditions ?? [],
    createdAt: object.metadata.creationTimestamp,
  };
}
