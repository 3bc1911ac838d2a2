import type { JsonValue } from '../../crds/json.ts';
import { storedDepth } from '../seams/limits.ts';

/**
 * The value as Postgres can keep it: NUL and lone surrogates become U+FFFD, and what lies deeper than 64 levels becomes
 * null. A value that is storable as it is comes back as the same reference, at the cost of one walk.
 */
export function storable<T>(value: T): T {
  return clean(value as JsonValue, 1) as T;
}

function clean(value: JsonValue | undefined, depth: number): JsonValue | undefined {
  if (typeof value === 'string') return cleanText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth > storedDepth) return null;
  return Array.isArray(value) ? cleanList(value, depth) : cleanObject(value, depth);
}

function cleanText(text: string): string {
  if (text.isWellFormed() && !text.includes('\0')) return text;
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}

function cleanList(list: JsonValue[], depth: number): JsonValue[] {
  let copy: JsonValue[] | null = null;
  for (let i = 0; i < list.length; i++) {
    const cleaned = clean(list[i], depth + 1);
    if (cleaned !== list[i]) (copy ??= [...list])[i] = cleaned as JsonValue;
  }
  return copy ?? list;
}

function cleanObject(object: { [key: string]: JsonValue }, depth: number): { [key: string]: JsonValue } {
  let same = true;
  for (const key in object) {
    if (clean(object[key], depth + 1) !== object[key] || cleanText(key) !== key) {
      same = false;
      break;
    }
  }
  if (same) return object;
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [cleanText(key), clean(value, depth + 1) as JsonValue]),
  );
}
