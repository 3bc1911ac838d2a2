import type { JsonValue } from '../../../crds/json.ts';
import { limitList, limitText, type Meter, spend, spendBytes, spendText, utf8Length } from './limits.ts';
import { ExpressionError } from './types.ts';

/**
 * What an expression computes with. An int is a bigint and a double a number; a number inside a list or map is either,
 * because JSON does not tell 7 from 7.0: `read` makes an int of one without a fraction.
 */
export type Value = null | boolean | bigint | number | string | Value[] | { [key: string]: Value } | Optional;
export type Kind = 'null' | 'bool' | 'int' | 'double' | 'string' | 'list' | 'map' | 'optional';

/** What `.?` yields: a value or none. */
export class Optional {
  readonly value: Value | undefined;
  constructor(value: Value | undefined) {
    this.value = value;
  }
}
export const none: Optional = new Optional(undefined);

const maxInt = 2n ** 63n - 1n;
const minInt = -(2n ** 63n);

export function isMap(value: Value): value is { [key: string]: Value } {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Optional);
}

export function kindOf(value: Value): Kind {
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'bigint':
      return 'int';
    case 'number':
      return 'double';
    case 'boolean':
      return 'bool';
    default:
      if (value === null) return 'null';
      return Array.isArray(value) ? 'list' : value instanceof Optional ? 'optional' : 'map';
  }
}

/** A kind in a sentence: "an int", "null". */
export function aKind(kind: Kind | 'dyn'): string {
  if (kind === 'null') return 'null';
  return `${kind === 'int' || kind === 'optional' ? 'an' : 'a'} ${kind}`;
}

/** A value as it comes out of a list or map. */
export function read(value: Value): Value {
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
}

function isNumber(value: Value): value is bigint | number {
  return typeof value === 'bigint' || typeof value === 'number';
}

/** Deep equality; int and double compare by value, values of different kinds are not equal. */
export function equal(a: Value, b: Value, meter: Meter): boolean {
  if (a === b) return true;
  if (typeof a === 'string' && typeof b === 'string') {
    if (a.length === b.length) spendText(meter, a.length);
    return false;
  }
  // Exact across bigint and number, unlike a conversion of either; false for NaN.
  if (isNumber(a) && isNumber(b)) return a <= b && a >= b;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    spend(meter, a.length);
    return a.every((element, i) => equal(element, b[i] ?? null, meter));
  }
  if (a instanceof Optional || b instanceof Optional) {
    if (!(a instanceof Optional && b instanceof Optional)) return false;
    return a.value !== undefined && b.value !== undefined ? equal(a.value, b.value, meter) : a.value === b.value;
  }
  if (!isMap(a) || !isMap(b)) return false;
  const keys = Object.keys(a);
  spend(meter, keys.length);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && equal(a[key] ?? null, b[key] ?? null, meter))
  );
}

/** Negative, zero or positive; NaN when either is not a number. Null when the two have no order. */
export function compare(a: Value, b: Value): number | null {
  if ((isNumber(a) && isNumber(b)) || (typeof a === 'string' && typeof b === 'string')) {
    return a < b ? -1 : a > b ? 1 : a >= b ? 0 : Number.NaN;
  }
  return typeof a === 'boolean' && typeof b === 'boolean' ? Number(a) - Number(b) : null;
}

/** The result of `a op b` for `+ - * / %`, or null when these kinds have no such operation. @throws ExpressionError */
export function compute(op: string, a: Value, b: Value, meter: Meter): Value {
  if (typeof a === 'bigint' && typeof b === 'bigint') return computeInt(op, a, b);
  if (isNumber(a) && isNumber(b)) return computeDouble(op, Number(a), Number(b));
  if (op !== '+') return null;
  if (typeof a === 'string' && typeof b === 'string') {
    limitText(a.length + b.length);
    spendText(meter, a.length + b.length);
    return a + b;
  }
  if (!Array.isArray(a) || !Array.isArray(b)) return null;
  spend(meter, a.length + b.length);
  return limitList(a.concat(b));
}

function computeInt(op: string, a: bigint, b: bigint): Value {
  if ((op === '/' || op === '%') && b === 0n) throw new ExpressionError('division by zero');
  const result = op === '+' ? a + b : op === '-' ? a - b : op === '*' ? a * b : op === '/' ? a / b : a % b;
  if (result > maxInt || result < minInt) throw new ExpressionError('integer overflow');
  return result;
}

function computeDouble(op: string, a: number, b: number): Value {
  return op === '+' ? a + b : op === '-' ? a - b : op === '*' ? a * b : op === '/' ? a / b : null;
}

/** A copy of a value as JSON; nothing in it is shared with the context. @throws ExpressionError */
export function toJson(value: Value, meter: Meter): JsonValue {
  switch (typeof value) {
    case 'string':
      spendBytes(meter, utf8Length(value));
      return value;
    case 'bigint': {
      const number = Number(value);
      if (!Number.isSafeInteger(number)) throw new ExpressionError(`the integer ${value} does not fit in JSON exactly`);
      spendBytes(meter, String(number).length);
      return number;
    }
    case 'number':
      if (!Number.isFinite(value)) throw new ExpressionError(`${value} does not exist in JSON`);
      spendBytes(meter, String(value).length);
      return value;
    case 'boolean':
      spendBytes(meter, 5);
      return value;
  }
  if (value === null) {
    spendBytes(meter, 4);
    return null;
  }
  if (value instanceof Optional) throw new ExpressionError('the result is optional; end it with .orValue(…)');
  if (Array.isArray(value)) {
    limitList(value);
    spendBytes(meter, value.length + 2);
    return value.map((element) => toJson(element, meter));
  }
  const copy: { [key: string]: JsonValue } = {};
  spendBytes(meter, 2);
  for (const key of Object.keys(value)) {
    spendBytes(meter, key.length + 4);
    setKey(copy, key, toJson(value[key] ?? null, meter));
  }
  return copy;
}

/** `object[key] = value` that keeps a key named `__proto__` an ordinary one. */
export function setKey<T>(object: { [key: string]: T }, key: string, value: T): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
  else object[key] = value;
}

/** A scalar as it stands in text: strings as they are, numbers and booleans as JSON writes them. */
export function toText(value: Value, meter: Meter): string {
  const json = toJson(value, meter);
  if (typeof json === 'string') return json;
  if (typeof json === 'number' || typeof json === 'boolean') return String(json);
  throw new ExpressionError(
    json === null
      ? 'it is null, which cannot stand in text; give it a default or a condition'
      : `it is ${aKind(kindOf(json))}, which cannot stand in text; use toJson(…)`,
  );
}
