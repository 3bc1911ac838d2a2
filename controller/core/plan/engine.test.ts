import { describe, expect, test } from 'vitest';
import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { ExpressionContext } from '../expression/types.ts';
import { buildPlan } from './build.ts';
import type { Body, Plan, PlanStep } from './types.ts';

function planOf(spec: JsonObject): Plan {
  return buildPlan({ digest: 'sha256:0', workflow: 'w', spec, files: {} });
}

function only(step: JsonObject, spec: JsonObject = {}): PlanStep {
  return planOf({ ...spec, steps: [{ name: 'a', ...step }] }).steps[0] as PlanStep;
}

function needsOf(plan: Plan): Record<string, string[]> {
  const name = (index: number) => plan.steps[index]?.name ?? '?';
  return Object.fromEntries(plan.steps.map((step) => [step.name, step.needs.map(name)]));
}

function contextOf(change: Partial<ExpressionContext>): ExpressionContext {
  return {
    inputs: {},
    steps: {},
    run: { id: 'u', name: 'r', namespace: 'n', date: '2026-01-31', outcome: null, error: null },
    workflow: { name: 'w', digest: 'd' },
    environment: {},
    ...change,
  };
}

describe('defaults', () => {
  test('of a step that says nothing of items, other bodies, locks, cache and artifacts', () => {
    expect(only({ run: 'x' })).toMatchObject({
      criticality: 'high',
      forEach: null,
      until: null,
      locks: [],
      cache: null,
      artifacts: { out: {}, in: {} },
      fallback: [],
      compensate: null,
    });
    const plan = planOf({ steps: [{ name: 'a', run: 'x' }] });
    expect(plan).toMatchObject({ queueTimeoutMs: null, parallelism: null, concurrency: null, locks: [] });
  });

  test('of one that says little', () => {
    const step = only({
      run: 'x',
      forEach: { items: [1] },
      until: { condition: 'true', limit: 3 },
      locks: [{ name: 'l' }],
      cache: {},
    });
    expect(step.forEach).toMatchObject({ as: 'item', parallelism: null, failFast: true });
    expect(step.until).toMatchObject({ limit: 3, intervalMs: 0 });
    expect(step.locks).toMatchObject([{ limit: 1 }]);
    expect(step.cache).toEqual({ key: [], version: '', ttlMs: 7 * 86_400_000 });
    const range = only({ run: 'x', forEach: { range: { to: 3 } } }).forEach?.items;
    expect(range).toMatchObject({ from: { source: 0 }, to: { source: 3 }, step: 1 });
  });

  test('of a workflow that says all', () => {
    const plan = planOf({
      queueTimeout: '5m',
      parallelism: 7,
      concurrency: { group: 'g' },
      locks: [{ name: 'l', limit: 3 }],
      steps: [{ name: 'a', run: 'x' }],
    });
    expect(plan).toMatchObject({
      queueTimeoutMs: 300_000,
      parallelism: 7,
      concurrency: { group: { source: 'g' }, policy: 'Queue' },
      locks: [{ name: { source: 'l' }, limit: 3 }],
    });
  });
});

describe('edges', () => {
  const steps = [
    { name: 'a', run: 'x', outputs: { list: {} }, artifacts: { out: { file: 'a' } } },
    { name: 'b', run: 'x' },
  ];
  const read = '${{ steps.a.outputs.list }}';
  test.each<[string, JsonObject, string[]]>([
    ['a list of items', { run: 'x', forEach: { items: read } }, ['a']],
    ['the ends of a range', { run: 'x', forEach: { range: { from: '${{ steps.b.phase }}', to: read } } }, ['a', 'b']],
    ['a list of a matrix', { run: 'x', forEach: { matrix: { x: [1], z: read } } }, ['a']],
    [
      'the condition of until, but not its own outputs',
      { run: 'x', until: { condition: 'steps.c.outputs.x == steps.a.phase', limit: 1 } },
      ['a'],
    ],
    ['a lock', { run: 'x', locks: [{ name: read }] }, ['a']],
    ['a part of the cache key', { run: 'x', cache: { key: ['x', read] } }, ['a']],
    ['an artifact', { run: 'x', artifacts: { in: { there: 'a.file' } } }, ['a']],
    ['a fallback', { run: 'x', fallback: [{ http: { url: 'http://x', body: read } }] }, ['a']],
    ["a fallback's env", { run: 'x', fallback: [{ run: 'x', env: { X: read } }] }, ['a']],
    ["a fallback's retry", { run: 'x', fallback: [{ run: 'x', retry: { if: "steps.a.phase == ''" } }] }, ['a']],
    ['the text of fail', { run: 'x', fallback: [{ fail: read }] }, ['a']],
    [
      'arguments of a container',
      { container: { image: 'i', command: [read], args: ['${{ steps.b.phase }}'] } },
      ['a', 'b'],
    ],
    ['inputs of a child', { workflow: { name: 'w', inputs: { x: [{ z: read }] } } }, ['a']],
    [
      'not a compensation',
      { run: 'x', compensate: { run: 'x', env: { X: read }, retry: { if: "steps.b.phase == ''" } } },
      [],
    ],
  ])('%s', (_, step, needs) => {
    expect(needsOf(planOf({ steps: [...steps, { name: 'c', ...step }] }))['c']).toEqual(needs);
  });

  test('a circle by an artifact or by items throws: lint has refused it before', () => {
    const circle = [
      { name: 'a', run: 'x', artifacts: { in: { x: 'b.x' } } },
      { name: 'b', run: 'x', forEach: { items: read } },
    ];
    expect(() => planOf({ steps: circle })).toThrow(/circle: among a, b/);
  });
});

