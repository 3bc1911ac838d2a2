import type { JsonObject, JsonValue } from '../../../crds/json.ts';

/**
 * What in a Pod's spec reaches beyond the Pod: only for namespaces that the operator names. The API server's Pod Security
 * says the same where it is switched on; this holds where it is not.
 */
export function privilegesIn(spec: JsonObject): string[] {
  const found: string[] = [];
  for (const name of ['hostNetwork', 'hostPID', 'hostIPC']) if (spec[name] === true) found.push(name);
  for (const volume of list(spec['volumes'])) {
    if (volume['hostPath'] !== undefined) found.push('hostPath');
    const sources = list((volume['projected'] as JsonObject | undefined)?.['sources']);
    // The default account is lent without its token.
    if (spec['serviceAccountName'] === undefined && sources.some((source) => source['serviceAccountToken'])) {
      found.push('serviceAccountToken');
    }
  }
  for (const field of ['containers', 'initContainers', 'ephemeralContainers']) {
    for (const container of list(spec[field])) {
      const security = container['securityContext'] as JsonObject | undefined;
      if (security?.['privileged'] === true) found.push('privileged');
      const added = (security?.['capabilities'] as JsonObject | undefined)?.['add'];
      if (Array.isArray(added) && added.length > 0) found.push('capabilities.add');
      if (security?.['procMount'] === 'Unmasked') found.push('procMount');
      if (list(container['ports']).some((port) => port['hostPort'] !== undefined)) found.push('hostPort');
    }
  }
  return [...new Set(found)];
}

/** The accounts that a namespace lends to its steps. */
export const accountsAnnotation = 'windlass.dev/step-service-accounts';

/** True when the namespace's annotation, `a,b`, names the account. */
export function lendsAccount(annotation: string | undefined, account: string): boolean {
  return (annotation ?? '')
    .split(',')
    .map((name) => name.trim())
    .includes(account);
}

function list(value: JsonValue | undefined): JsonObject[] {
  if (!Array.isArray(value)) return [];
  return value.filter((item): item is JsonObject => typeof item === 'object' && item !== null && !Array.isArray(item));
}
