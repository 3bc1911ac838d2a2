import type { Environment } from '../../crds/environment.ts';
import type { WorkflowSpec } from '../../crds/workflow.ts';
import type { Store } from '../store/types.ts';

/** Says which environment put a Workflow there; such a Workflow is a projection of the active version. */
export const environmentLabel = 'windlass.dev/environment';
const projectLabel = 'windlass.dev/project';
/** The digest a projection shows; labels are too short for one, so it is an annotation. */
export const digestAnnotation = 'windlass.dev/digest';

/**
 * Makes the Workflows in an environment's namespace what is active there: applied when they differ, deleted when they
 * were retired. A Workflow that somebody applied by hand is left for its reconciler to report as NotPromoted.
 */
export async function syncProjections(store: Store, environment: Environment): Promise<void> {
  const { name, namespace: project } = environment.metadata;
  const namespace = environment.spec.namespace ?? name;
  const active = await store.promotions.active(project, name);
  const present = await store.objects.list('Workflow', { namespace });
  for (const { workflow, digest } of active) {
    const snapshot = await store.versions.get(digest);
    if (!snapshot) throw new Error(`version ${digest} of ${workflow} is active in ${name} but not stored`);
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
  for (const { metadata } of present) {
    const stays = active.some(({ workflow }) => workflow === metadata.name);
    if (!stays && metadata.labels[environmentLabel] === name && metadata.labels[projectLabel] === project) {
      await store.objects.delete('Workflow', namespace, metadata.name, metadata.uid);
    }
  }
}

/** Takes away every projection of an environment that is gone. */
export async function retireProjections(store: Store, project: string, environment: string): Promise<void> {
  const labels = { [projectLabel]: project, [environmentLabel]: environment };
  for (const { metadata } of await store.objects.list('Workflow', { labels })) {
    await store.objects.delete('Workflow', metadata.namespace, metadata.name, metadata.uid);
  }
}
