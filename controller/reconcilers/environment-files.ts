import type { EnvironmentSpec } from '../../crds/environment.ts';
import type { WorkflowSource } from '../../crds/workflow-source.ts';
import type { Diagnostic } from '../core/diagnostic.ts';
import { readEnvironments, selectDocuments } from '../core/snapshot.ts';
import type { Repository } from '../git/repository.ts';
import type { Store } from '../store/types.ts';
import { readPaths } from './judge-commit.ts';
import { mustLead } from './leads.ts';
import { sourceKey } from './repositories.ts';

/** Says which source an Environment was read from; only those are taken away when their file goes. */
const managedBy = 'windlass.dev/source';
/** What a repository without environment files gets: one that follows the branch. */
const onlyEnvironment = 'dev';

/**
 * Makes the project's Environments what the files at the branch's tip say (on a laptop, where nobody applies them). One
 * mistake changes nothing: all diagnostics are returned and the environments stay as they were. @throws FenceLost
 */
export async function applyEnvironmentFiles(
  { store }: { store: Store },
  source: WorkflowSource,
  path: string,
  repository: Repository,
): Promise<Diagnostic[]> {
  const { namespace: project, name } = source.metadata;
  const tip = (await store.refs.list(sourceKey(source))).find((row) => row.ref === `refs/heads/${source.spec.branch}`);
  if (!tip) return [];
  const entries = await repository.tree(tip.commit, path);
  const selected = selectDocuments(entries, path);
  const ids = new Map(entries.map((entry) => [entry.path, entry.id]));
  const documents = await readPaths(
    repository,
    ids,
    selected.documents.map((entry) => entry.path),
  );
  const { environments, diagnostics } = readEnvironments(
    documents,
    (await store.objects.list('WorkflowSource', { namespace: project })).map(({ metadata }) => metadata.name),
  );
  const problems = [...selected.diagnostics, ...diagnostics].filter((diagnostic) => diagnostic.severity === 'error');
  if (problems.length > 0) return problems;

  const wanted = new Map<string, EnvironmentSpec>(environments.map(({ metadata, spec }) => [metadata.name, spec]));
  if (wanted.size === 0) {
    wanted.set(onlyEnvironment, { source: { name }, track: { branch: source.spec.branch } });
  }
  for (const [environment, spec] of wanted) {
    mustLead(store);
    await store.objects.apply({
      kind: 'Environment',
      metadata: { name: environment, namespace: project, labels: { [managedBy]: name } },
      spec,
    });
  }
  for (const { metadata } of await store.objects.list('Environment', {
    namespace: project,
    labels: { [managedBy]: name },
  })) {
    if (wanted.has(metadata.name)) continue;
    mustLead(store);
    await store.objects.delete('Environment', project, metadata.name, metadata.uid);
  }
  return [];
}
