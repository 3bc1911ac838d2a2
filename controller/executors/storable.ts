import type { JsonValue } from '../../crds/json.ts';
import { storedDepth } from '../seams/limits.ts';

/** Text that Postgres can hold: NUL and lone surrogates become U+FFFD. */
export function storableText(text: string): string {
  return (text.includes('\0') ? text.replaceAll('\0', '\uFFFD') : text).toWellFormed();
}

/** The same for every text in a JSON value; null when it is nested deeper than history keeps. */
export function storableJson(value: JsonValue, depth = 0): { value: JsonValue } | null {
  if (typeof value === 'string') return { value: storableText(value) };
  if (value === null || typeof value !== 'object') return { value };
  if (depth >= storedDepth) return null;
  if (Array.isArray(value)) {
    const items: JsonValue[] = [];
    for (const item of value) {
      const kept = storableJson(item, depth + 1);
      if (!kept) return null;
      items.push(kept.value);
    }
    return { value: items };
  }
  const entries: [string, JsonValue][] = [];
  for (const [key, item] of Object.entries(value)) {
    const kept = storableJson(item, depth + 1);
    if (!kept) return null;
    entries.push([storableText(key), kept.value]);
  }
  // fromEntries defines properties, so that a key named __proto__ stays a key.
  return { value: Object.fromEntries(entries) };
}
