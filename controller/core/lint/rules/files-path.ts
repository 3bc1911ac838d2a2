import { refusePath } from '../../paths.ts';
import type { Rule } from '../visit.ts';

/** What runs is what lies beside the workflow: nothing may point out of its folder. */
export const filesPath: Rule = {
  name: 'files-path',
  check: ({ spec }) =>
    (spec.files ?? []).flatMap((pattern, i) => {
      const reason = refusePath(pattern);
      return reason === null ? [] : [{ path: ['spec', 'files', i], message: `"${pattern}" ${reason}` }];
    }),
};
