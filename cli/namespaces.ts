import type { Client, ObjectKey } from '../api/client.ts';
import type { Kind } from '../crds/kinds.ts';
import { suggest } from '../controller/core/expression/suggest.ts';
import { CliError, exitCodes, usageError } from './exit.ts';
import { firstItems } from './resources/paging.ts';

/**
 * Where a run is: in `namespace`, or, as names of runs rarely repeat, in the only namespace that has one of that name.
 * @throws CliError when there is none, or several
 */
export async function findRun(client: Client, name: string, namespace: string | undefined): Promise<ObjectKey> {
  if (namespace !== undefined) return { namespace, name };
  const { items } = await firstItems((page) => client.runs({ name, ...page }));
  const namespaces = [...new Set(items.map((run) => run.namespace))].sort();
  if (namespaces.length === 0) {
    throw new CliError(`there is no run ${name}; see \`windlass get runs\``, exitCodes.notFound);
  }
  if (namespaces.length > 1) {
    throw usageError(`run ${name} is in namespaces ${namespaces.join(', ')}; say which with -n`);
  }
  return { namespace: namespaces[0] ?? '', name };
}

/** The namespaces that have a workflow. @throws CliError when none has */
export async function findWorkflowNamespace(client: Client, name: string): Promise<{ candidates: string[] }> {
  const { items } = await firstItems((page) => client.workflows(page));
  const candidates = items.filter((workflow) => workflow.name === name).map((workflow) => workflow.namespace);
  if (candidates.length > 0) return { candidates: candidates.sort() };
  const there = [...new Set(items.map((workflow) => workflow.name))].sort().join(', ');
  throw new CliError(
    there === ''
      ? `there is no workflow ${name}: no workflow is active yet; see \`windlass get promotions\``
      : `there is no workflow ${name}${suggest(name, there.split(', ')) || `; there is: ${there}`}`,
    exitCodes.notFound,
  );
}

/**
 * Where a workflow runs when nobody said: in the only namespace that has it, or in that of the one environment that comes
 * after no other, such as dev; never in one further down, which somebody must name.
 * @throws CliError when that leaves none, or several
 */
export async function chooseNamespace(client: Client, workflow: string): Promise<string> {
  const { candidates } = await findWorkflowNamespace(client, workflow);
  if (candidates.length === 1) return candidates[0] ?? '';
  const { items } = await client.environments();
  const first = items.filter((e) => candidates.includes(e.namespace) && (e.spec.after ?? []).length === 0);
  if (first.length === 1) return first[0]?.namespace ?? '';
  throw usageError(`workflow ${workflow} is in namespaces ${candidates.join(', ')}; say which with -n`);
}

/**
 * Where an object goes: where it says, else where the user says (of what lives in a project --project says it before -n),
 * else in a cluster the context's namespace, as with kubectl, and elsewhere the project's for what lives there and
 * `default` for workflows and runs.
 * @throws CliError when it says one and the user another
 */
export async function objectNamespace(
  client: Client,
  kind: Kind,
  written: string | undefined,
  asked: string | undefined,
): Promise<string> {
  const inProject = kind !== 'Workflow' && kind !== 'WorkflowRun';
  const project = inProject ? client.project : null;
  const wanted = project ?? asked;
  if (written !== undefined && wanted !== undefined && written !== wanted) {
    const option = project === null ? '-n' : '--project';
    throw usageError(`the ${kind} says namespace ${written}, and ${option} says ${wanted}`);
  }
  const said = written ?? wanted;
  if (said !== undefined) return said;
  if (client.defaultNamespace !== null) return client.defaultNamespace;
  return inProject ? projectNamespace(client) : 'default';
}

/** Where environments, sources and promotions are. @throws CliError when nobody said so and there may be several */
export async function projectNamespace(client: Client): Promise<string> {
  if (client.project !== null) return client.project;
  const { project } = await client.server();
  if (project === null) throw usageError('there may be several projects there; say which with --project');
  return project;
}
