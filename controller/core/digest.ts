import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { JsonObject, JsonValue } from '../../crds/json.ts';
import { checkNumber } from './parse/json-limits.ts';

/** Hex of the SHA-256 of bytes. */
export function sha256Hex(bytes: Uint8Array): string {
  return bytesToHex(sha256(bytes));
}

/**
 * JSON as RFC 8785 writes it: keys by UTF-16 code units, no spaces, ECMAScript's numbers. Equal values give equal text.
 * @throws RangeError for numbers that are not exact (beyond ±(2^53-1), NaN) and text that is no Unicode.
 */
export function canonicalJson(value: JsonValue): string {
  if (typeof value === 'number') {
    const problem = checkNumber(value);
    if (problem !== null) throw new RangeError(problem);
    return JSON.stringify(value);
  }
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new RangeError('text has half of a surrogate pair');
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  // The default order of sort() is by UTF-16 code units, as the RFC wants.
  const fields = Object.keys(value).sort();
  return `{${fields.map((key) => `${canonicalJson(key)}:${canonicalJson(value[key] as JsonValue)}`).join(',')}}`;
}

/**
 * The content digest of a workflow, `sha256:<hex>`: a version is its digest. The description is not in it; nor are
 * defaults, so that a digest stays what it was when a later release fills in more.
 * @throws RangeError as canonicalJson; parsing has refused such values in files.
 */
export function workflowDigest(workflow: { name: string; spec: JsonObject; files: Record<string, string> }): string {
  const { description: _, ...spec } = workflow.spec;
  const content: JsonObject = { v: 1, name: workflow.name, spec, files: workflow.files, actions: {} };
  return `sha256:${sha256Hex(new TextEncoder().encode(canonicalJson(content)))}`;
}
