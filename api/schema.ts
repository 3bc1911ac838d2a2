import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import type { resolver } from 'hono-openapi';
import type { TSchema } from 'typebox';
import { patternMeanings } from '../controller/core/parse/schema-message.ts';
import type { InvalidField } from './problem.ts';

/**
 * A TypeBox schema in the shape that hono-openapi reads: `~standard` checks with ajv, `Type` gives the JSON Schema for the
 * OpenAPI document. `ref` in a schema names it under `components.schemas`.
 */
export type ApiSchema = Parameters<typeof resolver>[0] & { Type(): TSchema };

/** `text`: values come as strings (query, path) and are converted to the schema's types. */
export function apiSchema(schema: TSchema, source: 'json' | 'text', documented = schema): ApiSchema {
  // Compiled at the first request: compiling all at once would cost most of the start-up time.
  let check: ValidateFunction | undefined;
  return {
    Type: () => documented,
    '~standard': {
      version: 1,
      vendor: 'typebox',
      validate(value) {
        check ??= new Ajv2020({
          strict: false,
          allErrors: true,
          useDefaults: true,
          coerceTypes: source === 'text' ? 'array' : false,
        }).compile(schema);
        if (check(value)) return { value };
        return { issues: invalidFields(check.errors ?? []).map((p) => ({ ...p, path: [p.path] })) };
      },
    },
  };
}

/** ajv's errors as a user reads them; one for each place and rule. */
function invalidFields(errors: ErrorObject[]): InvalidField[] {
  const seen = new Map<string, InvalidField>();
  for (const error of errors) {
    const field = invalidField(error);
    seen.set(`${field.path} ${field.rule} ${field.message}`, field);
  }
  return [...seen.values()];
}

function invalidField(error: ErrorObject): InvalidField {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((at, part) => (/^\d+$/.test(part) ? `${at}[${part}]` : at ? `${at}.${part}` : part), '');
  const params = error.params as { additionalProperty?: string; missingProperty?: string; allowedValues?: unknown[] };
  if (error.keyword === 'additionalProperties') {
    const name = params.additionalProperty ?? '';
    return { path: path ? `${path}.${name}` : name, message: `${name} is not known here`, rule: 'unknown-field' };
  }
  if (error.keyword === 'required') {
    const name = params.missingProperty ?? '';
    return { path: path ? `${path}.${name}` : name, message: `${name} is missing`, rule: 'required' };
  }
  if (error.keyword === 'pattern') {
    const { pattern = '' } = error.params as { pattern?: string };
    return { path, message: `must ${patternMeanings[pattern] ?? `match ${pattern}`}`, rule: 'pattern' };
  }
  const among = params.allowedValues ? `: ${params.allowedValues.join(', ')}` : '';
  return { path, message: `${error.message ?? 'is wrong'}${among}`, rule: kebab(error.keyword) };
}

function kebab(word: string): string {
  return word.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
}
