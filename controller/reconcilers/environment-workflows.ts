import type { Environment } from '../../crds/environment.ts';
import type { Workflow, WorkflowSpec } from '../../crds/workflow.ts';
import type { Draft } from '../seams/objects.ts';
import type { Store } from '../store/types.ts';
import { mustLead } from './leads.ts';

/** Says which environment put a Workflow there; such a Workflow is a projection of the active version. */
export const environmentLabel = 'windlass.dev/environment';
export const projectLabel = 'windlass.dev/project';
/** The digest a projection shows; labels are too short for one, so it is an annotation. */
export const digestAnnotation = 'windlass.dev/digest';

/**
 * Makes the Workflows in an environment's namespace what is active there: applied when they are missing or show another
 * version, deleted when they were retired, also from a namespace that was the environment's before. What somebody edited
 * in one is seen to by reconcilers/workflow.ts. Returns the names that a Workflow of somebody else has: those are left.
 */
export async function syncProjections(store: Store, environment: Environment): Promise<{ taken: string[] }> {
  const { name, namespace: project } = environment.metadata;
  const namespace = environment.spec.namespace ?? name;
  const active = await store.promotions.active(project, name);
  const taken: string[] = [];
  for (const { workflow, digest } of active) {
    const present = await store.objects.get('Workflow', namespace, workflow);
    if (present && isForeign(present)) taken.push(workflow);
    else if (!present || isOfAnother(present, { project, environment: name, digest })) {
      mustLead(store);
      await store.objects.apply(await projectionOf(store, { project, environment: name, namespace, workflow, digest }));
    }
  }
  for (const { metadata } of await projectionsOf(store, project, name)) {
    const stays = metadata.namespace === namespace && active.some(({ workflow }) => workflow === metadata.name);
    if (stays) continue;
    mustLead(store);
    await store.objects.delete('Workflow', metadata.namespace, metadata.name, metadata.uid);
  }
  return { taken };
}

/** The Workflow that shows an active version in an environment's namespace. @throws when the version is not stored */
export async function projectionOf(
  store: Store,
  of: Marks & { namespace: string; workflow: string },
): Promise<Draft<'Workflow'>> {
  const { project, environment, namespace, workflow, digest } = of;
  const snapshot = await store.versions.get(digest);
  if (!snapshot) throw new Error(`version ${digest} of ${workflow} is active in ${environment} but not stored`);
  return {
    kind: 'Workflow',
    metadata: {
      name: workflow,
      namespace,
      labels: { [projectLabel]: project, [environmentLabel]: environment },
      annotations: { [digestAnnotation]: digest },
    },
    spec: snapshot.spec as unknown as WorkflowSpec,
  };
}

/**
 * Whether a Workflow was put into an environment's namespace by somebody else. One that lost its marks to a `replace` is
 * known by its status, which only this controller writes.
 */
export function isForeign({ metadata, status }: Workflow): boolean {
  const marked = metadata.labels[environmentLabel] ?? metadata.annotations[digestAnnotation];
  return marked === undefined && !status?.conditions?.some(({ reason }) => reason === 'Promoted');
}

/** What marks a projection: of which environment it is, and which version it shows. */
export interface Marks {
  project: string;
  environment: string;
  digest: string;
}

/** Whether it shows another version, or was put there by the environment that owned the namespace before. */
export function isOfAnother(workflow: Workflow, marks: Marks): boolean {
  return marksOf(workflow, marks).some(({ found, wanted }) => found !== undefined && found !== wanted);
}

/** The marks that somebody took away, as paths. */
export function lostMarks(workflow: Workflow, marks: Marks): string[] {
  return marksOf(workflow, marks).flatMap(({ path, found }) => (found === undefined ? [path] : []));
}

function marksOf({ metadata: { labels, annotations } }: Workflow, { project, environment, digest }: Marks) {
  return [
    { path: `metadata.labels[${projectLabel}]`, found: labels[projectLabel], wanted: project },
    { path: `metadata.labels[${environmentLabel}]`, found: labels[environmentLabel], wanted: environment },
    { path: `metadata.annotations[${digestAnnotation}]`, found: annotations[digestAnnotation], wanted: digest },
  ];
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
