import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../../crds/json.ts';
import { buildPlan } from './build.ts';
import type { Plan, PlanStep } from './types.ts';

function planOf(spec: JsonObject): Plan {
  return buildPlan({ digest: 'sha256:0', workflow: 'w', spec, files: {} });
}

function needsOf(plan: Plan): Record<string, string[]> {
  const name = (index: number) => plan.steps[index]?.name ?? '?';
  return Object.fromEntries(plan.steps.map((step) => [step.name, step.needs.map(name)]));
}

function only(spec: JsonObject, rest: JsonObject = {}): PlanStep {
  return planOf({ ...rest, steps: [{ name: 'a', ...spec }] }).steps[0] as PlanStep;
}

describe('edges', () => {
  test('come from needs, from every expression and from status(), never from the own name', () => {
    const plan = planOf({
      steps: [
        { name: 'a', run: 'x', env: { SELF: '${{ steps.a.phase }}' } },
        { name: 'by_env', run: 'x', env: { A: '${{ steps.a.outputs.x }}' } },
        { name: 'by_if', if: "steps.a.phase == 'Succeeded' && status('by_env') == 'Failed'", run: 'x' },
        { name: 'by_retry', run: 'x', retry: { if: "steps.a.phase == 'Skipped'" } },
        { name: 'by_assert', assert: [{ that: 'steps.a.outputs.x', message: '${{ steps.by_if.phase }}' }] },
        {
          name: 'by_decide',
          decide: { cases: [{ if: 'steps.a.outputs.x', then: { y: ['${{ steps.by_if.phase }}'] } }] },
        },
        {
          name: 'by_http',
          http: {
            url: 'http://${{ steps.a.phase }}',
            headers: { X: '${{ steps.by_if.phase }}' },
            body: { y: [{ z: '${{ steps.by_env.phase }}' }] },
          },
        },
        { name: 'by_template', template: { text: '', vars: { y: { z: '${{ steps.a.phase }}' } } } },
        { name: 'by_wait', wait: { until: '${{ steps.a.outputs.at }}' } },
        { name: 'both', needs: ['by_wait', 'a', 'by_wait'], run: 'x', env: { A: '${{ steps.a.phase }}' } },
      ],
      outputs: { x: '${{ steps.both.phase }}' },
    });
    expect(needsOf(plan)).toEqual({
      a: [],
      by_env: ['a'],
      by_if: ['a', 'by_env'],
      by_retry: ['a'],
      by_assert: ['a', 'by_if'],
      by_decide: ['a', 'by_if'],
      by_http: ['a', 'by_env', 'by_if'],
      by_template: ['a'],
      by_wait: ['a'],
      both: ['a', 'by_wait'],
    });
  });

  test('finally needs no main step, but its own steps', () => {
    const plan = planOf({
      steps: [{ name: 'a', run: 'x' }],
      finally: [
        { name: 'g', needs: ['f'], run: 'x', env: { A: '${{ steps.a.phase }}' } },
        { name: 'f', needs: ['a'], run: 'x' },
      ],
    });
    expect(needsOf(plan)).toEqual({ a: [], g: ['f'], f: [] });
    expect(plan.mainCount).toBe(1);
    expect(plan.steps.map((step) => step.section)).toEqual(['main', 'finally', 'finally']);
  });

  test.each([
    [
      'a cycle',
      [
        { name: 'a', needs: ['b'], run: 'x' },
        { name: 'b', needs: ['a'], run: 'x' },
      ],
      /circle: among a, b/,
    ],
    ['an unknown need', [{ name: 'a', needs: ['b'], run: 'x' }], /needs "b"/],
    [
      'two steps of one name',
      [
        { name: 'a', run: 'x' },
        { name: 'a', run: 'x' },
      ],
      /same name/,
    ],
    ['a step without a kind', [{ name: 'a' }], /no kind/],
  ])('%s throws: lint has refused it before', (_, steps, message) => {
    expect(() => planOf({ steps })).toThrow(message);
  });

  test('of any graph are sound: both ways the same, ascending, and without circles', () => {
    const graph = fc.integer({ min: 1, max: 40 }).chain((size) =>
      fc.tuple(
        fc.shuffledSubarray(
          Array.from({ length: size }, (_, i) => i),
          { minLength: size },
        ),
        fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 120 }),
      ),
    );
    fc.assert(
      fc.property(graph, ([order, pairs]) => {
        // Edges go from lower to higher, whatever the order of the steps in the file.
        const edges = pairs.filter(([from, to]) => from !== to).map((pair) => [Math.min(...pair), Math.max(...pair)]);
        const steps = order.map((i) => ({
          name: `s${i}`,
          run: 'x',
          needs: edges.filter(([, to]) => to === i).map(([from]) => `s${from}`),
        }));
        const plan = planOf({ steps });
        const ended = new Set<number>();
        for (const step of plan.steps) {
          expect(step.needs).toEqual([...new Set(step.needs)].sort((a, b) => a - b));
          expect(step.successors).toEqual([...new Set(step.successors)].sort((a, b) => a - b));
          for (const need of step.needs) expect(plan.steps[need]?.successors).toContain(step.index);
          for (const next of step.successors) expect(plan.steps[next]?.needs).toContain(step.index);
          expect(plan.byName.get(step.name)).toBe(step.index);
        }
        for (let round = 0; round < plan.steps.length; round++) {
          for (const step of plan.steps) if (step.needs.every((need) => ended.has(need))) ended.add(step.index);
        }
        expect(ended.size).toBe(plan.steps.length);
        const wanted = new Set(edges.map(([from, to]) => `s${from} s${to}`));
        expect(plan.steps.reduce((sum, step) => sum + step.needs.length, 0)).toBe(wanted.size);
      }),
    );
  });

  test('have no bound of their own: the schema bounds what is applied', () => {
    const steps = Array.from({ length: 10_000 }, (_, i) => ({
      name: `s${i}`,
      needs: i === 0 ? [] : ['s0', `s${i - 1}`],
      run: 'x',
    }));
    const plan = planOf({ steps });
    expect(plan.steps[0]?.successors).toHaveLength(9999);
    expect(plan.steps[9999]?.needs).toEqual([0, 9998]);
  });
});

