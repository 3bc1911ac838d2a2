import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { type Kind, kinds } from '../../../crds/kinds.ts';
import { apiVersion, UserMetadata } from '../../../crds/metadata.ts';
import type { Path, Problem } from './position.ts';
import { schemaProblem } from './schema-message.ts';

/** Compiled on first use: a memo of a pure function of the contract, nothing else. */
const validators = new Map<Kind, ValidateFunction>();

/** Checks an object against the schema of its kind: unknown fields, missing ones, types, bounds. */
export function checkSchema(kind: Kind, object: unknown): Problem[] {
  const validate = validator(kind);
  if (validate(object)) return [];
  const problems: Problem[] = [];
  for (const error of validate.errors ?? []) {
    // `propertyNames` itself only repeats the error about the name; `if` and `anyOf` repeat their branches.
    if (error.keyword === 'propertyNames') continue;
    problems.push(schemaProblem(error, pathOf(error, object)));
  }
  return problems;
}

function validator(kind: Kind): ValidateFunction {
  let validate = validators.get(kind);
  if (!validate) {
    const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true, verbose: true, logger: false });
    validate = ajv.compile({
      type: 'object',
      properties: {
        apiVersion: { const: apiVersion },
        kind: { const: kind },
        metadata: forAjv(UserMetadata),
        spec: forAjv(kinds[kind].spec),
      },
      required: ['apiVersion', 'kind', 'metadata', 'spec'],
      additionalProperties: false,
    });
    validators.set(kind, validate);
  }
  return validate;
}

/**
 * The contract's schema in the words of plain JSON Schema: Kubernetes keywords out, unions of literals as `enum` (one
 * error instead of one per literal), and maps by additionalProperties (a pattern `^.*$` would pass over keys with line breaks).
 */
function forAjv(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(forAjv);
  if (typeof schema !== 'object' || schema === null) return schema;
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key.startsWith('x-kubernetes-')) continue;
    if (key === 'anyOf' && Array.isArray(value) && value.every((v) => 'const' in v)) {
      out['enum'] = value.map((v) => v.const);
    } else if (key === 'patternProperties' && Object.keys(value).length === 1 && '^.*$' in value) {
      out['additionalProperties'] = forAjv(value['^.*$']);
    } else {
      out[key] = forAjv(value);
    }
  }
  return out;
}

/** The path an error is about; for unknown or badly named fields, that field. */
function pathOf(error: ErrorObject, object: unknown): Path {
  const path: (string | number)[] = [];
  let value = object;
  for (const token of error.instancePath.split('/').slice(1)) {
    const key = token.replaceAll('~1', '/').replaceAll('~0', '~');
    const part = Array.isArray(value) ? Number(key) : key;
    path.push(part);
    value = (value as Record<string | number, unknown> | null | undefined)?.[part];
  }
  if (error.keyword === 'additionalProperties') path.push(String(error.params['additionalProperty']));
  if (error.propertyName !== undefined) path.push(error.propertyName);
  return path;
}
