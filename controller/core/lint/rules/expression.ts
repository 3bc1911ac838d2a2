import { checkCondition, checkTemplate } from '../../expression/check.ts';
import { scopeAt, scopeOf } from '../scope.ts';
import { isCondition, type Rule } from '../visit.ts';

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
      // Behind a space an expression stands inside text, where a list or map is refused: these places yield text.
      const text = e.place === 'text' ? `${e.source} ` : e.source;
      const problems = isCondition(e.place) ? checkCondition(e.source, scope) : checkTemplate(text, scope);
      return problems.map(({ message, offset, rule }) => ({ path: e.path, offset, message, rule }));
    });
  },
};
