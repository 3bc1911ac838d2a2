import type { Kind } from '../../../crds/kinds.ts';
import type { Diagnostic } from '../diagnostic.ts';
import {
  diagnose,
  type ParsedDocument,
  parseDocuments,
  firstDiagnostics,
  type WrittenObject,
} from '../parse/documents.ts';
import type { Problem } from '../parse/position.ts';
import { maxProblems, validateObject } from '../parse/validate.ts';
import { lintEnvironment } from './environment.ts';
import { lintSource } from './source.ts';
import { lintWorkflow } from './workflow.ts';

/** What is wrong in an object that fits its schema and shape: references, expressions, rules across fields. */
export function lintObject(object: WrittenObject): Problem[] {
  if (object.kind === 'Workflow') {
    return lintWorkflow(object.metadata.name ?? null, (object as WrittenObject<'Workflow'>).spec);
  }
  if (object.kind === 'Environment') {
    return lintEnvironment(object.metadata.name ?? '', (object as WrittenObject<'Environment'>).spec);
  }
  if (object.kind === 'WorkflowSource') return lintSource((object as WrittenObject<'WorkflowSource'>).spec);
  return [];
}

/** Schema, shape and lint of a JSON value, for what does not come from a file. */
export function checkObject(kind: Kind, object: unknown): Problem[] {
  const problems = validateObject(kind, object);
  return problems.length > 0 ? problems : lintObject(object as WrittenObject);
}

/** Lint of a document with positions. */
function lintDocument(document: ParsedDocument): Diagnostic[] {
  return lintObject(document.object).map((p) => diagnose(document.file, document, p));
}

/** Parses and lints one file: what `windlass lint` and the git reader say about it. Options as of parseDocuments. */
export function checkFile(
  file: string,
  bytes: Uint8Array,
  options: { named?: boolean } = {},
): { documents: ParsedDocument[]; diagnostics: Diagnostic[] } {
  const { documents, diagnostics } = parseDocuments(file, bytes, options);
  return {
    documents,
    diagnostics: firstDiagnostics([...diagnostics, ...documents.flatMap(lintDocument)], maxProblems),
  };
}
