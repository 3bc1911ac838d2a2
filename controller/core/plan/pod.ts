import type { JsonObject } from '../../../crds/json.ts';
import type { StepSpec } from '../../../crds/workflow.ts';
import type { PodSettings } from './types.ts';

/** What a step says of its Pod. `defaultImage`: of the workflow. */
export function buildPodSettings(step: StepSpec, defaultImage: string | undefined): PodSettings {
  return {
    image: step.image ?? defaultImage ?? null,
    resources: (step.resources as JsonObject | undefined) ?? null,
    nodeSelector: step.nodeSelector ?? {},
    tolerations: step.tolerations ?? [],
    affinity: (step.affinity as JsonObject | undefined) ?? null,
    volumes: (step.volumes ?? []) as JsonObject[],
    imagePullSecrets: step.imagePullSecrets ?? [],
    serviceAccountName: step.serviceAccountName ?? null,
    security: step.security ?? 'restricted',
    podTemplate: (step.podTemplate as JsonObject | undefined) ?? {},
  };
}
