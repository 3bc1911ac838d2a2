import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { JsonObject } from '../../../crds/json.ts';
import { kinds, type Kind } from '../../../crds/kinds.ts';
import { canonicalJson } from '../digest.ts';
import { buildPlan } from '../plan/build.ts';
import { checkObject } from './index.ts';

/** Mostly what is good by itself, so that whole workflows pass now and then; sometimes what is not. */
function mostly<T>(good: T[], bad: T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...good) },
    { weight: 1, arbitrary: fc.constantFrom(...bad) },
  );
}

const name = mostly(['a', 'b', 'c', 'd', 'e'], ['in', 'X']);
const condition = mostly(
  ['true', 'inputs.limit > 3', "steps.a.phase == 'Succeeded'", "steps.b.phase == 'Failed'"],
  [
    "status('c') == 'Failed' || failure()",
    'steps.b.outputs.rows > 3',
    'inputs.nope',
    'steps.[',
    "run.outcome == 'Failed'",
  ],
);
const text = mostly(
  ['plain', '${{ inputs.limit }}', 'x ${{ steps.a.phase }} y', "${{ steps.d.phase == 'Failed' }}"],
  ['${{ steps.d.outputs.rows }}', '${{', '${{ steps.c }}'],
);
const script = mostly(['echo'], ['echo ${{ inputs.limit }}', '\0']);
const instant = mostly(['2026-01-01T00:00:00Z', '${{ inputs.limit }}'], ['tomorrow']);
const duration = mostly(['30s', '1h30m'], ['0s', '9000d', '5']);
const schema = mostly<JsonObject>(
  [{ type: 'integer' }, { type: 'integer', default: 1 }],
  [{ type: 'string', default: 1 }, { type: 'nothing' }, { $ref: '#' }],
);
const retry = fc.record(
  { limit: fc.nat(3), if: mostly(['error.retryable', 'attempt < 3'], ['steps.a.x', 'steps.a.phase == error.type']) },
  { requiredKeys: [] },
);
const body = fc.oneof(
  fc.record({ run: script, env: fc.dictionary(fc.constantFrom('A', 'B'), text), outputs: fc.record({ rows: schema }) }),
  fc.record({ assert: fc.array(fc.record({ that: condition, message: text }), { minLength: 1, maxLength: 2 }) }),
  fc.record({
    decide: fc.record({
      cases: fc.array(fc.record({ if: condition, then: fc.record({ rows: text }) }), { minLength: 1, maxLength: 2 }),
    }),
  }),
  fc.record({
    http: fc.record({
      method: fc.constantFrom('POST', 'PUT'),
      url: mostly(['http://x/${{ inputs.limit }}'], ['x']),
      body: text,
    }),
    retry,
  }),
  fc.record({ template: fc.record({ text: script, vars: fc.dictionary(fc.constantFrom('A', 'B'), text) }) }),
  fc.record({ wait: fc.oneof(fc.record({ for: duration }), fc.record({ until: instant })) }),
  fc.record({ approval: fc.record({ timeout: duration }) }),
);
const step = fc
  .tuple(fc.record({ name, if: condition, needs: fc.array(name, { maxLength: 1 }) }, { requiredKeys: ['name'] }), body)
  .map(([common, kind]) => ({ ...common, ...kind }));
const spec = fc.record(
  {
    steps: fc.uniqueArray(step, { minLength: 1, maxLength: 5, selector: (s) => s.name }),
    finally: fc.array(step, { maxLength: 1 }),
    inputs: fc.record({ limit: schema }),
    outputs: fc.record({ out: text }),
    timeout: duration,
    defaults: fc.record({ retry }),
  },
  { requiredKeys: ['steps', 'inputs'] },
);

test('what passes lint makes a plan and a digest; nothing makes lint throw', () => {
  let passed = 0;
  fc.assert(
    fc.property(spec, (written) => {
      const object = { apiVersion: 'windlass.dev/v1alpha1', kind: 'Workflow', metadata: { name: 'w' }, spec: written };
      if (checkObject('Workflow', object).some((problem) => problem.severity !== 'warning')) return;
      passed++;
      const plan = buildPlan({
        digest: 'd',
        workflow: 'w',
        spec: JSON.parse(JSON.stringify(written)) as JsonObject,
        files: {},
      });
      plan.checkInputs({ limit: 1 });
      expect(plan.steps.length).toBe(written.steps.length + (written.finally?.length ?? 0));
      expect(canonicalJson(JSON.parse(JSON.stringify(written)) as JsonObject)).not.toBe('');
    }),
    { numRuns: 3000 },
  );
  expect(passed).toBeGreaterThan(10);
});

test('any JSON is an object of a kind, or has problems that say where', () => {
  fc.assert(
    fc.property(fc.constantFrom(...(Object.keys(kinds) as Kind[])), fc.jsonValue(), (kind, value) => {
      const problems = checkObject(kind, value);
      expect(problems.length).toBeGreaterThan(0);
      for (const problem of problems) expect(problem.message).not.toBe('');
    }),
  );
});
