import type { Diagnostic } from '../diagnostic.ts';

/** Where a value is in an object: field names and list positions from the root. */
export type Path = readonly (string | number)[];

/** 1-based line and column, the column in characters. */
export interface Position {
  line: number;
  column: number;
}

/** One mistake in an object, by path; in a file it becomes a Diagnostic. */
export interface Problem {
  path: Path;
  /** `key`: the field's name is wrong, not its value. */
  at?: 'key' | 'value';
  /** For text: how many UTF-16 units into the value the mistake is. */
  offset?: number;
  severity?: Diagnostic['severity'];
  rule: string;
  message: string;
}

/** `spec.steps[0].env.PATH`; keys that are no plain words are quoted. */
export function formatPath(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(part)) text += text === '' ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}

/** Characters of a text as editors count columns: a surrogate pair is one. */
export function countCharacters(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);
}
