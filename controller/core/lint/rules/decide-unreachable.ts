import type { Rule } from '../visit.ts';

/** The first case that matches decides: what follows one without an `if` never does. */
export const decideUnreachable: Rule = {
  name: 'decide-unreachable',
  check: ({ steps }) =>
    steps.flatMap(({ spec, path }) => {
      const cases = spec.decide?.cases ?? [];
      const always = cases.findIndex((one) => one.if === undefined);
      return always === -1 || always === cases.length - 1
        ? []
        : [
            {
              path: [...path, 'decide', 'cases', always + 1],
              message: 'the case before always matches: this one never does',
            },
          ];
    }),
};
