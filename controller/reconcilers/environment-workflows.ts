import type { Environment } from '../../crds/environment.ts';
import type { Workflow, WorkflowSpec } from '../../crds/workflow.ts';
import type { Store } from '../store/types.ts';
import { mustLead } from './leads.ts';

/** Says which environment put a Workflow there; such a Workflow is a projection of the active version. */
const environmentLabel = 'windlass.dev/environment';
const projectLabel = 'windlass.dev/project';
/** The digest a projection shows; labels are too short for one, so it is an annotation. */
export const digestAnnotation = 'windlass.dev/digest';

/**
 * Makes the Workflows in an environment's namespace what is active there: applied when they differ, deleted when they
 * were retired, also from a namespace that was the environment's before. A Workflow that somebody applied by hand is left
 * for its reconciler to report as NotPromoted.
 */
export async function syncProjections(store: Store, environment: Environment): Promise<void> {
  const { name, namespace: project } = environment.metadata;
  const namespace = environment.spec.namespace ?? name;
  const active = await store.promotions.active(project, name);
  for (const { workflow, digest } of active) {
    const snapshot = await store.versions.get(digest);
    if (!snapshot) throw new Error(`version ${digest} of ${workflow} is active in ${name} but not stored`);
    mustLead(store);
    await store.objects.apply({
      kind: 'Workflow',
      metadata: {
        name: workflow,
        namespace,
        labels: { [projectLabel]: project, [environmentLabel]: name },
        annotations: { [digestAnnotation]: digest },
      },
      spec: snapshot.spec as unknown as WorkflowSpec,
    });
  }
  for (const { metadata } of await projectionsOf(store, project, name)) {
    const stays = metadata.namespace === namespace && active.some(({ workflow }) => workflow === metadata.name);
    if (stays) continue;
    mustLead(store);
    await store.objects.delete('Workflow', metadata.namespace, metadata.name, metadata.uid);
  }
}

/** Takes away every projection of an environment that is gone. */
export async function retireProjections(store: Store, project: string, environment: string): Promise<void> {
  for (const { metadata } of await projectionsOf(store, project, environment)) {
    mustLead(store);
    await store.objects.delete('Workflow', metadata.namespace, metadata.name, metadata.uid);
  }
}

async function projectionsOf(store: Store, project: string, environment: string): Promise<Workflow[]> {
  const labels = { [projectLabel]: project, [environmentLabel]: environment };
  return await store.objects.list('Workflow', { labels });
}
