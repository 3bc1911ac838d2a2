import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';
import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import { suggest } from '../expression/suggest.ts';

/** A JSON Schema of a user, compiled. */
export interface CompiledSchema {
  /** Problems of a value, empty when it fits. Defaults inside the value are filled in place. */
  check(value: JsonValue): string[];
}

/**
 * Compiles the schema of an input or output: JSON Schema 2020-12, strict (an unknown keyword is a mistake, not a comment),
 * self-contained and without recursion, so that checking costs no more than schema times value. Patterns are RE2.
 * @throws Error whose message tells a user what is wrong with the schema.
 */
export function compileSchema(schema: JsonValue): CompiledSchema {
  const refused = findRefused(schema);
  if (refused !== null) throw new Error(`"${refused}" is not supported; write the schema out in place`);
  if (typeof schema === 'boolean') return { check: () => (schema ? [] : ['no value is allowed']) };
  if (meta.validateSchema(schema as JsonObject) !== true) {
    // The first error is the deepest; those after it say that what holds it is wrong, too.
    throw new Error((meta.errors ?? []).slice(0, 1).map(describe).join());
  }
  const validate = compile(withoutDefault(schema) as JsonObject);
  return {
    check(value) {
      if (validate(value)) return [];
      return (validate.errors ?? []).filter((e) => e.keyword !== 'propertyNames').map(describe);
    },
  };
}

function compile(schema: JsonObject): ValidateFunction {
  // A new instance for each schema: ajv keeps patterns and enums of all it ever compiled. Without the meta-schema it is cheap.
  const ajv = new Ajv2020({
    strict: true,
    meta: false,
    validateSchema: false,
    allowUnionTypes: true,
    allErrors: true,
    useDefaults: true,
    logger: false,
    code: { regExp: re2 },
  });
  try {
    return ajv.compile(schema);
  } catch (error) {
    throw new Error((error as Error).message.replace(/^strict mode: /, ''), { cause: error });
  }
}

/** Checks schemas, compiles none: all it holds is the meta-schema. */
const meta = new Ajv2020({ logger: false });

/** The default of the whole value is filled in by who has the value, and ajv's strict mode refuses it at the root. */
function withoutDefault(schema: JsonValue): JsonValue {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return schema;
  const { default: _, ...rest } = schema;
  return rest;
}

const re2 = Object.assign(
  (pattern: string) => {
    const compiled = RE2JS.compile(pattern);
    // ajv takes two patterns for one when they print the same.
    return { test: (text: string) => compiled.matcher(text).find(), toString: () => `/${pattern}/` };
  },
  // Only read when ajv writes standalone code, which we never ask for.
  { code: 're2' },
);

/** Keywords that refer elsewhere: they would let a schema fetch, recurse, or cost exponential time. */
const refusedKeywords = [
  '$ref',
  '$dynamicRef',
  '$recursiveRef',
  '$id',
  '$anchor',
  '$dynamicAnchor',
  '$schema',
  '$async',
];
/** Keywords whose value is data, or maps names to schemas: their keys are no keywords. */
const dataKeywords = new Set(['default', 'const', 'enum', 'examples', 'required']);
const mapKeywords = new Set(['properties', 'patternProperties', 'dependentSchemas', '$defs', 'definitions']);

function findRefused(schema: JsonValue): string | null {
  if (Array.isArray(schema)) return first(schema, findRefused);
  if (typeof schema !== 'object' || schema === null) return null;
  return first(Object.entries(schema), ([key, value]) => {
    if (refusedKeywords.includes(key)) return key;
    if (dataKeywords.has(key) || value === undefined) return null;
    const inMap = mapKeywords.has(key) && typeof value === 'object' && value !== null;
    return inMap ? first(Object.values(value), findRefused) : findRefused(value);
  });
}

function first<T>(items: T[], find: (item: T) => string | null): string | null {
  for (const item of items) {
    const found = find(item);
    if (found !== null) return found;
  }
  return null;
}

/** `limit must be integer`: the path inside the value in front, when there is one. */
function describe(error: ErrorObject): string {
  const path = error.instancePath.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~');
  const params: Record<string, unknown> = error.params;
  let message = error.message ?? 'is not valid';
  if (error.keyword === 'enum')
    message = `must be one of ${(params['allowedValues'] as unknown[]).map(show).join(', ')}`;
  if (error.keyword === 'type') message = `must be ${[params['type']].flat().join(' or ')}`;
  if (error.keyword === 'const') message = `must be ${show(params['allowedValue'])}`;
  if (error.keyword === 'additionalProperties')
    message = `has the unknown field "${String(params['additionalProperty'])}"`;
  return path === '' ? message : `${path} ${message}`;
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/**
 * Checks a run's inputs against the workflow's declarations and fills in defaults. An input without a default must be given.
 * The given object is not changed.
 */
export function compileInputs(
  declared: Record<string, JsonValue>,
): (inputs: JsonObject) => { ok: true; inputs: JsonObject } | { ok: false; problems: string[] } {
  // On first use: a plan is often built only to be run by steps that have no inputs to check.
  const compiled = new Map<string, CompiledSchema>();
  return (given) => {
    const inputs: JsonObject = {};
    const problems: string[] = [];
    for (const name of Object.keys(given)) {
      if (!Object.hasOwn(declared, name)) {
        problems.push(`unknown input "${name}"${suggest(name, Object.keys(declared))}`);
      }
    }
    for (const [name, schema] of Object.entries(declared)) {
      let value = Object.hasOwn(given, name) ? given[name] : undefined;
      if (value === undefined) value = defaultOf(schema);
      if (value === undefined) {
        problems.push(`input "${name}" is missing`);
        continue;
      }
      let check = compiled.get(name);
      if (!check) compiled.set(name, (check = compileSchema(schema)));
      const copy = structuredClone(value);
      for (const problem of check.check(copy)) problems.push(`input "${name}": ${problem}`);
      inputs[name] = copy;
    }
    return problems.length > 0 ? { ok: false, problems } : { ok: true, inputs };
  };
}

/** The `default` of a schema, or undefined. */
export function defaultOf(schema: JsonValue): JsonValue | undefined {
  const isMap = typeof schema === 'object' && schema !== null && !Array.isArray(schema);
  return isMap && Object.hasOwn(schema, 'default') ? schema['default'] : undefined;
}
