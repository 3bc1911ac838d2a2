import type { Rule } from '../visit.ts';

/** A step cannot wait for itself, nor read what it has not done yet. */
export const needsSelf: Rule = {
  name: 'needs-self',
  check: ({ steps }) =>
    steps.flatMap(({ name, spec, path, expressions }) => [
      ...(spec.needs ?? []).flatMap((need, i) =>
        need === name ? [{ path: [...path, 'needs', i], message: `step "${name}" cannot need itself` }] : [],
      ),
      ...expressions
        // Repeating and undoing come after it has run.
        .filter((e) => e.place !== 'until' && e.part !== 'compensate')
        .filter((e) => e.steps.includes(name) || e.calls.status.includes(name))
        .map((e) => ({ path: e.path, message: `step "${name}" cannot read itself: it has not run yet` })),
    ]),
};
