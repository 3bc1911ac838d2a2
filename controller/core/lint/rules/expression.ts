import { checkCondition, checkOnly, checkTemplate, checkText, type ExpressionProblem } from '../../expression/check.ts';
import type { Scope } from '../../expression/scope.ts';
import { scopeAt, scopeOf } from '../scope.ts';
import type { Rule } from '../visit.ts';
import { isCondition, type VisitedExpression } from '../visit-expressions.ts';

/** Expressions that do not parse, refer to nothing, have the wrong type or cost too much. */
export const expression: Rule = {
  name: 'expression',
  check(workflow) {
    const whole = scopeOf(workflow);
    const all = [
      ...workflow.steps.flatMap((step) => step.expressions.map((e) => ({ e, step }))),
      ...[...workflow.outputs, ...workflow.stepless].map((e) => ({ e, step: null })),
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
  switch (place) {
    case 'text':
    case 'run':
      return checkText(source, scope);
    case 'items':
      return checkOnly(source, scope, { accepted: ['list', 'map'], wanted: 'a list or a map' });
    case 'list':
      return checkOnly(source, scope, { accepted: ['list'], wanted: 'a list' });
    case 'number':
      // A number of the schema may hold a whole one.
      return checkOnly(source, scope, { accepted: ['int', 'double'], wanted: 'a whole number' });
    default:
      return checkTemplate(source, scope);
  }
}
