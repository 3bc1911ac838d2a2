import type { Context } from 'hono';
import { callerOf } from './access.ts';
import type { AppDependencies } from './dependencies.ts';
import { RequestProblem } from './errors.ts';

/**
 * The project (a namespace) that sources, environments and promotions are asked for in: the one that is named, else the
 * only one of this home, else the only one whose environments the caller may list.
 * @throws RequestProblem 400 that lists the projects to choose from
 */
export async function projectOf(deps: AppDependencies, c: Context, named: string | undefined): Promise<string> {
  const only = named ?? deps.project;
  if (only !== null) return only;
  const caller = callerOf(c);
  const { objects } = deps.store;
  const there = [...(await objects.list('Environment')), ...(await objects.list('WorkflowSource'))];
  const projects = [...new Set(there.map(({ metadata }) => metadata.namespace))].sort();
  const visible = (await caller.may('list', 'Environment', null))
    ? projects
    : await Promise.all(projects.map((p) => caller.may('list', 'Environment', p))).then((allowed) =>
        projects.filter((_, i) => allowed[i]),
      );
  const [first, ...more] = visible;
  if (first !== undefined && more.length === 0) return first;
  const choice = first === undefined ? '' : `; there are ${visible.join(', ')}`;
  const message = `say which project, a namespace with sources and environments${choice}`;
  throw new RequestProblem('invalid-parameter', `The query is wrong: project: ${message}.`, {
    problems: [{ path: 'project', message, rule: 'project' }],
  });
}
