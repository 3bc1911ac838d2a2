import { crdManifest } from '../../../crds/manifest.ts';
import { type Kind, kinds } from '../../../crds/kinds.ts';
import { apiVersion } from '../../../crds/metadata.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { isRefusal } from '../../kubernetes/errors.ts';

interface Schema {
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: Schema | boolean;
  'x-kubernetes-group-version-kind'?: { group: string; version: string; kind: string }[];
}

/**
 * What keeps the CRDs of this cluster from holding what this program writes, one sentence for each kind; empty when they
 * can. Asks for the published OpenAPI, which every login may read, and not for the CRDs, which few may.
 * @throws when the API server does not answer
 */
export async function findOldSchemas(client: KubernetesClient): Promise<string[]> {
  const served = await servedSchemas(client);
  return (Object.keys(kinds) as Kind[]).flatMap((kind) => {
    const name = `${kinds[kind].plural}.windlass.dev`;
    const schema = served.get(kind);
    if (!schema) return [`the CRD ${name} is not installed; install the CRDs of this version`];
    const missing = [...missingFields(wanted(kind), schema, '')];
    if (missing.length === 0) return [];
    const more = missing.length > 3 ? ` and ${missing.length - 3} more` : '';
    const fields = missing.slice(0, 3).join(', ');
    return [`the CRD ${name} is older than this program: it lacks ${fields}${more}; apply the CRDs of this version`];
  });
}

async function servedSchemas(client: KubernetesClient): Promise<Map<string, Schema>> {
  try {
    const { components } = await client.request<{ components?: { schemas?: Record<string, Schema> } }>(
      'GET',
      `/openapi/v3/apis/${apiVersion}`,
    );
    const schemas = Object.values(components?.schemas ?? {});
    return new Map(
      schemas.flatMap((schema) =>
        (schema['x-kubernetes-group-version-kind'] ?? [])
          .filter(({ group, version }) => `${group}/${version}` === apiVersion)
          .map(({ kind }) => [kind, schema] as const),
      ),
    );
  } catch (error) {
    if (isRefusal(error, 404)) return new Map();
    throw error;
  }
}

function wanted(kind: Kind): Schema {
  const { spec } = crdManifest(kinds[kind]) as unknown as {
    spec: { versions: [{ schema: { openAPIV3Schema: Schema } }] };
  };
  return spec.versions[0].schema.openAPIV3Schema;
}

/** Paths of fields that `wanted` has and `served` has not, such as `.spec.steps[].needs`. */
function* missingFields(wanted: Schema, served: Schema, path: string): Generator<string> {
  for (const [name, schema] of Object.entries(wanted.properties ?? {})) {
    const there = served.properties?.[name];
    if (there === undefined) yield `${path}.${name}`;
    else yield* missingFields(schema, there, `${path}.${name}`);
  }
  if (wanted.items && served.items) yield* missingFields(wanted.items, served.items, `${path}[]`);
  const [values, servedValues] = [wanted.additionalProperties, served.additionalProperties];
  if (typeof values === 'object' && typeof servedValues === 'object') {
    yield* missingFields(values, servedValues, `${path}.*`);
  }
}
