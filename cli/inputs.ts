import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import type { JsonObject, JsonValue } from '../crds/json.ts';
import { CliError, exitCodes, usageError } from './exit.ts';
import type { Io } from './io.ts';

export const inputHelp =
  'an input; repeatable. A value is text where the workflow says `type: string`, else it is read as YAML: 3, true, [a, b], {a: 1}, or text';

/** The inputs of a run: those of the file, and over them those of the command line, read by the types that `schemas` give. */
export async function readInputs(
  io: Io,
  given: { input?: string[]; inputFile?: string },
  schemas: JsonObject,
): Promise<JsonObject> {
  const inputs: JsonObject = given.inputFile === undefined ? {} : await readInputFile(io, given.inputFile);
  for (const pair of given.input ?? []) {
    const [name, text] = splitPair('--input', pair);
    inputs[name] = readValue(`--input ${name}`, text, schemas[name]);
  }
  return inputs;
}

/** `name=value`; the value may hold anything. @throws CliError */
export function splitPair(option: string, pair: string): [name: string, value: string] {
  const at = pair.indexOf('=');
  if (at < 1) throw usageError(`${option} ${JSON.stringify(pair)} is not of the form name=value`);
  return [pair.slice(0, at), pair.slice(at + 1)];
}

/** One value of the command line. @throws CliError when it is no YAML */
export function readValue(what: string, text: string, schema: JsonValue | undefined): JsonValue {
  if (isText(text, schema)) return text;
  try {
    return readYamlValue(text);
  } catch (cause) {
    throw usageError(`${what}: ${firstLine(cause)}; to give text that is not YAML, put it in quotes: '"…"'`);
  }
}

function isText(text: string, schema: JsonValue | undefined): boolean {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return false;
  const { type, enum: words } = schema;
  if (type === 'string') return true;
  return type === undefined && Array.isArray(words) && words.includes(text);
}

async function readInputFile(io: Io, path: string): Promise<JsonObject> {
  const bytes =
    path === '-'
      ? await io.readStdin()
      : await readFile(resolve(io.cwd, path)).catch((cause: NodeJS.ErrnoException) => {
          const code = cause.code === 'ENOENT' ? exitCodes.notFound : exitCodes.failed;
          throw new CliError(`--input-file ${path} cannot be read: ${cause.message}`, code, { cause });
        });
  let value: JsonValue;
  try {
    value = readYamlValue(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw usageError(`--input-file ${path}: ${firstLine(cause)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw usageError(`--input-file ${path} must hold inputs by name`);
  }
  return value;
}

/** What JSON can say too; dates and the like stay text. */
function readYamlValue(text: string): JsonValue {
  return parse(text, { schema: 'core', maxAliasCount: 100 }) as JsonValue;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';
}
