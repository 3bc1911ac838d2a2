import { isDeepStrictEqual } from 'node:util';
import type { Kind, ObjectByKind } from '../crds/kinds.ts';
import { apiVersion } from '../crds/metadata.ts';
import type { Context } from 'hono';
import { callerOf, demand } from './access.ts';
import type { AppDependencies } from './dependencies.ts';
import { notFound, RequestProblem } from './errors.ts';
import type { InvalidField } from './problem.ts';

/** Fields of `spec` that never change once the object exists; a test holds them equal to the kinds' CEL rules. */
export const immutableFields: Partial<Record<Kind, readonly string[]>> = {
  WorkflowRun: ['priority', 'replay', 'workflow', 'inputs'],
  Promotion: ['environment', 'ref', 'workflows'],
};

/** @throws RequestProblem 403; 404 that lists what there is in the namespace, to those who may list it */
export async function getObject<K extends Kind>(
  deps: AppDependencies,
  c: Context,
  kind: K,
  namespace: string,
  name: string,
): Promise<ObjectByKind[K]> {
  await demand(c, 'get', kind, namespace, name);
  const object = await deps.store.objects.get(kind, namespace, name);
  if (object) return object;
  const present = (await callerOf(c).may('list', kind, namespace))
    ? await deps.store.objects.list(kind, { namespace })
    : undefined;
  throw notFound(
    `${kind} ${name} in namespace ${namespace}`,
    present?.map((o) => o.metadata.name),
  );
}

/**
 * That a repository owns the object, and what to say to whoever would change it; null when nothing does. What somebody
 * changed here would be made what the repository says again.
 */
export async function findOwner(
  deps: AppDependencies,
  kind: Kind,
  { namespace, name }: { namespace: string; name: string },
): Promise<{ uid: string; problem: RequestProblem } | null> {
  if (kind !== 'Environment' && kind !== 'Workflow') return null;
  const object = await deps.store.objects.get(kind, namespace, name);
  if (object === null) return null;
  const { uid, labels } = object.metadata;
  const owner = labels[kind === 'Environment' ? 'windlass.dev/source' : 'windlass.dev/environment'];
  if (owner === undefined) return null;
  const [ownerKind, project] =
    kind === 'Environment'
      ? (['WorkflowSource', namespace] as const)
      : (['Environment', labels['windlass.dev/project'] ?? deps.project] as const);
  // Without its owner nothing else would ever take it away.
  if (project === null || (await deps.store.objects.get(ownerKind, project, owner)) === null) return null;
  const from =
    kind === 'Environment' ? `environments/${name}.yaml of source ${owner}` : `what was promoted into ${owner}`;
  return { uid, problem: new RequestProblem('conflict', `${kind} ${name} comes from ${from}; change it by a merge.`) };
}

/** @throws RequestProblem 422 with every problem. */
export function demandValid(deps: AppDependencies, kind: Kind, draft: Record<string, unknown>): void {
  const problems = deps.validate(kind, { ...draft, apiVersion, kind });
  if (problems.length > 0) throw invalid(kind, problems);
}

/** @throws RequestProblem 422 when a field that must not change would. */
export function demandUnchanged(kind: Kind, before: unknown, after: unknown): void {
  const [was, is] = [before as Record<string, unknown>, after as Record<string, unknown>];
  const problems = (immutableFields[kind] ?? [])
    .filter((field) => !isDeepStrictEqual(was[field], is[field]))
    .map((field) => ({
      path: `spec.${field}`,
      message: `${field} cannot be changed; make a new ${kind}`,
      rule: 'immutable',
    }));
  if (problems.length > 0) throw invalid(kind, problems);
}

function invalid(kind: Kind, found: InvalidField[]): RequestProblem {
  // whoever found them may know more than a caller can use
  const problems = found.map(({ path, message, rule }) => ({ path, message, rule }));
  const list = problems.map((p) => (p.path ? `${p.path}: ${p.message}` : p.message)).join('; ');
  return new RequestProblem('invalid', `The ${kind} is not valid: ${list}.`, { problems });
}
