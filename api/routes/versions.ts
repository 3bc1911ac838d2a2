import type { Context, Hono } from 'hono';
import { type Static, Type } from 'typebox';
import { callerOf, demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { notFound } from '../errors.ts';
import { projectOf } from '../projects.ts';
import { AnyObject, iso, Name, PageOf, pageQuery, projectQuery, TimeString } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';

const VersionName = Type.Object(
  {
    workflow: Type.String(),
    digest: Type.String(),
    ref: Type.String({ description: 'The tag, or the commit.' }),
    commit: Type.String(),
    at: TimeString('When it got this name.'),
  },
  { ref: 'VersionName' },
);
export type VersionName = Static<typeof VersionName>;

const Version = Type.Object(
  {
    digest: Type.String(),
    workflow: Type.String(),
    spec: AnyObject('As written.'),
    files: Type.Record(Type.String(), Type.String(), { description: 'path → sha256 of the content, in hex.' }),
  },
  { ref: 'Version' },
);
export type Version = Static<typeof Version>;

/** Immutable content by digest, and its names. */
export function versionRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/versions',
      id: 'listVersions',
      tag: 'versions',
      summary: 'Lists names of versions, newest first; a version may have many',
      query: only({
        workflow: Type.Optional(Name('Only of this workflow.')),
        ...projectQuery,
        ...pageQuery,
      }),
      response: { status: 200, description: 'A page of names.', schema: PageOf(VersionName, 'VersionPage') },
    },
    async ({ query: { workflow, project: named, limit, after } }, c) => {
      const project = await projectOf(deps, c, named);
      await demand(c, 'list', 'Workflow', project);
      const page = await deps.store.versions.list(
        { project, ...(workflow ? { workflow } : {}) },
        { limit, ...(after ? { after } : {}) },
      );
      const items: VersionName[] = page.items.map((v) => ({
        workflow: v.workflow,
        digest: v.digest,
        ref: v.ref,
        commit: v.commit,
        at: iso(v.at),
      }));
      return c.json({ items, next: page.next });
    },
  );

  addRoute(
    app,
    {
      method: 'GET',
      path: '/versions/:digest',
      id: 'getVersion',
      tag: 'versions',
      summary: 'Gets what a version holds',
      description:
        'For those who may get workflows in all namespaces; or in the project, when the version has a name there.',
      params: only({ digest: Type.String({ pattern: '^sha256:[0-9a-f]{64}$', description: 'The content digest.' }) }),
      query: only(projectQuery),
      response: { status: 200, description: 'The version.', schema: Version },
      problems: ['not-found'],
    },
    async ({ params, query }, c) => {
      await demandVersion(deps, c, params.digest, query.project);
      const snapshot = await deps.store.versions.get(params.digest);
      if (!snapshot) throw notFound(`version ${params.digest}`);
      const { digest, workflow, spec, files } = snapshot;
      return c.json({ digest, workflow, spec, files } satisfies Version);
    },
  );
}

/** Content has no namespace of its own: it is seen by whoever may see a project that has a name for it, or everything. */
async function demandVersion(
  deps: AppDependencies,
  c: Context,
  digest: string,
  named: string | undefined,
): Promise<void> {
  if (await callerOf(c).may('get', 'Workflow', null)) return;
  const project = await projectOf(deps, c, named);
  await demand(c, 'get', 'Workflow', project);
  if ((await deps.store.versions.namesOf(project, [digest])).length === 0) throw notFound(`version ${digest}`);
}
