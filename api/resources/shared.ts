import { type Static, type TSchema, Type } from 'typebox';
import type { JsonObject } from '../../crds/json.ts';
import { labelPattern, namePattern } from '../../crds/metadata.ts';
import type { Instant } from '../../controller/core/time.ts';
import { only } from '../route.ts';

/** An instant as the API writes it: RFC 3339 in UTC. */
export function iso(at: Instant): string {
  return new Date(at).toISOString();
}

export function isoOrNull(at: Instant | null): string | null {
  return at === null ? null : iso(at);
}

/** Ms from one instant to another; null while either is open. */
export function duration(from: Instant | null, to: Instant | null): number | null {
  return from === null || to === null ? null : Math.max(0, to - from);
}

export function Nullable<T extends TSchema>(schema: T, description: string) {
  return Type.Union([schema, Type.Null()], { description });
}

/** One of a fixed list of words. */
export function OneOf<const W extends string>(words: readonly W[], description: string) {
  return Type.Unsafe<W>({ type: 'string', enum: [...words], description });
}

export function TimeString(description: string) {
  return Type.String({ description: `${description} RFC 3339, UTC.` });
}

export function NullableTime(description: string) {
  return Nullable(Type.String(), `${description} RFC 3339, UTC.`);
}

export function AnyObject(description: string) {
  return Type.Unsafe<JsonObject>({ type: 'object', description });
}

/** Why something did not succeed. */
export const ErrorResource = Type.Object(
  {
    type: Type.String({ description: 'What a program matches: exit, timeout, http, assertion, ….' }),
    message: Type.String({ description: 'What a person reads.' }),
    retryable: Type.Boolean(),
    exitCode: Type.Optional(Type.Integer()),
    status: Type.Optional(Type.Integer()),
    unreachable: Type.Optional(Type.Boolean()),
    retryAfterMs: Type.Optional(Type.Number()),
  },
  { ref: 'Error' },
);
export type ErrorResource = Static<typeof ErrorResource>;

/** Every list has this shape. */
export function PageOf<T extends TSchema>(item: T, ref: string) {
  return Type.Object(
    {
      items: Type.Array(item),
      next: Nullable(Type.String(), 'Pass as `after` for the next page; null at the end.'),
      namespaces: Type.Optional(
        Type.Array(Type.String(), {
          description: 'Only there when no namespace was asked for and the caller may list in these alone.',
        }),
      ),
    },
    { ref },
  );
}

export const pageQuery = {
  limit: Type.Integer({ minimum: 1, maximum: 500, default: 50, description: 'Items on a page. Default 50.' }),
  after: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 512,
      pattern: '^[\\x21-\\x7e]+$',
      description: '`next` of the page before.',
    }),
  ),
};

const namespace = Type.String({ pattern: labelPattern, maxLength: 63, description: 'The namespace.' });
export const Name = (description: string) =>
  Type.String({ pattern: namePattern, minLength: 1, maxLength: 253, description });
export const NamespaceFilter = Type.Optional(
  Type.String({ pattern: labelPattern, maxLength: 63, description: 'Only in this namespace.' }),
);

/** Which project is meant, where there may be several. */
export const projectQuery = {
  project: Type.Optional(
    Type.String({
      pattern: labelPattern,
      maxLength: 63,
      description: 'The namespace of sources, environments and promotions. Default: the only one there is.',
    }),
  ),
};

export const nameParams = only({ name: Name('The name.') });
export const namespaceParams = only({ namespace });
export const namespacedParams = only({ namespace, name: Name('The name.') });
