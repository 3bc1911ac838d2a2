import type { LockSpec } from '../../../../crds/workflow.ts';
import type { Path } from '../../parse/position.ts';
import type { Finding, Rule } from '../visit.ts';

/** All locks are taken together, each once. */
export const lockTwice: Rule = {
  name: 'lock-twice',
  check: ({ spec, steps }) => [
    ...twice(spec.locks, ['spec', 'locks']),
    ...steps.flatMap((step) => twice(step.spec.locks, [...step.path, 'locks'])),
  ],
};

function twice(locks: LockSpec[] = [], path: Path): Finding[] {
  return locks.flatMap(({ name }, i) =>
    locks.findIndex((other) => other.name === name) === i
      ? []
      : [{ path: [...path, i, 'name'], message: `the lock "${name}" is in the list already` }],
  );
}
