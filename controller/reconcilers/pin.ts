import type { JsonObject } from '../../crds/json.ts';
import type { Governance } from '../seams/governance.ts';
import type { Store } from '../store/types.ts';
import type { AppliedVersions } from './applied-versions.ts';

export interface PinDependencies {
  store: Pick<Store, 'objects' | 'promotions'>;
  applied: AppliedVersions;
  /** Asked whether a namespace still agrees to its environment; left out: what began while it did goes on. */
  governance?: Pick<Governance, 'admits'>;
}

/** The version that a run executes, or why there is none yet. */
export type Pin =
  | {
      digest: string;
      version: string | null;
      environment: string | null;
      environmentUid: string | null;
      values: JsonObject;
    }
  | { waits: { reason: string; message: string } };

/**
 * In a namespace that an environment owns that is the active version; elsewhere the Workflow as it stands now, stored as a
 * version.
 */
export async function pinVersion(
  { store, applied, governance }: PinDependencies,
  namespace: string,
  workflow: string,
): Promise<Pin> {
  const active = await store.promotions.activeIn(namespace, workflow);
  if (active) {
    const withdrawn = governance && (await withdrawnConsent(governance, active.project, namespace));
    if (withdrawn) return { waits: withdrawn };
    if (active.digest === null) {
      const message = `environment ${active.environment} has no active version of ${workflow}; promote one first`;
      return { waits: { reason: 'NotPromoted', message } };
    }
    const environment = await store.objects.get('Environment', active.project, active.environment);
    const values = (environment?.spec.values ?? {}) as JsonObject;
    const { digest, ref: version, uid: environmentUid } = active;
    return { digest, version, environment: active.environment, environmentUid, values };
  }
  const found = await store.objects.get('Workflow', namespace, workflow);
  if (!found) {
    const message = `there is no workflow ${workflow} in namespace ${namespace}; apply it, or correct its name`;
    return { waits: { reason: 'WorkflowNotFound', message } };
  }
  const pinned = await applied.of(found);
  if ('message' in pinned) return { waits: { reason: 'WorkflowInvalid', message: pinned.message } };
  return { digest: pinned.digest, version: null, environment: null, environmentUid: null, values: {} };
}

/** Why nothing new begins in an environment's namespace; null: it agrees. One that is going takes nothing new by itself. */
export async function withdrawnConsent(
  governance: Pick<Governance, 'admits'>,
  project: string,
  namespace: string,
): Promise<{ reason: string; message: string } | null> {
  const verdict = await governance.admits(project, namespace);
  return verdict.ok || verdict.reason === 'NamespaceTerminating' ? null : verdict;
}