describe('defaults', () => {
  const standard = { limit: 0, initialMs: 1000, factor: 2, maxMs: 60_000, jitter: 0.2, condition: null };

  test('of this apiVersion: one hour, no deadline, no retry', () => {
    expect(only({ run: 'x' })).toMatchObject({ main: { timeoutMs: 3_600_000, retry: standard }, deadlineMs: null });
    expect(planOf({ steps: [{ name: 'a', run: 'x' }] }).timeoutMs).toBeNull();
  });

  test('of the workflow reach run, http and template, and no others', () => {
    const defaults = { defaults: { timeout: '5m', retry: { limit: 3, backoff: { max: '10s' } } } };
    for (const body of [{ run: 'x' }, { http: { url: 'http://x' } }, { template: { text: 'x' } }]) {
      const step = only(body, defaults).main;
      expect(step.timeoutMs).toBe(300_000);
      expect(step.retry).toEqual({ ...standard, limit: 3, maxMs: 10_000 });
    }
    for (const body of [{ assert: [{ that: 'true' }] }, { wait: { for: '1m' } }, { approval: {} }]) {
      expect(only(body, defaults).main).toMatchObject({ timeoutMs: null, retry: standard });
    }
  });

  test('of a step win field by field', () => {
    const defaults = {
      defaults: { timeout: '5m', retry: { limit: 3, if: 'error.retryable', backoff: { factor: 3 } } },
    };
    const step = only({ run: 'x', timeout: '1m', retry: { limit: 1, backoff: { initial: '2s' } } }, defaults).main;
    expect(step.timeoutMs).toBe(60_000);
    expect(step.retry).toMatchObject({ limit: 1, initialMs: 2000, factor: 3 });
    expect(step.retry.condition?.source).toBe('error.retryable');
  });

  test.each([
    ['GET', undefined, true, 3],
    ['PUT', undefined, true, 3],
    ['POST', undefined, false, 0],
    ['PATCH', undefined, false, 0],
    ['POST', { limit: 2 }, true, 2],
    ['POST', {}, true, 3],
  ])('%s with retry %j: retried %s, %d times', (method, retry, retryable, limit) => {
    const spec = { http: { url: 'http://x', method }, ...(retry ? { retry } : {}) };
    const step = only(spec, { defaults: { retry: { limit: 3 } } }).main;
    expect(step.body).toMatchObject({ kind: 'http', retryable });
    expect(step.retry.limit).toBe(limit);
  });

  test('of each kind', () => {
    expect(only({ run: 'x' }).main.body).toEqual({
      kind: 'run',
      script: 'x',
      shell: ['sh', '-ec'],
      env: {},
      secrets: {},
      pod: {
        image: null,
        resources: null,
        nodeSelector: {},
        tolerations: [],
        affinity: null,
        volumes: [],
        imagePullSecrets: [],
        serviceAccountName: null,
        security: 'restricted',
        podTemplate: {},
      },
      outputs: {},
    });
    const image = (spec: JsonObject) => only({ run: 'x', ...spec }, { defaults: { image: 'base:1' } }).main.body;
    expect(image({})).toMatchObject({ pod: { image: 'base:1' } });
    expect(image({ image: 'own:1' })).toMatchObject({ pod: { image: 'own:1' } });
    expect(only({ http: { url: 'http://x' } }).main.body).toMatchObject({
      method: 'GET',
      body: null,
      expect: ['2xx'],
      requestTimeoutMs: 30_000,
    });
    expect(only({ template: { file: './a//b' } }).main.body).toMatchObject({ source: { file: 'a/b' } });
    expect(only({ wait: { for: '1m' } }).main.body).toEqual({ kind: 'wait', until: { forMs: 60_000 } });
    expect(only({ approval: {} }).main.body).toEqual({ kind: 'approval', groups: null, count: 1, timeoutMs: null });
    expect(only({ approval: { timeout: '2d' }, deadline: '1h' })).toMatchObject({
      main: { body: { timeoutMs: 172_800_000 } },
      deadlineMs: 3_600_000,
    });
  });
});

