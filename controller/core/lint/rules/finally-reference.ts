import type { Finding, Rule, VisitedWorkflow } from '../visit.ts';
import type { VisitedExpression } from '../visit-expressions.ts';

/** `finally` begins when the steps have ended and the outcome is final: nothing before it can wait for it or read it. */
export const finallyReference: Rule = {
  name: 'finally-reference',
  check(workflow) {
    const { steps, byName, outputs } = workflow;
    const main = steps.filter((step) => step.section === 'steps');
    const needs = main.flatMap(({ spec, path }) =>
      (spec.needs ?? [])
        .map((name, i): Finding => ({ path: [...path, 'needs', i], message: explain(name) }))
        .filter((_, i) => byName.get(spec.needs?.[i] ?? '')?.section === 'finally'),
    );
    return [...needs, ...[...main.flatMap((step) => step.expressions), ...outputs].flatMap((e) => read(workflow, e))];
  },
};

function read({ byName }: VisitedWorkflow, { path, steps, calls }: VisitedExpression): Finding[] {
  return [...new Set([...steps, ...calls.status])]
    .filter((name) => byName.get(name)?.section === 'finally')
    .map((name) => ({ path, message: explain(name) }));
}

function explain(name: string): string {
  return `step "${name}" is in finally, which begins after all steps`;
}
