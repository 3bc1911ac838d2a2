import { checkCondition, checkTemplate, checkText, type ExpressionProblem } from '../../expression/check.ts';
import type { Scope } from '../../expression/scope.ts';
import { scopeAt, scopeOf } from '../scope.ts';
import { isCondition, type Rule, type VisitedExpression } from '../visit.ts';

/** Expressions that do not parse, refer to nothing, have the wrong type or cost too much. */
export const expression: Rule = {
  name: 'expression',
  check(workflow) {
    const whole = scopeOf(workflow);
    const all = [
      ...workflow.steps.flatMap((step) => step.expressions.map((e) => ({ e, step }))),
      ...[...workflow.outputs, ...workflow.defaults].map((e) => ({ e, step: null })),
    ];
    return all.flatMap(({ e, step }) => {
      const scope = scopeAt(whole, e, step);
      const problems = checkAt(e, scope);
      return problems.map(({ message, offset, rule }) => ({ path: e.path, offset, message, rule }));
    });
  },
};

function checkAt({ place, source }: VisitedExpression, scope: Scope): ExpressionProblem[] {
  if (isCondition(place)) return checkCondition(source, scope);
  return place === 'text' ? checkText(source, scope) : checkTemplate(source, scope);
}
