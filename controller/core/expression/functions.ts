import { RE2JS, RE2JSException } from 're2js';
import { limitList, limitText, type Meter, spend, spendText } from './limits.ts';
import { ExpressionError } from './types.ts';
import {
  compare,
  compute,
  equal,
  isMap,
  type Kind,
  kindOf,
  none,
  Optional,
  read,
  toJson,
  type Value,
} from './values.ts';

/** One function of the language, for one number of arguments. */
export interface FunctionSpec {
  name: string;
  /** `x.name(…)`, `name(x, …)`, or either. */
  form: 'method' | 'function' | 'both';
  /** Kinds each argument may have, the receiver of a method first; 'any' for all. */
  params: readonly (readonly Kind[] | 'any')[];
  returns: Kind | 'dyn';
  /** Called with arguments of the declared kinds. @throws ExpressionError */
  call(args: Value[], meter: Meter): Value;
}

/** Charged for compiling a regular expression that is computed, and so compiled at every call. */
const patternCost = 1000;

const string = ['string'] as const;
const int = ['int'] as const;
const list = ['list'] as const;

/** The language's functions; macros, `has` and the calls of conditions are not among them. */
const functions: readonly FunctionSpec[] = [
  spec('size', 'both', [['string', 'list', 'map']], 'int', ([x]) => BigInt(sizeOf(x as Value))),
  spec(
    'string',
    'function',
    [['string', 'int', 'double', 'bool']],
    'string',
    ([x]) => `${x as string | bigint | number | boolean}`,
  ),
  spec('int', 'function', [['int', 'double', 'string']], 'int', ([x]) => toInt(x as string)),
  spec('double', 'function', [['int', 'double', 'string']], 'double', ([x]) => toDouble(x as string)),
  spec('bool', 'function', [['bool', 'string']], 'bool', ([x]) => toBool(x as string)),
  spec('dyn', 'function', ['any'], 'dyn', ([x]) => x as Value),
  spec('toJson', 'function', ['any'], 'string', ([x], meter) => toJsonText(x as Value, meter)),

  text('startsWith', [string], 'bool', (s, [prefix]) => s.startsWith(prefix as string)),
  text('endsWith', [string], 'bool', (s, [suffix]) => s.endsWith(suffix as string)),
  text('contains', [string], 'bool', (s, [part]) => s.includes(part as string)),
  text('lowerAscii', [], 'string', (s) => s.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())),
  text('upperAscii', [], 'string', (s) => s.replace(/[a-z]+/g, (letters) => letters.toUpperCase())),
  text('trim', [], 'string', (s) => s.trim()),
  text('indexOf', [string], 'int', (s, [part]) => BigInt(characterIndex(s, s.indexOf(part as string)))),
  text('lastIndexOf', [string], 'int', (s, [part]) => BigInt(characterIndex(s, s.lastIndexOf(part as string)))),
  text('charAt', [int], 'string', (s, [at]) => substring(s, at as bigint, (at as bigint) + 1n)),
  text('substring', [int], 'string', (s, [start]) => substring(s, start as bigint, null)),
  text('substring', [int, int], 'string', (s, [start, end]) => substring(s, start as bigint, end as bigint)),
  text('replace', [string, string], 'string', (s, [from, to], meter) =>
    joinAll(s.split(from as string), to as string, meter),
  ),
  text('split', [string], 'list', (s, [separator]) => limitList(s.split(separator as string))),
  text('split', [string, int], 'list', (s, [separator, limit]) => split(s, separator as string, Number(limit))),
  text('matches', [string], 'bool', (s, [pattern], meter) => {
    spend(meter, patternCost);
    return matches(compilePattern(pattern as string), s, meter);
  }),

  spec('join', 'method', [list], 'string', ([l], meter) => joinAll(l as Value[], '', meter)),
  spec('join', 'method', [list, string], 'string', ([l, by], meter) => joinAll(l as Value[], by as string, meter)),
  spec('sum', 'both', [list], 'dyn', ([l], meter) => sum(elements(l, meter), meter)),
  spec('min', 'both', [list], 'dyn', ([l], meter) => extreme(elements(l, meter), 'min')),
  spec('max', 'both', [list], 'dyn', ([l], meter) => extreme(elements(l, meter), 'max')),
  spec('sort', 'method', [list], 'list', ([l], meter) => elements(l, meter).sort(inOrder)),
  spec('reverse', 'method', [list], 'list', ([l], meter) => elements(l, meter).toReversed()),
  spec('distinct', 'method', [list], 'list', ([l], meter) => distinct(elements(l, meter), meter)),
  spec('indexOf', 'method', [list, 'any'], 'int', ([l, x], meter) =>
    BigInt((l as Value[]).findIndex((element) => (spend(meter, 1), equal(element, x as Value, meter)))),
  ),

  spec('hasValue', 'method', [['optional']], 'bool', ([o]) => (o as Optional).value !== undefined),
  spec('value', 'method', [['optional']], 'dyn', ([o]) => valueOf(o as Optional)),
];

