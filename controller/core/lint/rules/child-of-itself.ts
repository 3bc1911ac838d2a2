import type { Rule } from '../visit.ts';

/** A workflow that runs itself as a child would never come to an end: such a run is refused. */
export const childOfItself: Rule = {
  name: 'child-of-itself',
  check: ({ name, steps }) =>
    steps.flatMap(({ bodies }) =>
      bodies
        .filter((body) => name !== null && body.spec.workflow?.name === name)
        .map(({ path }) => ({
          path: [...path, 'workflow', 'name'],
          message: `"${name}" cannot run itself as a child; repeat steps with forEach or until`,
        })),
    ),
};
