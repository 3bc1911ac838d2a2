import { artifactSource } from '../../plan/flow.ts';
import type { Finding, Rule, VisitedStep, VisitedWorkflow } from '../visit.ts';
import type { VisitedExpression } from '../visit-expressions.ts';

/**
 * A step that may be Skipped, or may fail and be counted as met, has no outputs then: they are null. Warns whoever reads
 * them unless the reader's own `if`, or the expression itself, looks at what became of the step.
 */
export const unguardedReference: Rule = {
  name: 'unguarded-reference',
  check: (workflow) => [
    ...workflow.steps.flatMap((step) => step.expressions.flatMap((e) => findUnguarded(workflow, e, step))),
    ...workflow.steps.flatMap((step) => findUnkept(workflow, step)),
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
    if (target === undefined || target === reader) return [];
    const why = whyNull(target, reader, ownIf?.source);
    if (why === null) return [];
    const offset = expression.source.search(new RegExp(`\\bsteps\\.${name}\\.outputs\\b`));
    if (offset === -1 || looksAt(expression.source, name)) return [];
    // The reader decides by it.
    if (ownIf && ownIf !== expression && (ownIf.steps.includes(name) || ownIf.calls.status.includes(name))) return [];
    const message = `step "${name}" ${why}: its outputs are null then; guard it, as in \`steps.${name}.outputs != null ? … : …\``;
    return [{ path: expression.path, offset, severity: 'warning', message }];
  });
}

/** What a step that did not run has kept is not there: whoever takes it fails. */
function findUnkept({ byName }: VisitedWorkflow, taker: VisitedStep): Finding[] {
  const ownIf = taker.expressions.find((e) => e.place === 'if');
  return Object.entries(taker.spec.artifacts?.in ?? {}).flatMap(([file, source]) => {
    const { step: name } = artifactSource(source);
    const target = byName.get(name);
    const why = target === undefined || target === taker ? null : whyNull(target, taker, ownIf?.source);
    if (why === null || ownIf?.steps.includes(name) || ownIf?.calls.status.includes(name)) return [];
    const message = `step "${name}" ${why}: it has kept nothing then, and this one fails; give it an if that looks at steps.${name}.phase`;
    return [{ path: [...taker.path, 'artifacts', 'in', file], severity: 'warning', message }];
  });
}

/** Why the outputs of a step may be null where it is read; null: they are there. */
function whyNull({ spec }: VisitedStep, reader: VisitedStep | null, ownIf: string | undefined): string | null {
  // With the same `if` the reader is skipped together with the step.
  if (spec.if !== undefined && spec.if !== ownIf) return 'has an if and may be skipped';
  // Those of a forEach that failed are still a list, with null for each item that did.
  if (spec.forEach !== undefined) return null;
  if (spec.fallback?.some((one) => one.skip)) return 'may be skipped by its fallback';
  if (spec.criticality === 'low') return 'has criticality low and may have failed';
  // What needs such a step is skipped, but the outputs of the run are not.
  if (spec.criticality === 'medium' && reader === null) return 'has criticality medium and may have failed';
  return null;
}

/** The expression asks whether the step ran, or says what to do without its outputs. */
function looksAt(source: string, name: string): boolean {
  const step = `\\bsteps\\.${name}`;
  return new RegExp(
    `${step}\\.phase\\b|status\\(\\s*['"]${name}['"]|${step}\\.outputs(\\.\\w+)*\\s*[!=]=\\s*null|has\\(\\s*${step}\\.outputs|${step}\\.outputs(\\.\\w+)*\\.\\?|${step}\\.\\?`,
  ).test(source);
}
