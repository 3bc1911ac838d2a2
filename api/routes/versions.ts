import type { Hono } from 'hono';
import { type Static, Type } from 'typebox';
import type { AppDependencies } from '../dependencies.ts';
import { notFound } from '../errors.ts';
import { AnyObject, iso, Name, PageOf, pageQuery, TimeString } from '../resources/shared.ts';
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
        ...pageQuery,
      }),
      response: { status: 200, description: 'A page of names.', schema: PageOf(VersionName, 'VersionPage') },
    },
    async ({ query: { workflow, limit, after } }, c) => {
      const page = await deps.store.versions.list(
        { project: deps.project, ...(workflow ? { workflow } : {}) },
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
      params: only({ digest: Type.String({ pattern: '^sha256:[0-9a-f]{64}$', description: 'The content digest.' }) }),
      response: { status: 200, description: 'The version.', schema: Version },
      problems: ['not-found'],
    },
    async ({ params }, c) => {
      const snapshot = await deps.store.versions.get(params.digest);
      if (!snapshot) throw notFound(`version ${params.digest}`);
      const { digest, workflow, spec, files } = snapshot;
      return c.json({ digest, workflow, spec, files } satisfies Version);
    },
  );
}