describe('inputs', () => {
  const plan = planOf({
    inputs: {
      region: { type: 'string', enum: ['eu', 'us'], default: 'eu' },
      limit: { type: 'integer', minimum: 1 },
      options: {
        type: 'object',
        properties: { deep: { type: 'boolean', default: true } },
        additionalProperties: false,
      },
    },
    steps: [{ name: 'a', run: 'x' }],
  });

  test('get their defaults, also inside of them, and the given object is left alone', () => {
    const given = { limit: 3, options: {} };
    expect(plan.checkInputs(given)).toEqual({ ok: true, inputs: { region: 'eu', limit: 3, options: { deep: true } } });
    expect(given).toEqual({ limit: 3, options: {} });
  });

  test('that are wrong are told all at once, in words', () => {
    expect(plan.checkInputs({ regoin: 'eu', region: 'fr', limit: '3', options: { dep: 1 } })).toEqual({
      ok: false,
      problems: [
        'unknown input "regoin"; did you mean region?',
        'input "region": must be one of eu, us',
        'input "limit": must be integer',
        'input "options": has the unknown field "dep"',
      ],
    });
    expect(plan.checkInputs({})).toEqual({
      ok: false,
      problems: ['input "limit" is missing', 'input "options" is missing'],
    });
  });

  test('named like members of every object are unknown like others', () => {
    expect(plan.checkInputs({ limit: 1, options: {}, constructor: 1 })).toMatchObject({ ok: false });
  });
});

describe('declared outputs', () => {
  test('say how to read them, and check what was read', () => {
    const { body } = only({
      run: 'x',
      outputs: { n: { type: 'integer', maximum: 3 }, any: {}, two: { type: ['null'] } },
    }).main;
    if (body.kind !== 'run') throw new Error('not a run step');
    expect(Object.values(body.outputs).map((output) => output.type)).toEqual(['integer', 'any', 'any']);
    expect(body.outputs['n']?.check(3)).toEqual([]);
    expect(body.outputs['n']?.check(4)).toEqual(['must be <= 3']);
  });
});
