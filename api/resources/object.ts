import { type TSchema, Type } from 'typebox';
import { type Kind, kinds } from '../../crds/kinds.ts';
import { apiVersion } from '../../crds/metadata.ts';

const Metadata = Type.Object(
  {
    name: Type.String(),
    namespace: Type.String(),
    uid: Type.String(),
    resourceVersion: Type.String({ description: 'Changes with every write; compare for equality only.' }),
    generation: Type.Integer({ description: 'Raised by every change of the spec.' }),
    creationTimestamp: Type.String(),
    deletionTimestamp: Type.Optional(Type.String()),
    labels: Type.Record(Type.String(), Type.String()),
    annotations: Type.Record(Type.String(), Type.String()),
    finalizers: Type.Optional(Type.Array(Type.String())),
  },
  { ref: 'ObjectMeta' },
);

/** The object as stored: desired state in `spec`, a projection of history in `status`. */
export function objectSchema(kind: Kind): TSchema {
  const { spec, status } = kinds[kind];
  return Type.Object(
    {
      apiVersion: Type.Literal(apiVersion),
      kind: Type.Literal(kind),
      metadata: Metadata,
      spec: Type.Unsafe({ ...spec, ref: `${kind}Spec` }),
      status: Type.Optional(Type.Unsafe({ ...status, ref: `${kind}Status` })),
    },
    { ref: kind },
  );
}

/** What a user may send, as documented. */
export function draftSchema(kind: Kind): TSchema {
  return Type.Object(
    {
      apiVersion: Type.Optional(Type.String({ description: `${apiVersion}.` })),
      kind: Type.Optional(Type.String({ description: `${kind}.` })),
      metadata: Type.Optional(draftMetadata),
      spec: Type.Unsafe({ ...kinds[kind].spec, ref: `${kind}Spec` }),
    },
    { ref: `${kind}Draft` },
  );
}

const draftMetadata = Type.Object(
  {
    name: Type.Optional(Type.String({ description: 'As in the path.' })),
    namespace: Type.Optional(Type.String({ description: 'As in the path.' })),
    labels: Type.Optional(Type.Record(Type.String(), Type.String())),
    annotations: Type.Optional(Type.Record(Type.String(), Type.String())),
    uid: Type.Optional(Type.String({ description: 'When given, only that very object is replaced.' })),
    resourceVersion: Type.Optional(Type.String({ description: 'When given, only that state is replaced.' })),
  },
  { ref: 'DraftMeta', description: 'Other fields that the server sets may be sent back and are left alone.' },
);

/**
 * What is checked before `validate`: only what must be read to call it, so that a file and a request get the same message
 * for the same mistake.
 */
export const looseDraft = Type.Object({
  apiVersion: Type.Optional(Type.String()),
  kind: Type.Optional(Type.String()),
  metadata: Type.Optional(draftMetadata),
});
