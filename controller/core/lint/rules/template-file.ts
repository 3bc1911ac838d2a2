import { matchFiles } from '../../files-globs.ts';
import { normalizePath, refusePath } from '../../paths.ts';
import type { Rule } from '../visit.ts';

/** Only what `files` names exists at run time. That the file is there is checked where the tree is known. */
export const templateFile: Rule = {
  name: 'template-file',
  check: ({ spec, steps }) =>
    steps.flatMap(({ bodies }) =>
      bodies.flatMap((body) => {
        const file = body.spec.template?.file;
        if (file === undefined) return [];
        const path = [...body.path, 'template', 'file'];
        const reason = refusePath(file);
        if (reason !== null) return [{ path, message: `"${file}" ${reason}` }];
        const named = (spec.files ?? []).some((pattern) => matchFiles(pattern)(normalizePath(file)));
        return named ? [] : [{ path, message: `"${file}" is not named by spec.files` }];
      }),
    ),
};
