import type { Hono } from 'hono';
import { Type } from 'typebox';
import { type Kind, kinds } from '../../crds/kinds.ts';
import { apiVersion } from '../../crds/metadata.ts';
import type { Draft } from '../../controller/seams/objects.ts';
import { callerOf, demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { notFound, RequestProblem } from '../errors.ts';
import { demandUnchanged, demandValid, findOwner, getObject } from '../objects.ts';
import { draftSchema, looseDraft, objectSchema } from '../resources/object.ts';
import { namespacedParams, namespaceParams, Name, PageOf, pageQuery } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';

/** The objects themselves, the same four operations for every kind: list, get, apply, delete. */
export function objectRoutes(app: Hono, deps: AppDependencies): void {
  for (const kind of Object.keys(kinds) as Kind[]) objectRoutesOf(app, deps, kind);
}

function objectRoutesOf(app: Hono, deps: AppDependencies, kind: Kind): void {
  const { plural } = kinds[kind];
  const [list, one] = [`/namespaces/:namespace/${plural}`, `/namespaces/:namespace/${plural}/:name`];
  const schema = objectSchema(kind);

  addRoute(
    app,
    {
      method: 'GET',
      path: list,
      id: `list${kind}Objects`,
      tag: 'objects',
      summary: `Lists ${kind} objects of a namespace, by name`,
      params: namespaceParams,
      query: only({ limit: pageQuery.limit, after: Type.Optional(Name('`next` of the page before.')) }),
      response: { status: 200, description: 'A page of objects.', schema: PageOf(schema, `${kind}ObjectPage`) },
    },
    async ({ params, query: { limit, after } }, c) => {
      await demand(c, 'list', kind, params.namespace);
      const all = await deps.store.objects.list(kind, { namespace: params.namespace });
      const rest = after === undefined ? all : all.filter((o) => o.metadata.name > after);
      const items = rest.slice(0, limit);
      return c.json({ items, next: rest.length > limit ? (items.at(-1)?.metadata.name ?? null) : null });
    },
  );

  addRoute(
    app,
    {
      method: 'GET',
      path: one,
      id: `get${kind}Object`,
      tag: 'objects',
      summary: `Gets a ${kind} object`,
      params: namespacedParams,
      response: { status: 200, description: 'The object.', schema },
      problems: ['not-found'],
    },
    async ({ params }, c) => c.json(await getObject(deps, c, kind, params.namespace, params.name)),
  );

  addRoute(
    app,
    {
      method: 'PUT',
      path: one,
      id: `apply${kind}`,
      tag: 'objects',
      summary: `Creates a ${kind}, or replaces its spec, labels and annotations`,
      description:
        'An object that was read may be sent back: what the server sets is left alone. With metadata.uid or ' +
        'metadata.resourceVersion, another object or state is a 409.',
      params: namespacedParams,
      body: looseDraft,
      documentedBody: draftSchema(kind),
      response: { status: 200, description: 'The object as it is now.', schema },
      problems: ['conflict'],
    },
    async ({ params, body }, c) => {
      const draft = draftOf(deps, kind, params, body as Sent);
      const owned = await findOwner(deps, kind, params);
      const { object } = await callerOf(c).objects.apply(draft, (present) => {
        demandSame((body as Sent).metadata ?? {}, present?.metadata);
        if (owned !== null && present?.metadata.uid === owned.uid) throw owned.problem;
        if (present) demandUnchanged(kind, present.spec, draft.spec);
      });
      return c.json(object);
    },
  );

  addRoute(
    app,
    {
      method: 'DELETE',
      path: one,
      id: `delete${kind}`,
      tag: 'objects',
      summary: `Deletes a ${kind}; history stays`,
      params: namespacedParams,
      response: { status: 204, description: 'It is gone.' },
      problems: ['not-found', 'conflict'],
    },
    async ({ params }, c) => {
      const owned = await findOwner(deps, kind, params);
      if (owned !== null) throw owned.problem;
      if (!(await callerOf(c).objects.delete(kind, params.namespace, params.name))) {
        throw notFound(`${kind} ${params.name} in namespace ${params.namespace}`);
      }
      return c.body(null, 204);
    },
  );
}

interface Sent {
  apiVersion?: string;
  kind?: string;
  metadata?: Record<string, unknown> & {
    name?: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    uid?: string;
    resourceVersion?: string;
  };
  spec?: unknown;
}

/** Set by the server; an object that was read may be sent back with them. */
const serverMetadata = new Set([
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'finalizers',
]);

/** What of the body is the writer's, checked: unknown fields stay in and are refused like in a file. */
function draftOf<K extends Kind>(
  deps: AppDependencies,
  kind: K,
  path: { namespace: string; name: string },
  sent: Sent,
): Draft<K> {
  const mismatches = [
    { path: 'apiVersion', given: sent.apiVersion, wanted: apiVersion },
    { path: 'kind', given: sent.kind, wanted: kind },
    { path: 'metadata.name', given: sent.metadata?.name, wanted: path.name },
    { path: 'metadata.namespace', given: sent.metadata?.namespace, wanted: path.namespace },
  ].filter(({ given, wanted }) => given !== undefined && given !== wanted);
  if (mismatches.length > 0) {
    const problems = mismatches.map(({ path: at, given, wanted }) => ({
      path: at,
      message: `is ${given}, but the path says ${wanted}`,
      rule: 'path-mismatch',
    }));
    throw new RequestProblem('invalid', `The ${kind} does not fit its path.`, { problems });
  }
  const { status: _, ...written } = sent as Sent & { status?: unknown };
  const metadata = Object.fromEntries(Object.entries(sent.metadata ?? {}).filter(([key]) => !serverMetadata.has(key)));
  demandValid(deps, kind, { ...written, metadata: { ...metadata, ...path } });
  const { labels, annotations } = sent.metadata ?? {};
  return {
    kind,
    metadata: { ...path, ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}) },
    spec: sent.spec as Draft<K>['spec'],
  };
}

function demandSame(
  sent: { uid?: string; resourceVersion?: string },
  present: { uid: string; resourceVersion: string } | undefined,
): void {
  if (sent.uid !== undefined && sent.uid !== present?.uid) {
    throw new RequestProblem('conflict', 'It was deleted or replaced since it was read (metadata.uid is another).');
  }
  if (sent.resourceVersion !== undefined && sent.resourceVersion !== present?.resourceVersion) {
    throw new RequestProblem(
      'conflict',
      'It was changed since it was read (metadata.resourceVersion is another); read it again.',
    );
  }
}
