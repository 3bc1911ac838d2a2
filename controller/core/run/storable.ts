import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { StepError } from './types.ts';

/** How deep a stored value may be nested. */
export const maxDepth = 64;

const longestMessage = 4096;

/** Text that every store can hold: no NUL, no half of a surrogate pair; U+FFFD stands in for them. */
export function storableText(text: string): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed();
  return whole.includes('\0') ? whole.replaceAll('\0', '\uFFFD') : whole;
}

/** An error whose message can be stored and shown. */
export function storableError(error: StepError): StepError {
  const message = storableText(error.message);
  const short = message.length > longestMessage ? `${storableText(message.slice(0, longestMessage - 1))}…` : message;
  return short === error.message ? error : { ...error, message: short };
}

/** A value with all of its text storable; the very same one when it was. Null when it is nested deeper than `maxDepth`. */
export function storableValue(value: JsonValue, depth = maxDepth): { value: JsonValue } | null {
  if (typeof value === 'string') return { value: storableText(value) };
  if (value === null || typeof value !== 'object') return { value };
  if (depth === 0) return null;
  return Array.isArray(value) ? storableList(value, depth) : storableObject(value, depth);
}

function storableList(list: JsonValue[], depth: number): { value: JsonValue } | null {
  let copy: JsonValue[] | null = null;
  for (const [i, item] of list.entries()) {
    const storable = storableValue(item, depth - 1);
    if (storable === null) return null;
    if (storable.value !== item) {
      copy ??= [...list];
      copy[i] = storable.value;
    }
  }
  return { value: copy ?? list };
}

function storableObject(object: JsonObject, depth: number): { value: JsonValue } | null {
  let clean = true;
  const entries: [string, JsonValue][] = [];
  for (const [key, item] of Object.entries(object)) {
    const storable = storableValue(item, depth - 1);
    if (storable === null) return null;
    const name = storableText(key);
    clean &&= name === key && storable.value === item;
    entries.push([name, storable.value]);
  }
  return { value: clean ? object : Object.fromEntries(entries) };
}

/** Size of a value as JSON in UTF-8, without building the text. The value must not be nested deeper than `maxDepth`. */
export function jsonBytes(value: JsonValue): number {
  if (typeof value === 'string') return stringBytes(value);
  if (value === null) return 4;
  if (typeof value === 'number') return Number.isFinite(value) ? String(value).length : 4;
  if (typeof value === 'boolean') return value ? 4 : 5;
  let bytes = 2;
  if (Array.isArray(value)) {
    for (const item of value) bytes += jsonBytes(item) + 1;
    return value.length > 0 ? bytes - 1 : bytes;
  }
  let any = false;
  for (const key in value) {
    bytes += stringBytes(key) + jsonBytes(value[key] ?? null) + 2;
    any = true;
  }
  return any ? bytes - 1 : bytes;
}

function stringBytes(text: string): number {
  let bytes = 2;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22 || code === 0x5c) bytes += 2;
    else if (code < 0x20) bytes += code === 8 || code === 9 || code === 10 || code === 12 || code === 13 ? 2 : 6;
    else if (code < 0x80) bytes += 1;
    else if (code < 0x800) bytes += 2;
    // Half of a pair: a pair is 4 bytes in all.
    else if (code >= 0xd800 && code < 0xe000) bytes += 2;
    else bytes += 3;
  }
  return bytes;
}
