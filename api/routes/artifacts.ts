import { Readable } from 'node:stream';
import type { Context, Hono } from 'hono';
import { type Static, Type } from 'typebox';
import { wholeStep } from '../../controller/core/run/types.ts';
import { demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { notFound, RequestProblem } from '../errors.ts';
import { namespacedParams, Nullable, PageOf, pageQuery } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';
import { findRun } from '../runs.ts';
import { stepParams } from './runs.ts';

const RunArtifact = Type.Object(
  {
    step: Type.String({ description: 'The step that has kept it.' }),
    item: Type.Integer({ description: 'The item of its forEach; -1: the step itself.' }),
    label: Nullable(Type.String(), 'What the item is called; null for the step itself.'),
    name: Type.String({ description: 'As `artifacts.out` names it.' }),
    digest: Type.String({ description: '`sha256:` and the hex of the content.' }),
    bytes: Type.Integer({ description: 'Size of the content.' }),
    folder: Type.Boolean({ description: 'True: the content is a tar archive of a folder.' }),
    executable: Type.Optional(Type.Literal(true, { description: 'Of a file that may be run.' })),
  },
  { ref: 'RunArtifact' },
);
export type RunArtifact = Static<typeof RunArtifact>;

/** Files and folders that steps have kept. Who may read a run may read them, as its output. */
export function artifactRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/namespaces/:namespace/runs/:name/artifacts',
      id: 'listRunArtifacts',
      tag: 'artifacts',
      summary: 'Lists what the steps of a run have kept',
      description: 'Those of whole steps first, then those of items, by their place.',
      params: namespacedParams,
      query: only(pageQuery),
      response: { status: 200, description: 'A page of artifacts.', schema: PageOf(RunArtifact, 'RunArtifactPage') },
      problems: ['not-found'],
    },
    async ({ params, query }, c) => {
      await demand(c, 'get', 'WorkflowRun', params.namespace, params.name);
      const { row } = await findRun(deps, params.namespace, params.name);
      return c.json(row ? await deps.store.artifacts.ofRun(row.id, query) : { items: [], next: null });
    },
  );

  addRoute(
    app,
    {
      method: 'GET',
      path: '/namespaces/:namespace/runs/:name/steps/:step/artifacts/:artifact',
      id: 'downloadArtifact',
      tag: 'artifacts',
      summary: 'Reads the content of an artifact',
      description: 'The bytes of the file, or a tar archive of the folder. ETag is the digest: it never changes.',
      params: only({
        ...stepParams.properties,
        artifact: Type.String({ pattern: '^[a-z][a-z0-9_]{0,39}$', description: 'Its name.' }),
      }),
      query: only({
        item: Type.Integer({
          minimum: wholeStep,
          maximum: 9_999,
          default: wholeStep,
          description: 'Of a forEach: which item, from 0. Default: the step itself.',
        }),
      }),
      response: { status: 200, description: 'The content.', bytes: true },
      problems: ['not-found'],
    },
    async ({ params: { namespace, name, step, artifact }, query: { item } }, c) => {
      await demand(c, 'get', 'WorkflowRun', namespace, name);
      const { row } = await findRun(deps, namespace, name);
      const kept = (row && (await deps.store.runs.step(row.id, step, item)))?.artifacts ?? {};
      const ref = Object.hasOwn(kept, artifact) ? kept[artifact] : undefined;
      const of = item === wholeStep ? `step ${step}` : `item ${item} of step ${step}`;
      if (!ref) {
        const ofItems = row !== null && item === wholeStep ? await keptByItems(deps, row.id, step) : null;
        if (ofItems?.names.includes(artifact)) {
          const which = `--item 0..${ofItems.last} (item=0..${ofItems.last} in a request)`;
          throw new RequestProblem('not-found', `Artifact ${artifact} of step ${step} is kept per item: say ${which}.`);
        }
        const names = [...Object.keys(kept), ...(ofItems?.names ?? [])];
        throw notFound(`artifact ${artifact} of ${of} in run ${name}`, [...new Set(names)].toSorted());
      }
      const file = ref.folder ? `${artifact}.tar` : artifact;
      return send(c, deps, { ...ref, file, what: `artifact ${artifact} of ${of}` });
    },
  );
}

/** What the items of a forEach have kept, as far as the first hundred tell; null: it has none. `last`: its last item. */
async function keptByItems({ store }: AppDependencies, runId: string, step: string) {
  const items = (await store.runs.step(runId, step, wholeStep))?.items ?? 0;
  if (items === 0) return null;
  const page = await store.runs.items(runId, step, { limit: 100 });
  return { names: page.items.flatMap(({ artifacts }) => Object.keys(artifacts)), last: items - 1 };
}

async function send(
  c: Context,
  deps: AppDependencies,
  artifact: { digest: string; folder: boolean; file: string; what: string },
): Promise<Response> {
  const { digest, folder, file, what } = artifact;
  const headers = {
    etag: `"${digest}"`,
    // The name has letters, digits, _ and a dot only.
    'content-disposition': `attachment; filename="${file}"`,
  };
  if (!deps.artifacts)
    throw new RequestProblem('unavailable', 'This controller has no place for artifacts: see --artifacts.');
  const found = await deps.artifacts.get(digest);
  if (found === null) throw new RequestProblem('not-found', `The content of ${what} is no longer kept.`);
  return c.body(Readable.toWeb(found.content) as ReadableStream<Uint8Array>, 200, {
    ...headers,
    'content-type': folder ? 'application/x-tar' : 'application/octet-stream',
    'content-length': String(found.bytes),
  });
}