const byKey = new Map<string, FunctionSpec[]>();
for (const f of functions) {
  for (const form of f.form === 'both' ? (['method', 'function'] as const) : [f.form]) {
    const key = `${form} ${f.name} ${f.params.length}`;
    byKey.set(key, [...(byKey.get(key) ?? []), f]);
  }
}

/** Overloads for a name, form and number of arguments (receiver included); they differ in the kind of the first. */
export function findFunctions(form: 'method' | 'function', name: string, count: number): readonly FunctionSpec[] {
  return byKey.get(`${form} ${name} ${count}`) ?? [];
}

/** Whether an argument of a kind may stand at a position of a function. */
export function accepts(f: FunctionSpec, position: number, kind: Kind): boolean {
  const kinds = f.params[position];
  return kinds === 'any' || (kinds?.includes(kind) ?? false);
}

/** Why a call is to nothing. */
export function unknownFunction(form: 'function' | 'method', name: string, count: number): string {
  const shown = form === 'method' ? `x.${name}` : name;
  for (let other = 0; other <= 4; other++) {
    for (const otherForm of ['function', 'method'] as const) {
      if (findFunctions(otherForm, name, other).length === 0) continue;
      return otherForm === form
        ? `${shown}() does not take ${count} argument${count === 1 ? '' : 's'}`
        : `${name}() is called as ${otherForm === 'method' ? `x.${name}(…)` : `${name}(…)`}`;
    }
  }
  return `no function named ${name}`;
}

/** A regular expression in RE2 syntax: its time is linear in the text. @throws ExpressionError */
export function compilePattern(pattern: string): RE2JS {
  if (pattern.length > 1000) throw new ExpressionError('a regular expression is longer than 1000 characters');
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new ExpressionError(`not a regular expression in RE2 syntax: ${error.message}`, { cause: error });
  }
}

/** Whether the pattern is found anywhere in the text. */
export function matches(pattern: RE2JS, text: string, meter: Meter): boolean {
  // RE2 takes at worst a step for each instruction at each character.
  spend(meter, 1 + Math.floor((text.length * pattern.programSize()) / 64));
  return pattern.matcher(text).find();
}

function spec(
  name: string,
  form: FunctionSpec['form'],
  params: FunctionSpec['params'],
  returns: FunctionSpec['returns'],
  call: FunctionSpec['call'],
): FunctionSpec {
  return { name, form, params, returns, call };
}

/** A method of strings, charged for the length of what it reads. */
function text(
  name: string,
  params: FunctionSpec['params'],
  returns: Kind,
  call: (receiver: string, args: Value[], meter: Meter) => Value,
): FunctionSpec {
  return spec(name, 'method', [string, ...params], returns, ([receiver, ...args], meter) => {
    spendText(meter, (receiver as string).length);
    return call(receiver as string, args, meter);
  });
}

function sizeOf(value: Value): number {
  if (typeof value === 'string') return hasSurrogates(value) ? characters(value).length : value.length;
  return Array.isArray(value) ? value.length : isMap(value) ? Object.keys(value).length : 0;
}

/** Characters as CEL counts them: code points. */
function characters(s: string): string[] {
  return Array.from(s);
}

// Positions count characters, as CEL says; only texts with characters beyond U+FFFF need the slow way.
function hasSurrogates(s: string): boolean {
  return /[\ud800-\udfff]/.test(s);
}

function characterIndex(s: string, unitIndex: number): number {
  return unitIndex > 0 && hasSurrogates(s) ? characters(s.slice(0, unitIndex)).length : unitIndex;
}

