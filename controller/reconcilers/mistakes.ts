import { lintObject } from '../core/lint/index.ts';
import type { WrittenObject } from '../core/parse/documents.ts';
import { formatPath } from '../core/parse/position.ts';

/** What lint refuses in an object that its schema let through, one line each: `spec.path: what is wrong [rule]`. */
export function mistakesIn({ apiVersion, kind, metadata, spec }: WrittenObject): string[] {
  return lintObject({ apiVersion, kind, metadata, spec })
    .filter((problem) => problem.severity !== 'warning')
    .map((problem) => `${formatPath(problem.path)}: ${problem.message} [${problem.rule}]`);
}
