import type { Finding, Rule, VisitedExpression, VisitedStep, VisitedWorkflow } from '../visit.ts';

/**
 * A step with an `if` may be Skipped, which meets the need of whoever reads its outputs: they are null then. Warns unless
 * the reader's own `if`, or the expression itself, looks at what became of the step.
 */
export const unguardedReference: Rule = {
  name: 'unguarded-reference',
  check: (workflow) => [
    ...workflow.steps.flatMap((step) => step.expressions.flatMap((e) => findUnguarded(workflow, e, step))),
    ...workflow.outputs.flatMap((e) => findUnguarded(workflow, e, null)),
  ],
};

function findUnguarded(
  { byName }: VisitedWorkflow,
  expression: VisitedExpression,
  reader: VisitedStep | null,
): Finding[] {
  const ownIf = reader?.expressions.find((e) => e.place === 'if');
  return expression.steps.flatMap((name) => {
    const target = byName.get(name);
    if (target?.spec.if === undefined || target === reader) return [];
    const offset = expression.source.search(new RegExp(`\\bsteps\\.${name}\\.outputs\\b`));
    if (offset === -1 || looksAt(expression.source, name)) return [];
    // The reader is skipped together with the step, or decides by it.
    if (ownIf && ownIf !== expression) {
      if (ownIf.steps.includes(name) || ownIf.calls.status.includes(name) || ownIf.source === target.spec.if) return [];
    }
    const message = `step "${name}" has an if and may be skipped: its outputs are null then; guard it, as in \`steps.${name}.phase == 'Succeeded' ? … : …\``;
    return [{ path: expression.path, offset, severity: 'warning', message }];
  });
}

/** The expression asks whether the step ran, or says what to do without its outputs. */
function looksAt(source: string, name: string): boolean {
  const step = `\\bsteps\\.${name}`;
  return new RegExp(
    `${step}\\.phase\\b|status\\(\\s*['"]${name}['"]|${step}\\.outputs(\\.\\w+)*\\s*[!=]=\\s*null|has\\(\\s*${step}\\.outputs|${step}\\.outputs(\\.\\w+)*\\.\\?|${step}\\.\\?`,
  ).test(source);
}
