import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { OutputSchema, StepBody } from '../plan/types.ts';
import { jsonBytes, maxDepth, storableValue } from './storable.ts';
import type { AttemptOutputs, StepError } from './types.ts';

/** Longest JSON of one output. */
export const maxOutputBytes = 1024 * 1024;
/** Longest JSON of all outputs of all steps of a run. */
export const maxRunOutputBytes = 16 * 1024 * 1024;

export type OutputsRead = { ok: true; outputs: JsonObject; bytes: number } | { ok: false; error: StepError };

/**
 * Reads and checks what an attempt hands over. The text of a script is read by the declared types; names that are not
 * declared are refused; declared ones that were not written are null.
 * @param usedBytes what the run's other outputs take of its limit
 */
export function readOutputs(body: StepBody, handed: AttemptOutputs, usedBytes: number): OutputsRead {
  if (body.kind !== 'run' && body.kind !== 'container') {
    return 'text' in handed
      ? refuse([`a ${body.kind} step cannot write outputs as text`])
      : fit(handed.values, usedBytes);
  }
  const problems: string[] = [];
  const written = 'text' in handed ? readText(handed.text, body.outputs, problems) : { ...handed.values };
  const outputs: JsonObject = {};
  for (const [name, schema] of Object.entries(body.outputs)) {
    const value = Object.hasOwn(written, name) ? written[name] : undefined;
    if (value !== undefined) problems.push(...schema.check(value).map((problem) => `output ${name}: ${problem}`));
    outputs[name] = value ?? null;
  }
  for (const name of Object.keys(written)) {
    if (!Object.hasOwn(body.outputs, name)) problems.push(`output ${name} is not declared in the step's outputs`);
  }
  return problems.length > 0 ? refuse(problems) : fit(outputs, usedBytes);
}

/** Checks values that need no reading: makes their text storable and holds the limits. */
export function fit(values: JsonObject, usedBytes: number): OutputsRead {
  const storable = storableValue(values, maxDepth + 1);
  if (storable === null) return refuse([`outputs may be nested ${maxDepth} deep at most`]);
  const outputs = storable.value as JsonObject;
  let bytes = 0;
  for (const [name, value] of Object.entries(outputs)) {
    const size = jsonBytes(value);
    if (size > maxOutputBytes) return refuse([`output ${name} is ${size} bytes as JSON; at most ${maxOutputBytes}`]);
    bytes += size;
  }
  if (usedBytes + bytes > maxRunOutputBytes) {
    return refuse([`the outputs of the run would be larger than ${maxRunOutputBytes} bytes in all`]);
  }
  return { ok: true, outputs, bytes };
}

/** What a step's outputs take of the run's limit; the sum that `fit` is told. */
export function outputsSize(outputs: JsonObject | null): number {
  let bytes = 0;
  for (const value of Object.values(outputs ?? {})) bytes += jsonBytes(value);
  return bytes;
}

function readText(text: string, declared: Record<string, OutputSchema>, problems: string[]): JsonObject {
  const values: JsonObject = {};
  for (const { name, raw, line } of readPairs(text, problems)) {
    const schema = Object.hasOwn(declared, name) ? declared[name] : undefined;
    if (schema === undefined) {
      problems.push(`output file, line ${line}: ${nameForPeople(name)} is not declared in the step's outputs`);
      continue;
    }
    const value = readValue(raw, schema);
    if (value === undefined) problems.push(`output ${name}: not JSON of type ${schema.type}`);
    else values[name] = value;
  }
  return values;
}

/** Messages hold names, never values: a value may be a secret that went astray. */
function nameForPeople(name: string): string {
  return /^[A-Za-z_][\w-]{0,63}$/.test(name) ? name : 'a name';
}

function readValue(raw: string, schema: OutputSchema): JsonValue | undefined {
  if (schema.type === 'string') return raw;
  let value: JsonValue;
  try {
    value = JSON.parse(raw);
  } catch {
    return schema.type === 'any' ? raw : undefined;
  }
  // A number that JSON allows and JavaScript cannot hold would be stored as null.
  if (typeof value === 'number' && !Number.isFinite(value)) return undefined;
  switch (schema.type) {
    case 'any':
      return value;
    case 'array':
      return Array.isArray(value) ? value : undefined;
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
    case 'integer':
      return Number.isSafeInteger(value) ? value : undefined;
    default:
      return typeof value === schema.type ? value : undefined;
  }
}

/** The pairs of GitHub's output file: `name=value`, or `name<<END`, lines, `END`. The last of a name wins. */
function* readPairs(text: string, problems: string[]): Generator<{ name: string; raw: string; line: number }> {
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const line = withoutReturn(lines[i] ?? '');
    if (line === '') continue;
    const equals = line.indexOf('=');
    const heredoc = line.indexOf('<<');
    if (heredoc >= 0 && (equals < 0 || heredoc < equals)) {
      const end = line.slice(heredoc + 2);
      const from = i + 1;
      let to = from;
      while (to < lines.length && withoutReturn(lines[to] ?? '') !== end) to++;
      if (to === lines.length || end === '') {
        problems.push(`output file, line ${i + 1}: no line ends the value; expected name<<END, the value, END`);
        return;
      }
      yield { name: line.slice(0, heredoc), raw: lines.slice(from, to).join('\n'), line: i + 1 };
      i = to;
    } else if (equals >= 0) {
      yield { name: line.slice(0, equals), raw: line.slice(equals + 1), line: i + 1 };
    } else {
      problems.push(`output file, line ${i + 1}: expected name=value or name<<END`);
      return;
    }
  }
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}

/** All problems in one message, the first ones only when there are many. */
function refuse(problems: string[]): OutputsRead {
  const shown = problems.slice(0, 5).join('; ');
  const more = problems.length > 5 ? `; and ${problems.length - 5} more` : '';
  return { ok: false, error: { type: 'output', message: shown + more, retryable: false } };
}