describe('fallbacks and compensations', () => {
  const limits = { defaults: { timeout: '5m', retry: { limit: 3 } } };
  const bodyOf = (step: JsonObject, spec: JsonObject = limits) => only(step, spec).fallback[0] as Body;

  test('have the limits of their own, else the timeout of the step and the retries of the workflow', () => {
    const step = { run: 'x', timeout: '1m', retry: { limit: 9 } };
    expect(bodyOf({ ...step, fallback: [{ run: 'z' }] })).toMatchObject({ timeoutMs: 60_000, retry: { limit: 3 } });
    expect(bodyOf({ run: 'x', fallback: [{ run: 'z' }] })).toMatchObject({ timeoutMs: 300_000 });
    expect(bodyOf({ run: 'x', fallback: [{ run: 'z' }] }, {})).toMatchObject({
      timeoutMs: 3_600_000,
      retry: { limit: 0 },
    });
    const own = { run: 'z', timeout: '2m', retry: { limit: 1 } };
    expect(bodyOf({ ...step, fallback: [own] })).toMatchObject({ timeoutMs: 120_000, retry: { limit: 1 } });
    expect(only({ ...step, compensate: own }, limits).compensate).toMatchObject({
      timeoutMs: 120_000,
      retry: { limit: 1 },
    });
  });

  test('that send a POST repeat it only if they say so themselves', () => {
    const post = { http: { url: 'http://x', method: 'POST' } };
    const step = { run: 'x', retry: { limit: 2 } };
    expect(bodyOf({ ...step, fallback: [post] })).toMatchObject({ retry: { limit: 0 }, body: { retryable: false } });
    const repeated = { ...post, retry: { limit: 1 } };
    expect(bodyOf({ ...step, fallback: [repeated] })).toMatchObject({ retry: { limit: 1 }, body: { retryable: true } });
  });

  test('have the env, secrets and Pod of the step, and env of their own before it', () => {
    const step = only({
      run: 'x',
      shell: ['bash', '-c'],
      env: { A: 'step', B: 'step' },
      secrets: { T: { name: 's', key: 'k' } },
      image: 'i:1',
      nodeSelector: { disk: 'ssd' },
      outputs: { n: { type: 'integer' } },
      compensate: { run: 'undo', env: { B: 'own' } },
      fallback: [{ container: { image: 'j:1' } }],
    });
    if (step.compensate?.body.kind !== 'run') throw new Error('not a script');
    const { env, ...rest } = step.compensate.body;
    expect(Object.fromEntries(Object.entries(env).map(([name, { source }]) => [name, source]))).toEqual({
      A: 'step',
      B: 'own',
    });
    expect(rest).toMatchObject({
      script: 'undo',
      shell: ['bash', '-c'],
      secrets: { T: { name: 's', key: 'k' } },
      pod: { image: 'i:1', nodeSelector: { disk: 'ssd' } },
    });
    expect((step.fallback[0] as Body).body).toMatchObject({
      kind: 'container',
      image: 'j:1',
      command: null,
      args: null,
      pod: { image: 'j:1', nodeSelector: { disk: 'ssd' } },
      outputs: { n: { type: 'integer' } },
    });
  });

  test('that are scripts in place of another kind give its outputs', () => {
    const { body } = bodyOf({ http: { url: 'http://x' }, fallback: [{ run: 'x' }] });
    const { outputs } = body as Extract<Body['body'], { kind: 'run' }>;
    expect(Object.entries(outputs).map(([name, { type }]) => [name, type])).toEqual([
      ['status', 'integer'],
      ['headers', 'object'],
      ['body', 'any'],
    ]);
    expect(outputs['status']?.check('200')).not.toEqual([]);
  });

  test('may be a skip or a message', () => {
    const { fallback } = only({ run: 'x', fallback: [{ run: 'z' }, { fail: 'no: ${{ error.type }}' }] });
    const [, fail] = fallback;
    if (fail === undefined || !('fail' in fail)) throw new Error('not a fail');
    expect(fail.fail.evaluate(contextOf({ error: { type: 'exit' } }))).toBe('no: exit');
    expect(only({ run: 'x', fallback: [{ skip: true }] }).fallback).toEqual([{ skip: true }]);
  });
});

