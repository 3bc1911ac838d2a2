import type { Rule } from '../visit.ts';

/** People approve a step by its name, and cannot say which item they mean. */
export const approvalInForEach: Rule = {
  name: 'approval-in-for-each',
  check: ({ steps }) =>
    steps
      .filter((step) => step.kind === 'approval' && step.spec.forEach !== undefined)
      .map((step) => ({
        path: [...step.path, 'forEach'],
        at: 'key',
        message: 'approvals are by step, not by item; ask for one approval in a step before this one',
      })),
};
