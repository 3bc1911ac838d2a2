import type { Kind } from '../../../crds/kinds.ts';
import { checkStorable } from './json-limits.ts';
import type { Problem } from './position.ts';
import { checkSchema } from './schema.ts';
import { checkShape } from './shape.ts';

/** Most problems reported for one object or file: the rest is the same mistake again. */
export const maxProblems = 100;

/**
 * Whether a JSON value is an object of this kind as a user may write it: apiVersion, kind, metadata (name, generateName,
 * namespace, labels, annotations) and spec. Empty when it is. References and expressions are lint's (`lintObject`).
 */
export function validateObject(kind: Kind, object: unknown): Problem[] {
  // Depth and text first: what follows recurses, and prints what it finds.
  const unstorable = checkStorable(object);
  if (unstorable.length > 0) return unstorable.slice(0, maxProblems);
  const problems = checkSchema(kind, object);
  if (problems.length > 0) return problems.slice(0, maxProblems);
  return checkShape(kind, object as { metadata: Record<string, string>; spec: unknown });
}
