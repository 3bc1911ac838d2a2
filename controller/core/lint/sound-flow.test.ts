import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { JsonObject } from '../../../crds/json.ts';
import { buildPlan } from '../plan/build.ts';
import { checkObject } from './index.ts';

/** Mostly what is good by itself, so that whole workflows pass now and then; sometimes what is not. */
function mostly(good: unknown[], bad: unknown[]): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...good) },
    { weight: 1, arbitrary: fc.constantFrom(...bad) },
  );
}

const read = mostly(
  ['${{ inputs.limit }}', 'x-${{ run.date }}', '${{ steps.a.outputs.rows }}'],
  [
    '${{ item }}',
    '${{ shop }}',
    '${{ error.type }}',
    '${{ attempt }}',
    '${{ index + 1 }}',
    '${{ steps.c.phase }}',
    '${{',
  ],
);
const duration = mostly(['30s', '1h30m'], ['0s', '9000d', '5']);
const retry = fc.record({ limit: fc.nat(3), if: mostly(['error.retryable', 'attempt < 3'], ['index > 3', 'item']) });
const other = fc.oneof(
  fc.record({ run: mostly(['echo'], ['${{ x }}']), env: fc.dictionary(fc.constantFrom('A', 'B'), read) }),
  fc.record({ container: fc.record({ image: mostly(['i:1'], ['${{ x }}']), args: fc.array(read, { maxLength: 1 }) }) }),
  fc.record({ http: fc.record({ url: mostly(['http://x'], ['x']), body: read, method: fc.constant('PUT') }) }),
  fc.record({ workflow: fc.record({ name: mostly(['other'], ['w']), inputs: fc.record({ x: read }) }) }),
  fc.record({ template: fc.record({ text: fc.constant('x'), vars: fc.record({ x: read }) }) }),
);
const otherWithLimits = fc
  .tuple(other, fc.record({ timeout: duration, retry }, { requiredKeys: [] }))
  .map(([body, limits]) => ({ ...body, ...limits }));

/** Everything about a step that is not what it does. */
const fields = {
  forEach: fc.oneof(
    fc.record({ items: mostly([[1, 2], { a: 1 }, '${{ inputs.list }}'], [3, 'x', '${{ inputs.limit }}']) }),
    fc.record({ items: fc.constant([]), as: mostly(['shop'], ['run', 'in', 'index']) }),
    fc.record({ range: fc.record({ to: mostly([3, '${{ inputs.limit }}'], [1e6, 1.5, 'x']) }) }),
    fc.record({ matrix: fc.dictionary(fc.constantFrom('os', 'arch'), mostly([[1]], ['x']), { minKeys: 1 }) }),
  ),
  until: fc.record({ condition: mostly(['true', "steps.c.phase == 'x'"], ['item == 1', '3']), limit: fc.constant(3) }),
  criticality: fc.constantFrom('critical', 'high', 'medium', 'low'),
  fallback: fc
    .tuple(
      fc.array(otherWithLimits, { maxLength: 2 }),
      fc.constantFrom([], [{ skip: true }], [{ fail: '${{ error.type }}' }]),
    )
    .map((parts) => parts.flat())
    .filter((all) => all.length > 0),
  compensate: otherWithLimits,
  locks: fc.array(fc.record({ name: read }), { minLength: 1, maxLength: 2 }),
  cache: fc.record({ key: fc.array(read, { maxLength: 1 }), ttl: duration }),
  artifacts: fc.record({
    out: fc.dictionary(fc.constantFrom('x', 'z'), mostly(['x', './q/z'], ['../x', '.'])),
    in: fc.dictionary(fc.constantFrom('p', 'q/r', '/s'), mostly(['a.file'], ['a.fil', 'c.x', 'z.x']), { maxKeys: 1 }),
  }),
};
const step = fc
  .tuple(fc.record(fields), fc.subarray(Object.keys(fields), { minLength: 1, maxLength: 3 }), otherWithLimits)
  .map(([all, some, body]) => {
    const chosen = Object.fromEntries(Object.entries(all).filter(([field]) => some.includes(field)));
    return { name: 'c', ...body, ...chosen };
  });
const spec = step.map((c) => ({
  inputs: { limit: { type: 'integer' }, list: { type: 'array' } },
  steps: [{ name: 'a', run: 'x', outputs: { rows: { type: 'integer' } }, artifacts: { out: { file: 'f' } } }, c],
}));

test('what passes lint makes a plan, whatever is said of items, other bodies, locks, cache and artifacts', () => {
  const passed = new Map(Object.keys(fields).map((field) => [field, 0]));
  fc.assert(
    fc.property(spec, (written) => {
      const object = { apiVersion: 'windlass.dev/v1alpha1', kind: 'Workflow', metadata: { name: 'w' }, spec: written };
      if (checkObject('Workflow', object).some((problem) => problem.severity !== 'warning')) return;
      for (const field of Object.keys(written.steps[1] ?? {})) {
        if (passed.has(field)) passed.set(field, (passed.get(field) ?? 0) + 1);
      }
      const plan = buildPlan({
        digest: 'd',
        workflow: 'w',
        spec: JSON.parse(JSON.stringify(written)) as JsonObject,
        files: {},
      });
      expect(plan.steps).toHaveLength(2);
    }),
    { numRuns: 2000 },
  );
  // Else nothing is said about them.
  for (const [field, count] of passed) expect(count, field).toBeGreaterThan(3);
});
