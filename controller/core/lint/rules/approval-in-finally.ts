import type { Rule } from '../visit.ts';

/** `finally` has a limit of its own and must end whether or not somebody is there. */
export const approvalInFinally: Rule = {
  name: 'approval-in-finally',
  check: ({ steps }) =>
    steps
      .filter((step) => step.section === 'finally' && step.kind === 'approval')
      .map((step) => ({
        path: [...step.path, 'approval'],
        at: 'key',
        message: 'approval is not allowed in finally, which must end by itself',
      })),
};