function substring(s: string, start: bigint, end: bigint | null): string {
  const all = hasSurrogates(s) ? characters(s) : s;
  const size = all.length;
  const [from, to] = [Number(start), end === null ? size : Number(end)];
  if (from < 0 || from > to || to > size)
    throw new ExpressionError(`the range ${from} to ${to} does not lie within a text of ${size} characters`);
  const part = all.slice(from, to);
  return typeof part === 'string' ? part : part.join('');
}

function split(s: string, separator: string, limit: number): string[] {
  if (limit === 0) return [];
  const parts = s.split(separator);
  if (limit < 0 || parts.length <= limit) return limitList(parts);
  return limitList([...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)]);
}

function joinAll(parts: Value[], separator: string, meter: Meter): string {
  spend(meter, parts.length);
  let length = separator.length * Math.max(0, parts.length - 1);
  const texts = parts.map((part) => {
    if (typeof part !== 'string') throw new ExpressionError(`join() is for lists of strings, not of ${kindOf(part)}`);
    length += part.length;
    return part;
  });
  limitText(length);
  spendText(meter, length);
  return texts.join(separator);
}

/** A fresh list of the elements, each as it is read out of a list. */
function elements(value: Value | undefined, meter: Meter): Value[] {
  const source = limitList(value as Value[]);
  spend(meter, source.length);
  return source.map(read);
}

function sum(values: Value[], meter: Meter): Value {
  let total: Value = 0n;
  for (const value of values) {
    if (typeof value !== 'bigint' && typeof value !== 'number')
      throw new ExpressionError(`sum() is for lists of numbers, not of ${kindOf(value)}`);
    total = compute('+', total, value, meter);
  }
  return total;
}

function extreme(values: Value[], which: 'min' | 'max'): Value {
  const [first, ...rest] = values;
  if (first === undefined) throw new ExpressionError(`${which}() of an empty list`);
  return rest.reduce((best, value) => (inOrder(value, best) < 0 === (which === 'min') ? value : best), first);
}

function inOrder(a: Value, b: Value): number {
  const order = compare(a, b);
  if (order === null) throw new ExpressionError(`${kindOf(a)} and ${kindOf(b)} have no order`);
  return order;
}

function distinct(values: Value[], meter: Meter): Value[] {
  const seen = new Set<Value>();
  const kept: Value[] = [];
  for (const value of values) {
    if (typeof value === 'object' && value !== null) {
      spend(meter, kept.length);
      if (kept.some((other) => equal(other, value, meter))) continue;
    } else if (seen.has(value)) continue;
    seen.add(value);
    kept.push(value);
  }
  return kept;
}

function toInt(value: bigint | number | string): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'string' ? /^[-+]?[0-9]{1,18}$/.test(value) : Math.abs(value) < 2 ** 63)
    return BigInt(typeof value === 'string' ? value.replace('+', '') : Math.trunc(value));
  throw new ExpressionError(`int() cannot read ${JSON.stringify(value)?.slice(0, 80)}`);
}

function toDouble(value: bigint | number | string): number {
  if (typeof value !== 'string' || /^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$/.test(value))
    return Number(value);
  throw new ExpressionError(`double() cannot read ${JSON.stringify(value).slice(0, 80)}`);
}

function toBool(value: boolean | string): boolean {
  if (typeof value === 'boolean') return value;
  if (['1', 't', 'true', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'f', 'false', 'FALSE', 'False'].includes(value)) return false;
  throw new ExpressionError(`bool() cannot read ${JSON.stringify(value).slice(0, 80)}`);
}

function toJsonText(value: Value, meter: Meter): string {
  const written = JSON.stringify(toJson(value, { cost: 0, bytes: 0 }));
  limitText(written.length);
  spend(meter, written.length >> 4);
  return written;
}

function valueOf(optional: Optional): Value {
  if (optional.value === undefined) throw new ExpressionError('value() of an optional that has none; use orValue(…)');
  return optional.value;
}

/** The field, element or none: what `.?` and `[?]` do. */
export function optionalSelect(container: Value, key: Value): Optional {
  const inner = container instanceof Optional ? container.value : container;
  if (inner === undefined || inner === null) return none;
  if (Array.isArray(inner)) {
    const element = typeof key === 'bigint' ? inner[Number(key)] : undefined;
    return element === undefined ? none : new Optional(read(element));
  }
  if (!isMap(inner) || typeof key !== 'string' || !Object.hasOwn(inner, key)) return none;
  return new Optional(read(inner[key] ?? null));
}
