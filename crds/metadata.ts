import { type Static, type TObject, type TProperties, type TSchema, Type } from 'typebox';

/** API group and version of every kind in this folder. */
export const apiVersion = 'windlass.dev/v1alpha1';

/** Names of steps, inputs, outputs and loop variables; also what an expression may select. */
export const identifierPattern = '^[a-z][a-z0-9_]{0,39}$';

/** RFC 1123 label: names of namespaces. */
export const labelPattern = '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$';

const subdomain = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*';

/** What may be the name of a container image, if it is no longer than this. */
export const imagePattern = '^[a-zA-Z0-9][-._:/@a-zA-Z0-9]*$';
export const longestImage = 512;

/** RFC 1123 subdomain: names of objects. */
export const namePattern = `^${subdomain}$`;

/** What Kubernetes calls a qualified name: `team`, `example.org/team`. */
export const labelKeyPattern = `^(${subdomain}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`;

/** The value of a label; it may be empty. */
export const labelValuePattern = '^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$';

/** A length of time as `kubectl` users write it: `30s`, `1h30m`, `250ms`, `7d`. */
export const durationPattern = '^([0-9]{1,9}(ms|s|m|h|d))+$';

export function Identifier(description: string) {
  return Type.String({ pattern: identifierPattern, maxLength: 40, description });
}

export function ObjectName(description: string) {
  return Type.String({ pattern: namePattern, minLength: 1, maxLength: 253, description });
}

export function NamespaceName(description: string) {
  return Type.String({ pattern: labelPattern, minLength: 1, maxLength: 63, description });
}

export function Duration(description: string) {
  return Type.String({ pattern: durationPattern, maxLength: 32, description });
}

/** Free text for people, bounded so that it can be stored and shown. */
export function Text(description: string, maxLength = 1024) {
  return Type.String({ maxLength, description });
}

/** An RFC 3339 instant in UTC, as Kubernetes writes it. */
export function Time(description: string) {
  return Type.String({ maxLength: 40, description });
}

/** An object that refuses fields it does not know: unknown fields are errors, not noise. */
export function Strict<T extends TProperties>(properties: T, options: Record<string, unknown> = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

/** A map from a constrained key to a value. */
export function MapOf<T extends TSchema>(
  value: T,
  options: { description: string; keys?: string; maxProperties?: number },
) {
  return Type.Record(Type.String(), value, {
    description: options.description,
    ...(options.keys ? { propertyNames: { pattern: options.keys } } : {}),
    maxProperties: options.maxProperties ?? 100,
  });
}

/** A list-map condition as Kubernetes and kstatus define it. */
export const Condition = Strict({
  type: Type.String({ maxLength: 316, description: 'What is asserted, in CamelCase.' }),
  status: Type.Union([Type.Literal('True'), Type.Literal('False'), Type.Literal('Unknown')], {
    description: 'Whether it holds.',
  }),
  reason: Type.String({ maxLength: 1024, description: 'One CamelCase word a program may match.' }),
  message: Text('A sentence for a person: what happened and what to do.', 32768),
  observedGeneration: Type.Optional(Type.Integer({ description: 'The generation of the spec this was judged from.' })),
  lastTransitionTime: Time('When `status` last changed.'),
});
export type Condition = Static<typeof Condition>;

/** What the status of a kind says that is reconciled for ever, and on request. */
export const reconciledStatus = {
  observedGeneration: Type.Optional(Type.Integer({ description: 'The generation this status was computed from.' })),
  lastHandledReconcileAt: Type.Optional(
    Text('The last value of the annotation windlass.dev/requestedAt that was acted upon.', 253),
  ),
  conditions: Type.Optional(Type.Array(Condition, { maxItems: 16, description: 'Ready, Reconciling, Stalled.' })),
};

/** What a user may write in `metadata`. The store adds uid, generation, resourceVersion and creationTimestamp. */
export const UserMetadata = Strict({
  name: Type.Optional(ObjectName('The name, unique within its namespace and kind.')),
  generateName: Type.Optional(Text('A prefix; the store appends a random suffix. For runs.', 240)),
  namespace: Type.Optional(NamespaceName("The namespace; on a laptop a name, by default the environment's own.")),
  labels: Type.Optional(
    MapOf(Type.String({ pattern: labelValuePattern, maxLength: 63 }), {
      description: 'Labels to select by.',
      keys: labelKeyPattern,
    }),
  ),
  annotations: Type.Optional(
    MapOf(Type.String({ maxLength: 262144 }), { description: 'Free annotations.', keys: labelKeyPattern }),
  ),
});

/** The metadata of an object as stored. */
export interface ObjectMeta {
  name: string;
  namespace: string;
  uid: string;
  /** Changes with every write; compare for equality only. */
  resourceVersion: string;
  /** Raised by every change of the spec. */
  generation: number;
  creationTimestamp: string;
  deletionTimestamp?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  finalizers?: string[];
}

export interface WindlassObject<Kind extends string = string, Spec = unknown, Status = unknown> {
  apiVersion: typeof apiVersion;
  kind: Kind;
  metadata: ObjectMeta;
  spec: Spec;
  status?: Status;
}

/** How a kind is named to people and to the API; read by the CLI, the routes and the CRD generator. */
export interface KindDefinition {
  kind: string;
  plural: string;
  singular: string;
  shortNames: string[];
  spec: TObject;
  status: TObject;
  /** True where one applier owns `spec` whole (x-kubernetes-map-type: atomic). */
  atomicSpec: boolean;
  /** CEL rules on the object root, for what a JSON schema cannot say; messages are shown to users. */
  rules: { rule: string; message: string; path?: string }[];
  /** Exactly one of these fields, where CEL cannot see one of them because it may hold anything. */
  oneOf?: { path: string; fields: readonly string[] }[];
  printerColumns: { name: string; type: 'string' | 'integer' | 'date'; jsonPath: string; priority?: number }[];
}

/** A field of the spec that is as it was from the beginning, there or not. */
export function immutable(field: string): KindDefinition['rules'][number] {
  const same = `has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`;
  return { path: 'spec', rule: same, message: `${field} ${field.endsWith('s') ? 'are' : 'is'} immutable` };
}

/** The same of a field that is always there. */
export function immutableAlways(field: string): KindDefinition['rules'][number] {
  return { path: 'spec', rule: `self.${field} == oldSelf.${field}`, message: `${field} is immutable` };
}
