import { suggest } from '../../expression/suggest.ts';
import type { Rule } from '../visit.ts';

/** `needs` names a step that is not there. */
export const needsUnknownStep: Rule = {
  name: 'needs-unknown-step',
  check: ({ steps, byName }) =>
    steps.flatMap(({ name, spec, path }) =>
      (spec.needs ?? []).flatMap((need, i) => {
        if (byName.has(need)) return [];
        const others = [...byName.keys()].filter((other) => other !== name);
        return [{ path: [...path, 'needs', i], message: `there is no step "${need}"${suggest(need, others)}` }];
      }),
    ),
};
