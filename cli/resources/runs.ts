import type { Client, RunResourcePhase, RunSummary } from '../../api/client.ts';
import { findRun } from '../namespaces.ts';
import { causeFirst, formatAge, formatSpan, none, oneLine, shortDigest, shortRef } from '../output/text.ts';
import { firstItems } from './paging.ts';
import type { ListOptions, Resource } from './resource.ts';

const defaultLimit = 50;

export const runs: Resource<RunSummary> = {
  names: ['runs', 'run', 'workflowruns', 'workflowrun', 'wrun'],
  options: ['namespace', 'workflow', 'environment', 'phase', 'failed', 'since', 'limit', 'parent'],
  columns: [
    { head: 'NAMESPACE', value: (run) => run.namespace },
    { head: 'NAME', value: (run) => run.name },
    { head: 'WORKFLOW', value: (run) => run.workflow },
    { head: 'VERSION', value: (run) => (run.version === null ? shortDigest(run.digest) : shortRef(run.version)) },
    { head: 'PHASE', value: (run, { paint }) => paint(run.phase) },
    { head: 'DURATION', value: (run, { now }) => runSpan(run, now) },
    { head: 'AGE', value: (run, { now }) => formatAge(run.createdAt, now) },
    { head: 'REASON', value: (run) => reasonOf(run) },
  ],
  async list(client, { limit = defaultLimit, parent, ...options }) {
    // A run and its child runs are in one namespace.
    const key = parent === undefined ? null : await findRun(client, parent, options.namespace);
    const of = key === null ? {} : { parent: (await client.run(key)).id };
    return firstItems((page) => client.runs({ ...runQuery(options), ...of, ...page }), limit);
  },
  get: async (client, name, { namespace }) => client.run(await findRun(client, name, namespace)),
  key: (run) => run.id,
};

function runQuery({ phase, ...rest }: Omit<ListOptions, 'parent'>): Parameters<Client['runs']>[0] {
  return { ...rest, ...(phase ? { phase: phase as RunResourcePhase[] } : {}) };
}

/** Why it did not succeed, or does not go on. */
function reasonOf({ error, waits }: RunSummary): string {
  if (error !== null) return oneLine(causeFirst(error.message), 60);
  return waits === null ? '' : oneLine(`${waits.reason}: ${waits.message}`, 100);
}

/** How long it took, or has taken so far. */
export function runSpan(run: { startedAt: string | null; finishedAt: string | null }, now: number): string {
  if (run.startedAt === null) return none;
  return formatSpan((run.finishedAt === null ? now : Date.parse(run.finishedAt)) - Date.parse(run.startedAt));
}
