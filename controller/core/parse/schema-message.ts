import type { ErrorObject } from 'ajv/dist/2020.js';
import {
  durationPattern,
  identifierPattern,
  labelKeyPattern,
  labelPattern,
  labelValuePattern,
  namePattern,
} from '../../../crds/metadata.ts';
import { suggest } from '../expression/suggest.ts';
import { formatPath, type Path, type Problem } from './position.ts';

/** What the patterns of the contract mean, for people. */
export const patternMeanings: Record<string, string> = {
  [identifierPattern]: 'start with a lowercase letter and hold only lowercase letters, digits and _, at most 40',
  [namePattern]: 'hold only lowercase letters, digits, - and ., with a letter or digit at both ends and beside each .',
  [labelKeyPattern]: 'be a name such as team or example.org/team, at most 63 letters, digits, -, _ and . after the /',
  [labelValuePattern]: 'hold only letters, digits, -, _ and ., and start and end with a letter or digit',
  [labelPattern]: 'hold only lowercase letters, digits and -, at most 63, and start and end with a letter or digit',
  [durationPattern]: 'be a duration such as 30s, 1h30m or 7d',
  '^[A-Za-z_][A-Za-z0-9_]{0,127}$': 'hold only letters, digits and _, and not start with a digit',
  '^[A-Za-z_][A-Za-z0-9_]{0,63}$': 'hold only letters, digits and _, and not start with a digit, at most 64',
  '^[-._a-zA-Z0-9]+$': 'hold only letters, digits, -, _ and .',
  '^[1-5]([0-9]{2}|xx)$': 'be a status such as 200, or a class such as 2xx',
};

/** A schema error in words: what is wrong, and what to write instead. Needs ajv's `verbose`. */
export function schemaProblem(error: ErrorObject, path: Path): Problem {
  const name = path.length === 0 ? 'the document' : formatPath(path);
  const params: Record<string, unknown> = error.params;
  const at = error.propertyName === undefined ? 'value' : 'key';
  const say = (rule: string, message: string): Problem => ({ path, at, rule: `schema-${rule}`, message });
  switch (error.keyword) {
    case 'additionalProperties': {
      const field = String(path.at(-1));
      const known = Object.keys((error.parentSchema?.['properties'] as object | undefined) ?? {});
      const where = path.length === 1 ? 'the document' : formatPath(path.slice(0, -1));
      const message = `unknown field "${field}" in ${where}${suggest(field, known)}`;
      return { path, at: 'key', rule: 'schema-unknown-field', message };
    }
    case 'required':
      return say('required', `${name} has no field "${String(params['missingProperty'])}"`);
    case 'type':
      if (error.parentSchema?.['pattern'] === durationPattern) {
        return say('type', `${name} must ${patternMeanings[durationPattern]}, not ${nameOf(error.data, false)}`);
      }
      return say(
        'type',
        `${name} must be ${typeNames(params['type'])}, not ${nameOf(error.data, params['type'] === 'string')}`,
      );
    case 'enum': {
      const allowed = (params['allowedValues'] as unknown[]).map(String);
      const hint = typeof error.data === 'string' ? suggest(error.data, allowed) : '';
      return say('enum', `${name} must be one of ${allowed.join(', ')}${hint}`);
    }
    case 'const':
      return say('const', `${name} must be ${String(params['allowedValue'])}`);
    case 'pattern': {
      const pattern = String(params['pattern']);
      const subject = at === 'key' ? `the name "${error.propertyName}"` : name;
      return say('pattern', `${subject} must ${patternMeanings[pattern] ?? `match ${pattern}`}`);
    }
    default:
      return say(kebab(error.keyword), `${name} ${error.message ?? 'is not valid'}`);
  }
}

function typeNames(type: unknown): string {
  return (Array.isArray(type) ? type : [type]).map((t) => articles[String(t)] ?? String(t)).join(' or ');
}

const articles: Record<string, string> = {
  string: 'text',
  integer: 'an integer',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  null: 'null',
};

function nameOf(value: unknown, quoting = true): string {
  if (value === null) return 'null (is the value missing?)';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'number' || typeof value === 'boolean') return `${value}${quoting ? '; quote it' : ''}`;
  return typeof value === 'string' ? 'text' : 'a map';
}

function kebab(keyword: string): string {
  return keyword.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
}
