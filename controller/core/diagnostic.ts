/** One mistake in a user's file, as a value: where it is, which rule it breaks and what to do about it. */
export interface Diagnostic {
  /** Path as the user knows it, relative to the repository or the working directory. */
  file: string;
  /** 1-based. */
  line: number;
  /** 1-based, in characters. */
  column: number;
  severity: 'error' | 'warning';
  /** Kebab-case name of the rule, such as `needs-unknown-step`; documented in docs/reference/lint.md. */
  rule: string;
  /** What is wrong and what to do. */
  message: string;
}

/** `file:line:column: severity: message [rule]`, the form editors and CI systems read. */
export function formatDiagnostic(d: Diagnostic): string {
  return `${d.file}:${d.line}:${d.column}: ${d.severity}: ${d.message} [${d.rule}]`;
}

/** By file, then position, then rule: the same input always gives the same list. */
export function sortDiagnostics(diagnostics: Diagnostic[]): Diagnostic[] {
  return diagnostics.toSorted(
    (a, b) =>
      (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) ||
      a.line - b.line ||
      a.column - b.column ||
      (a.rule < b.rule ? -1 : a.rule > b.rule ? 1 : 0),
  );
}
