import { findKind, type Kind, kinds, type ObjectByKind } from '../../../crds/kinds.ts';
import { apiVersion } from '../../../crds/metadata.ts';
import { type Diagnostic, sortDiagnostics } from '../diagnostic.ts';
import { decodeFile, mentionsWindlass } from './bytes.ts';
import { suggest } from '../expression/suggest.ts';
import type { Path, Position, Problem } from './position.ts';
import { maxProblems, validateObject } from './validate.ts';
import { readYaml, type YamlDocument } from './yaml.ts';

/** What a user may write in `metadata`. */
export interface WrittenMetadata {
  name?: string;
  generateName?: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

/** An object as a user writes it: no uid, no status. */
export interface WrittenObject<K extends Kind = Kind> {
  apiVersion: typeof apiVersion;
  kind: K;
  metadata: WrittenMetadata;
  spec: ObjectByKind[K]['spec'];
}

/** One valid document of a file: fits its kind's schema and shape. */
export type ParsedDocument = { [K in Kind]: ParsedDocumentOf<K> }[Kind];

export interface ParsedDocumentOf<K extends Kind> {
  file: string;
  kind: K;
  /** `metadata.name`; empty for a run that is named by generateName. */
  name: string;
  object: WrittenObject<K>;
  /** Where a value (or the name of a field) is; with `offset`, a place inside a text value. */
  locate(path: Path, at?: 'key' | 'value', offset?: number): Position;
}

/**
 * Reads every Windlass object of a YAML file. Documents of other API groups are skipped, and so is a file that cannot be
 * parsed unless it mentions `windlass.dev/`, or `named` says that the user asked for this very file. Documents with
 * mistakes are left out and their diagnostics given. Never throws.
 */
export function parseDocuments(
  file: string,
  bytes: Uint8Array,
  options: { named?: boolean } = {},
): { documents: ParsedDocument[]; diagnostics: Diagnostic[] } {
  const counts = options.named === true || mentionsWindlass(bytes);
  const error = (p: Position, rule: string, message: string): Diagnostic => {
    return { file, line: p.line, column: p.column, severity: 'error', rule, message };
  };
  const decoded = decodeFile(bytes);
  if (!decoded.ok) {
    const diagnostic = error({ line: decoded.line, column: 1 }, decoded.rule, decoded.message);
    return { documents: [], diagnostics: counts ? [diagnostic] : [] };
  }
  const yaml = readYaml(decoded.text);
  const diagnostics = counts ? yaml.syntax.map((s) => error(s, s.rule, s.message)) : [];
  const documents: ParsedDocument[] = [];
  for (const document of yaml.documents) {
    const read = readDocument(file, document);
    if (read === null) continue;
    if ('problems' in read) diagnostics.push(...read.problems.map((p) => diagnose(file, document, p)));
    else documents.push(read);
  }
  return { documents, diagnostics: firstDiagnostics(diagnostics, maxProblems) };
}

/** A problem of an object as a diagnostic of the file it was read from. */
export function diagnose(file: string, document: Pick<ParsedDocument, 'locate'>, problem: Problem): Diagnostic {
  const position = document.locate(problem.path, problem.at, problem.offset);
  return { file, ...position, severity: problem.severity ?? 'error', rule: problem.rule, message: problem.message };
}

/** Sorted, each once: what an alias repeats is said once, where it is written. */
export function uniqueDiagnostics(diagnostics: Diagnostic[]): Diagnostic[] {
  const byText = new Map(diagnostics.map((d) => [JSON.stringify(d), d]));
  return sortDiagnostics([...byText.values()]);
}

/** Unique ones up to a limit, errors before warnings; the last then says how many there are beyond it. */
export function firstDiagnostics(diagnostics: Diagnostic[], limit: number): Diagnostic[] {
  const unique = uniqueDiagnostics(diagnostics);
  if (unique.length <= limit) return unique;
  const byWeight = [...unique.filter((d) => d.severity === 'error'), ...unique.filter((d) => d.severity !== 'error')];
  const shown = sortDiagnostics(byWeight.slice(0, limit - 1));
  const message = `${unique.length - shown.length} more mistakes are not shown`;
  return [...shown, { ...(shown.at(-1) as Diagnostic), rule: 'too-many', message }];
}

/** Null for a document that is none of ours. */
function readDocument(file: string, document: YamlDocument): ParsedDocument | { problems: Problem[] } | null {
  const kindName = typeof document.kind === 'string' ? document.kind : '';
  const kind = Object.hasOwn(kinds, kindName) ? (kindName as Kind) : undefined;
  const version = document.apiVersion;
  if (version === undefined || version === null) {
    // A file of another tool may have a `kind` too, but never one of ours and no apiVersion.
    if (!kind) return null;
    const message = `a ${kind} needs "apiVersion: ${apiVersion}"`;
    return { problems: [{ path: [], rule: 'api-version', message }] };
  }
  if (typeof version !== 'string' || !version.startsWith('windlass.dev/')) return null;
  if (version !== apiVersion) {
    return { problems: [{ path: ['apiVersion'], rule: 'api-version', message: `apiVersion must be ${apiVersion}` }] };
  }
  if (!kind) return { problems: [{ path: ['kind'], rule: 'kind', message: unknownKind(kindName) }] };
  const problems = findProblems(kind, document);
  if (problems.length > 0) return { problems: problems.slice(0, maxProblems) };
  const object = document.value as unknown as WrittenObject;
  const name = object.metadata.name ?? '';
  return { file, kind, name, object, locate: document.locate } as ParsedDocument;
}

/** What the text gets wrong, and what the schema says beside it: all at once, so that nobody mends a file ten times. */
function findProblems(kind: Kind, document: YamlDocument): Problem[] {
  const written = document.problems;
  // After these the value is cut short, and the schema would complain about the rest.
  if (written.some((p) => p.rule === 'depth' || p.rule === 'yaml-aliases')) return written;
  const places = new Set(written.map((p) => JSON.stringify(p.path)));
  return [...written, ...validateObject(kind, document.value).filter((p) => !places.has(JSON.stringify(p.path)))];
}

function unknownKind(name: string): string {
  const meant = findKind(name);
  const hint = meant ? `; did you mean "${meant}"?` : suggest(name, Object.keys(kinds));
  return `unknown kind "${name}"${hint || `; known kinds: ${Object.keys(kinds).join(', ')}`}`;
}
