import type { WorkflowSummary } from '../../api/client.ts';
import { usageError } from '../exit.ts';
import { findWorkflowNamespace } from '../namespaces.ts';
import { formatAge, none, shortDigest, shortRef } from '../output/text.ts';
import { readiness } from './conditions.ts';
import { firstItems } from './paging.ts';
import type { Resource } from './resource.ts';

export const workflows: Resource<WorkflowSummary> = {
  names: ['workflows', 'workflow', 'wwf'],
  options: ['namespace'],
  columns: [
    { head: 'NAMESPACE', value: (w) => w.namespace },
    { head: 'NAME', value: (w) => w.name },
    { head: 'ENVIRONMENT', value: (w) => w.environment ?? none },
    { head: 'VERSION', value: (w) => (w.version === null ? none : shortRef(w.version)) },
    { head: 'DIGEST', value: (w) => shortDigest(w.digest) },
    { head: 'STEPS', value: (w) => String(w.steps.length) },
    { head: 'READY', value: (w, { paint }) => readiness(w.conditions, paint) },
    { head: 'AGE', value: (w, { now }) => formatAge(w.createdAt, now) },
  ],
  list: (client, { namespace }) =>
    firstItems((page) => client.workflows({ ...page, ...(namespace ? { namespace } : {}) })),
  async get(client, name, { namespace }) {
    if (namespace !== undefined) return client.workflow({ namespace, name });
    const { candidates } = await findWorkflowNamespace(client, name);
    if (candidates.length > 1) {
      throw usageError(`workflow ${name} is in namespaces ${candidates.join(', ')}; say which with -n`);
    }
    return client.workflow({ namespace: candidates[0] ?? '', name });
  },
  key: (w) => `${w.namespace}/${w.name}`,
};
