import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import { maxListLength } from './limits.ts';
import type { Kind } from './values.ts';

/**
 * What is known of a value before the run. Any value may also be null (a step that did not run), so null is compared
 * with everything.
 */
export type CelType =
  | { kind: 'dyn' | Exclude<Kind, 'list' | 'map' | 'optional'> }
  | { kind: 'list'; items: CelType; max: number }
  /** `closed`: there are no keys but these. */
  | { kind: 'map'; fields: Record<string, CelType>; closed: boolean }
  | { kind: 'optional'; of: CelType };

export const dyn: CelType = { kind: 'dyn' };

/** The type of values that fit a JSON Schema; what the schema leaves open is dyn. */
export function fromSchema(schema: JsonValue | undefined, depth = 0): CelType {
  if (schema === undefined || !isObject(schema) || depth > 16) return dyn;
  switch (schema.type) {
    case 'string':
      return { kind: 'string' };
    case 'boolean':
      return { kind: 'bool' };
    case 'integer':
      return { kind: 'int' };
    case 'number':
      return { kind: 'double' };
    case 'array': {
      const max = typeof schema.maxItems === 'number' ? Math.min(schema.maxItems, maxListLength) : maxListLength;
      return { kind: 'list', items: fromSchema(schema.items, depth + 1), max };
    }
    case 'object': {
      const properties = isObject(schema.properties) ? schema.properties : {};
      return mapOf(
        Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, fromSchema(value, depth + 1)])),
        schema.additionalProperties === false && schema.patternProperties === undefined,
      );
    }
    default:
      return dyn;
  }
}

export function mapOf(fields: Record<string, CelType>, closed: boolean): CelType {
  return { kind: 'map', fields, closed };
}

/** A list of at most `max` elements. */
export function listOf(items: CelType, max: number): CelType {
  return { kind: 'list', items, max: Math.min(max, maxListLength) };
}

export function isNumeric(type: CelType): boolean {
  return type.kind === 'int' || type.kind === 'double';
}

/** The type of a value that is one of two. */
export function join(a: CelType, b: CelType): CelType {
  if (a === b) return a;
  if (a.kind === 'null') return b;
  if (b.kind === 'null') return a;
  if (a.kind === 'list' && b.kind === 'list')
    return { kind: 'list', items: join(a.items, b.items), max: Math.max(a.max, b.max) };
  if (isNumeric(a) && isNumeric(b)) return a.kind === b.kind ? a : { kind: 'double' };
  return a.kind === b.kind && a.kind !== 'map' && a.kind !== 'optional' ? a : dyn;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
