import type { Rule } from '../visit.ts';

/** `steps.NAME` and `needs` must mean one step. */
export const duplicateStep: Rule = {
  name: 'duplicate-step',
  check: ({ steps, byName }) =>
    steps
      .filter((step) => byName.get(step.name) !== step)
      .map((step) => ({ path: [...step.path, 'name'], message: `another step is named "${step.name}" already` })),
};
