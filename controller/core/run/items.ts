import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { ExpressionContext } from '../expression/types.ts';
import { ExpressionError } from '../expression/types.ts';
import type { ForEach } from '../plan/types.ts';
import { storableText } from './storable.ts';

/** Most items of one forEach. */
export const maxItems = 10_000;

const longestLabel = 64;

export interface ListedItem {
  value: JsonValue;
  /** What people call it: its key, or its value when that is short. */
  label: string | null;
}

/**
 * The items of a forEach, from recorded outputs alone: the same whenever it is evaluated.
 * @throws ExpressionError when an expression fails, yields something else than a list or map, or too many
 */
export function listItems({ items }: ForEach, context: ExpressionContext): ListedItem[] {
  if ('list' in items) return listOf(items.list.evaluate(context));
  if ('from' in items) return rangeOf(items.from.evaluate(context), items.to.evaluate(context), items.step);
  return matrixOf(Object.entries(items.matrix).map(([key, template]) => [key, template.evaluate(context)]));
}

function listOf(value: JsonValue): ListedItem[] {
  if (Array.isArray(value)) {
    checkCount(value.length);
    return value.map((item) => ({ value: item, label: shortLabel(item) }));
  }
  if (value === null || typeof value !== 'object') {
    throw new ExpressionError(`forEach.items must be a list or a map, and is ${describe(value)}`);
  }
  const keys = Object.keys(value).sort();
  checkCount(keys.length);
  return keys.map((key) => ({ value: { key, value: value[key] ?? null }, label: clip(key) }));
}

function rangeOf(from: JsonValue, to: JsonValue, step: number): ListedItem[] {
  const first = wholeNumber('from', from);
  const end = wholeNumber('to', to);
  checkCount(Math.max(0, Math.ceil((end - first) / step)));
  const items: ListedItem[] = [];
  for (let n = first; n < end; n += step) items.push({ value: n, label: String(n) });
  return items;
}

/** Every combination, the last key fastest. */
function matrixOf(axes: [string, JsonValue][]): ListedItem[] {
  let combinations: JsonObject[] = [{}];
  for (const [key, values] of axes) {
    if (!Array.isArray(values))
      throw new ExpressionError(`forEach.matrix.${key} must be a list, and is ${describe(values)}`);
    checkCount(combinations.length * values.length);
    combinations = combinations.flatMap((one) => values.map((value) => ({ ...one, [key]: value })));
  }
  return combinations.map((value) => {
    const parts = Object.values(value).map((part) => shortLabel(part));
    return { value, label: parts.includes(null) ? null : fitting(parts.join(', ')) };
  });
}

function wholeNumber(name: string, value: JsonValue): number {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  throw new ExpressionError(`forEach.range.${name} must be a whole number, and is ${describe(value)}`);
}

function checkCount(count: number): void {
  if (count > maxItems) throw new ExpressionError(`forEach has ${count} items; at most ${maxItems}`);
}

function shortLabel(value: JsonValue): string | null {
  if (typeof value === 'string') return fitting(value);
  return value === null || typeof value === 'object' ? null : String(value);
}

function fitting(text: string): string | null {
  return text.length <= longestLabel ? storableText(text) : null;
}

function clip(text: string): string {
  return storableText(text.length <= longestLabel ? text : `${text.slice(0, longestLabel - 1)}…`);
}

function describe(value: JsonValue): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a map' : `a ${typeof value}`;
}