describe('kinds', () => {
  test('a child run has no limits but its own, unless the step says so', () => {
    const defaults = { defaults: { timeout: '5m', retry: { limit: 3 } } };
    expect(only({ workflow: { name: 'w' } }, defaults).main).toMatchObject({
      body: { kind: 'workflow', name: 'w', inputs: {} },
      timeoutMs: null,
      retry: { limit: 0 },
    });
    const limited = { workflow: { name: 'w' }, timeout: '2h', retry: { limit: 1 } };
    expect(only(limited, defaults).main).toMatchObject({ timeoutMs: 7_200_000, retry: { limit: 1 } });
  });

  test('a container runs its own image, with the defaults of the workflow', () => {
    const defaults = { defaults: { image: 'base:1', timeout: '5m' } };
    const step = only({ container: { image: 'i:1', command: ['go'], workingDir: '/src' } }, defaults);
    expect(step.main).toMatchObject({
      timeoutMs: 300_000,
      body: { kind: 'container', image: 'i:1', args: null, workingDir: '/src', pod: { image: 'i:1' } },
    });
  });
});

describe('loop variables', () => {
  const locals = { shop: { id: 'b1', n: 3 }, index: 2 } satisfies Record<string, JsonValue>;
  const step = only({
    run: 'x',
    if: 'inputs.size() == 0',
    forEach: { items: '${{ inputs.shops }}', as: 'shop' },
    env: { ID: '${{ shop.id }}-${{ index + 1 }}' },
    retry: { if: 'attempt < shop.n' },
    until: { condition: 'steps.a.outputs.state == shop.id', limit: 2 },
    cache: { key: ['${{ shop.id }}'] },
    locks: [{ name: 'shop-${{ shop.id }}' }],
    fallback: [
      { workflow: { name: 'w', inputs: { shop: '${{ shop }}' } } },
      { fail: '${{ shop.id }}: ${{ error.type }}' },
    ],
    compensate: { run: 'x', env: { UNDO: '${{ steps.a.outputs.state }} of ${{ shop.id }}' } },
  });
  const context = contextOf({
    locals,
    attempt: 2,
    error: { type: 'exit' },
    steps: { a: { outputs: { state: 'b1' }, phase: 'Succeeded', error: null } },
  });

  test('are known wherever an item is run, repeated, locked, cached, replaced or undone', () => {
    const { main, compensate } = step;
    const [other, fail] = step.fallback as [Body, { fail: { evaluate(context: ExpressionContext): string } }];
    const env = (body: Body | null) => (body?.body.kind === 'run' ? Object.values(body.body.env) : []);
    expect(env(main).map((value) => value.evaluate(context))).toEqual(['b1-3']);
    expect(main.retry.condition?.evaluate(context)).toBe(true);
    expect(step.until?.condition.evaluate(context)).toBe(true);
    expect(step.cache?.key[0]?.evaluate(context)).toBe('b1');
    expect(step.locks[0]?.name.evaluate(context)).toBe('shop-b1');
    expect((other.body as Extract<Body['body'], { kind: 'workflow' }>).inputs['shop']?.evaluate(context)).toEqual(
      locals.shop,
    );
    expect(fail.fail.evaluate(context)).toBe('b1: exit');
    expect(env(compensate).at(-1)?.evaluate(context)).toBe('b1 of b1');
  });

  test('are an error, not nothing, where no item is', () => {
    expect(() => step.cache?.key[0]?.evaluate(contextOf({}))).toThrow('shop is known only in the items of a forEach');
  });

  test('are unknown to a step without forEach, and to what is decided before its items', () => {
    expect(() => only({ run: 'x', env: { A: '${{ item }}' } })).toThrow('no variable named item');
    expect(() => only({ run: 'x', if: 'item == 1', forEach: { items: [1] } })).toThrow('no variable named item');
  });
});
