import type { JsonObject, JsonValue } from './json.ts';
import type { KindDefinition } from './metadata.ts';

/**
 * The CustomResourceDefinition of a kind. JSON Schema becomes a structural schema: constants become enums, maps lose
 * their key patterns to a CEL rule (or, with values of any type, to lint), `additionalProperties: false` goes (the API server prunes and reports unknown fields
 * itself), and no default is written, as defaults live in core/plan.
 */
export function crdManifest(definition: KindDefinition): JsonObject {
  const { kind, plural, singular, shortNames } = definition;
  const spec = structural(definition.spec);
  if (definition.atomicSpec) spec['x-kubernetes-map-type'] = 'atomic';
  const root: JsonObject = {
    description: `${kind} of Windlass.`,
    type: 'object',
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec,
      status: structural(definition.status),
    },
  };
  for (const { path, rule, message } of definition.rules) addRule(at(root, path ?? ''), rule, message);
  for (const { path, fields } of definition.oneOf ?? []) {
    at(root, path)['oneOf'] = fields.map((field) => ({ required: [field] }));
  }
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.windlass.dev` },
    spec: {
      group: 'windlass.dev',
      scope: 'Namespaced',
      names: { kind, listKind: `${kind}List`, plural, singular, shortNames, categories: ['windlass'] },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: definition.printerColumns.map((column) => ({ ...column })),
          schema: { openAPIV3Schema: root },
        },
      ],
    },
  };
}

/** The schema that a path of a `KindDefinition` rule names: `spec.steps[]` is the item of `spec.steps`. */
function at(root: JsonObject, path: string): JsonObject {
  let schema = root;
  for (const part of path.split('.').filter(Boolean)) {
    const name = part.replace('[]', '');
    const next = (schema['properties'] as JsonObject | undefined)?.[name] as JsonObject | undefined;
    const item = part.endsWith('[]') ? (next?.['items'] as JsonObject | undefined) : next;
    if (!item) throw new Error(`a rule names ${path}, which the schema does not have`);
    schema = item;
  }
  return schema;
}

function addRule(schema: JsonObject, rule: string, message: string): void {
  const rules = (schema['x-kubernetes-validations'] ?? []) as JsonValue[];
  schema['x-kubernetes-validations'] = [...rules, { rule, message }];
}

function structural(input: object): JsonObject {
  const schema = input as JsonObject;
  const literals = (schema['anyOf'] as JsonObject[] | undefined)?.map((option) => option['const']);
  if (literals?.every((literal) => literal !== undefined)) {
    return { type: 'string', enum: literals, ...described(schema) };
  }
  if (schema['const'] !== undefined)
    return { type: typeof schema['const'], enum: [schema['const']], ...described(schema) };
  const out: JsonObject = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties') out[key] = mapValues(value as JsonObject);
    else if (key === 'items') out[key] = structural(value as JsonObject);
    else if (key === 'patternProperties')
      Object.assign(out, mapOf(Object.values(value as JsonObject)[0] as JsonObject));
    else if (key === 'propertyNames' && !holdsAnything(schema)) {
      const pattern = String(Object.values(value as Record<string, string>)[0]);
      addRule(out, `self.all(key, key.matches('${pattern}'))`, `keys must match ${pattern}`);
    } else if (key !== 'additionalProperties' && key !== 'propertyNames') out[key] = value;
  }
  const itemProperties = (out['items'] as JsonObject | undefined)?.['properties'] as JsonObject | undefined;
  // Merged by key, as everywhere in Kubernetes; also makes the API server refuse two conditions of one type.
  if (itemProperties?.['lastTransitionTime']) {
    out['x-kubernetes-list-type'] = 'map';
    out['x-kubernetes-list-map-keys'] = ['type'];
  }
  return out;
}

/** CEL has no type for `additionalProperties` of any type, and refuses every rule on or about such a map. */
function mapOf(value: JsonObject): JsonObject {
  return isAnything(value)
    ? { 'x-kubernetes-preserve-unknown-fields': true }
    : { additionalProperties: structural(value) };
}

/** Whether a schema is a map of anything: CEL sees no keys in it, so lint alone checks them. */
function holdsAnything(map: JsonObject): boolean {
  return Object.values((map['patternProperties'] ?? {}) as Record<string, JsonObject>).some(isAnything);
}

function isAnything(schema: JsonObject): boolean {
  return schema['type'] === undefined && schema['x-kubernetes-preserve-unknown-fields'] === true;
}

function described(schema: JsonObject): JsonObject {
  return schema['description'] === undefined ? {} : { description: schema['description'] };
}

function mapValues(properties: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, structural(value as JsonObject)]));
}

/** A JSON Schema over whole files of every kind, for editors: pick a kind by its `kind` field. */
export function editorSchema(definitions: KindDefinition[], userMetadata: object): JsonObject {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Windlass v1alpha1',
    oneOf: definitions.map(({ kind, spec }) => ({
      type: 'object',
      required: ['apiVersion', 'kind', 'metadata', 'spec'],
      additionalProperties: false,
      properties: {
        apiVersion: { const: 'windlass.dev/v1alpha1' },
        kind: { const: kind },
        metadata: JSON.parse(JSON.stringify(userMetadata)) as JsonObject,
        spec: JSON.parse(JSON.stringify(spec)) as JsonObject,
      },
    })),
  };
}
