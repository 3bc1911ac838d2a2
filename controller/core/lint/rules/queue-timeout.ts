import type { Rule } from '../visit.ts';

/** Only concurrency and locks of the workflow make a run wait in the queue. */
export const queueTimeout: Rule = {
  name: 'queue-timeout',
  check: ({ spec }) =>
    spec.queueTimeout === undefined || spec.concurrency || spec.locks
      ? []
      : [
          {
            path: ['spec', 'queueTimeout'],
            at: 'key',
            severity: 'warning',
            message: 'without concurrency or locks of the workflow no run waits in the queue',
          },
        ],
};
