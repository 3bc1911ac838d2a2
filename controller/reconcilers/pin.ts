import type { JsonObject } from '../../crds/json.ts';
import type { Clock } from '../seams/clock.ts';
import type { Store } from '../store/types.ts';
import { judgeWorkflow } from './judge-workflow.ts';

export interface PinDependencies {
  store: Pick<Store, 'objects' | 'promotions' | 'versions'>;
  clock: Clock;
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
export async function pinVersion({ store, clock }: PinDependencies, namespace: string, workflow: string): Promise<Pin> {
  const active = await store.promotions.activeIn(namespace, workflow);
  if (active) {
    if (active.digest === null) {
      const message = `environment ${active.environment} has no active version of ${workflow}; promote one first`;
      return { waits: { reason: 'NotPromoted', message } };
    }
    const environment = await store.objects.get('Environment', active.project, active.environment);
    const values = (environment?.spec.values ?? {}) as JsonObject;
    const { digest, ref: version, uid: environmentUid } = active;
    return { digest, version, environment: active.environment, environmentUid, values };
  }
  const applied = await store.objects.get('Workflow', namespace, workflow);
  if (!applied) {
    const message = `there is no workflow ${workflow} in namespace ${namespace}; apply it, or correct its name`;
    return { waits: { reason: 'WorkflowNotFound', message } };
  }
  const judged = judgeWorkflow(applied);
  if (!judged.ok) return { waits: { reason: 'WorkflowInvalid', message: judged.message } };
  await store.versions.put([judged.snapshot], new Map(), clock.now());
  return { digest: judged.snapshot.digest, version: null, environment: null, environmentUid: null, values: {} };
}
