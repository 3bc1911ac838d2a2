import type { Finding, Rule } from '../visit.ts';

/** `finally` begins when everything has been stopped and compensated, and its outcome is final. */
export const finallyField: Rule = {
  name: 'finally-field',
  check: ({ steps }) =>
    steps
      .filter((step) => step.section === 'finally')
      .flatMap(({ spec, path }): Finding[] => [
        ...(spec.compensate
          ? [{ path: [...path, 'compensate'], at: 'key' as const, message: 'nothing in finally is compensated' }]
          : []),
        ...(spec.criticality === 'critical'
          ? [{ path: [...path, 'criticality'], message: 'nothing in finally is critical: each of its steps may run' }]
          : []),
      ]),
};
