import type { Hono } from 'hono';
import { type Static, Type } from 'typebox';
import { Condition } from '../../crds/metadata.ts';
import { stepKinds, type Workflow, WorkflowSpec } from '../../crds/workflow.ts';
import { demandList } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { getObject } from '../objects.ts';
import {
  NamespaceFilter,
  Name,
  namespacedParams,
  Nullable,
  PageOf,
  pageQuery,
  TimeString,
} from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';

const summary = {
  namespace: Type.String(),
  name: Type.String(),
  description: Nullable(Type.String(), 'What it is for.'),
  environment: Nullable(Type.String(), 'The environment that owns the namespace.'),
  digest: Nullable(Type.String(), 'What a run would execute now; null when there is nothing to run.'),
  version: Nullable(Type.String(), 'A name of that version: tag or commit.'),
  steps: Type.Array(Type.Object({ name: Type.String(), kind: Type.String() }), {
    description: '`finally` not counted.',
  }),
  conditions: Type.Array(Type.Unsafe<Condition>({ ...Condition, ref: 'Condition' })),
  createdAt: TimeString('When it was created here.'),
};
const WorkflowSummary = Type.Object(summary, { ref: 'WorkflowSummary' });
export type WorkflowSummary = Static<typeof WorkflowSummary>;
const WorkflowDetail = Type.Object(
  { ...summary, spec: Type.Unsafe<WorkflowSpec>({ ...WorkflowSpec, ref: 'WorkflowSpec' }) },
  { ref: 'WorkflowDetail' },
);
export type WorkflowDetail = Static<typeof WorkflowDetail>;

/** What can be run, by namespace. */
export function workflowRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/workflows',
      id: 'listWorkflows',
      tag: 'workflows',
      summary: 'Lists workflows, by namespace and name',
      query: only({
        namespace: NamespaceFilter,
        limit: pageQuery.limit,
        after: pageQuery.after,
      }),
      response: { status: 200, description: 'A page of workflows.', schema: PageOf(WorkflowSummary, 'WorkflowList') },
    },
    async ({ query }, c) => {
      const { within, said } = await demandList(c, deps.namespaces, 'Workflow', query.namespace);
      const there = await deps.store.objects.list('Workflow', query.namespace ? { namespace: query.namespace } : {});
      const all = there.filter(({ metadata }) => within === null || within.includes(metadata.namespace));
      const from = query.after === undefined ? 0 : all.findIndex((w) => isAfter(cursor(w), query.after ?? ''));
      const rest = from === -1 ? [] : all.slice(from);
      const items: WorkflowSummary[] = [];
      for (const object of rest.slice(0, query.limit)) items.push(await workflowSummary(deps, object));
      const last = rest[query.limit - 1];
      return c.json({ items, next: rest.length > query.limit && last ? cursor(last) : null, ...said });
    },
  );

  addRoute(
    app,
    {
      method: 'GET',
      path: '/workflows/:namespace/:name',
      id: 'getWorkflow',
      tag: 'workflows',
      summary: 'Gets a workflow with its spec',
      params: only({ namespace: namespacedParams.properties.namespace, name: Name('The workflow.') }),
      response: { status: 200, description: 'The workflow.', schema: WorkflowDetail },
      problems: ['not-found'],
    },
    async ({ params }, c) => {
      const object = await getObject(deps, c, 'Workflow', params.namespace, params.name);
      return c.json({ ...(await workflowSummary(deps, object)), spec: object.spec });
    },
  );
}

function cursor({ metadata }: Workflow): string {
  return `${metadata.namespace}/${metadata.name}`;
}

/** In the order of the list: by namespace, then by name; `/` must not take part in the comparison. */
function isAfter(a: string, b: string): boolean {
  const [namespaceA = '', nameA = ''] = a.split('/');
  const [namespaceB = '', nameB = ''] = b.split('/');
  return namespaceA === namespaceB ? nameA > nameB : namespaceA > namespaceB;
}

async function workflowSummary(deps: AppDependencies, object: Workflow): Promise<WorkflowSummary> {
  const { name, namespace } = object.metadata;
  const active = await deps.store.promotions.activeIn(namespace, name);
  return {
    namespace,
    name,
    description: object.spec.description ?? null,
    environment: active?.environment ?? null,
    digest: active ? active.digest : (object.status?.digest ?? null),
    version: active?.ref ?? null,
    steps: object.spec.steps.map((s) => ({ name: s.name, kind: stepKinds.find((k) => s[k] !== undefined) ?? '' })),
    conditions: object.status?.conditions ?? [],
    createdAt: object.metadata.creationTimestamp,
  };
}
