import { describe, expect, test } from 'vitest';
import { checkCondition, checkTemplate, checkText } from './check.ts';
import type { Scope } from './scope.ts';

const scope: Scope = {
  inputs: {
    region: { type: 'string', enum: ['eu', 'us'] },
    limit: { type: 'integer' },
    share: { type: 'number' },
    shops: { type: 'array', items: { type: 'object', properties: { id: { type: 'string' } } } },
    few: { type: 'array', maxItems: 20, items: { type: 'integer' } },
    options: { type: 'object', additionalProperties: false, properties: { dry: { type: 'boolean' } } },
    labels: { type: 'object' },
  },
  steps: {
    fetch: { outputs: { rows: { type: 'integer' }, shops: { type: 'array' }, name: { type: 'string' } } },
    call: { outputs: null },
  },
  environment: ['bucket'],
  extras: {},
  calls: true,
};

describe('conditions that are right', () => {
  test.each([
    'true',
    "inputs.region == 'eu'",
    'inputs.limit > 1 && inputs.limit + 1 < 2.5',
    'inputs.share * 2 > inputs.limit',
    'steps.fetch.outputs.rows > 10000',
    'steps.fetch.outputs.rows == null || steps.fetch.outputs.rows > 0',
    'steps.fetch.outputs != null',
    "steps.fetch.phase == 'Succeeded'",
    "steps.fetch.error.type == 'timeout'",
    'has(steps.fetch.outputs.rows)',
    'steps.fetch.outputs.?rows.orValue(0) > 3',
    'steps.call.outputs.body.items[0].ok',
    "steps.call.outputs['status'] == 200",
    "inputs.shops.exists(s, s.id == 'b1')",
    'inputs.shops.map(s, s.id).size() > 1',
    "inputs.shops.filter(s, s.id.startsWith('b')).map(s, s.id).join(',') != ''",
    'inputs.few.all(a, inputs.few.exists(b, a == b))',
    "inputs.labels.team == 'a' && 'team' in inputs.labels",
    'inputs.options.dry',
    "environment.bucket.endsWith('x')",
    "run.date.split('-')[0] == '2026'",
    'always() || failure()',
    "status('fetch') == 'Failed'",
    "inputs.region.matches('^e.$')",
    "(inputs.limit > 1 ? 'a' : 'b') == 'a'",
    'inputs.few.sum() > 3 && inputs.few.max() in inputs.few',
    '[1, 2.5, 3].exists(x, x > 2)',
    "{'a': 1}.a == 1",
  ])('%s', (source) => {
    expect(checkCondition(source, scope)).toEqual([]);
  });
});

describe('conditions that are wrong: one problem, with rule, place and advice', () => {
  test.each([
    ['steps.fech.outputs.rows > 0', 'expression-reference', 6, /no step named fech .*did you mean fetch\?/],
    ['steps.fetch.outputs.rws > 0', 'expression-reference', 20, /has no rws; did you mean rows\?/],
    ['steps.fetch.output.rows > 0', 'expression-reference', 12, /\.outputs, \.phase or \.error/],
    ["steps[inputs.region].phase == ''", 'expression-reference', 0, /literal name/],
    ["steps['fetch'].phase == ''", 'expression-reference', 0, /literal name/],
    ['size(steps) > 1', 'expression-reference', 5, /literal name/],
    ['steps.fetch == null', 'expression-reference', 6, /\.outputs, \.phase or \.error/],
    ["inputs.regin == 'eu'", 'expression-reference', 7, /inputs has no regin; did you mean region\?/],
    ['inputs.options.dri', 'expression-reference', 15, /did you mean dry\?/],
    ['has(inputs.regin)', 'expression-reference', 11, /region/],
    ["run.foo == ''", 'expression-reference', 4, /run has no foo/],
    ["run.outcome == 'Failed'", 'expression-reference', 4, /known only in finally/],
    ["environment.buckt == ''", 'expression-reference', 12, /did you mean bucket\?/],
    ['error.retryable', 'expression-reference', 0, /only in retry\.if/],
    ['attempt > 1', 'expression-reference', 0, /only in retry\.if/],
    ['input.limit > 1', 'expression-reference', 0, /no variable named input; did you mean inputs\?/],
    ["status('fech') == ''", 'expression-reference', 0, /did you mean fetch\?/],
    ["status(inputs.region) == ''", 'expression-reference', 0, /literal step name/],
    ['always(1)', 'expression-reference', 0, /takes no arguments/],
    ['now() > 1', 'expression-reference', 0, /no function named now/],
    ["inputs.region.startswith('e')", 'expression-reference', 0, /no function named startswith/],
    ["startsWith(inputs.region, 'e')", 'expression-reference', 0, /called as x\.startsWith\(…\)/],
    ["inputs.region.startsWith('e', 'f')", 'expression-reference', 0, /does not take 2 arguments/],
    ['inputs.shops.exists(run, true)', 'expression-reference', 0, /hides the context/],
    ['inputs.limit', 'expression-type', 0, /the condition is an int/],
    ["inputs.limit > 'a'", 'expression-type', 0, /no operation int > string/],
    ['inputs.region == 1', 'expression-type', 0, /no operation string == int/],
    ["inputs.limit + 'x' == 'x'", 'expression-type', 0, /no operation int \+ string/],
    ['inputs.region && true', 'expression-type', 0, /not true or false/],
    ['!inputs.limit', 'expression-type', 1, /not true or false/],
    ['inputs.limit.size() > 1', 'expression-type', 0, /size\(\) is not for int/],
    ['inputs.region.all(x, true)', 'expression-type', 0, /walks a list/],
    ['inputs.few.filter(x, x + 1).size() > 1', 'expression-type', 21, /not true or false/],
    ["inputs.region.matches('(a)\\\\1')", 'expression-type', 22, /RE2/],
    ['inputs.region.x', 'expression-type', 14, /a string has no x/],
    ["b'x' == b'x'", 'expression-type', null, /bytes/],
    ['inputs.limit.orValue(1) > 1', 'expression-type', 0, /optional/],
    [
      'inputs.few.all(a, inputs.few.all(b, inputs.few.all(c, inputs.few.all(d, a + b + c + d > 0))))',
      'expression-cost',
      0,
      /maxItems/,
    ],
    ['inputs.shops.all(a, inputs.shops.all(b, a == b))', 'expression-cost', 0, /10000/],
    ['', 'expression-syntax', 0, /empty/],
    [Array.from({ length: 600 }, () => '1').join('+'), 'expression-syntax', null, /more than 1000 operations/],
    ['inputs.limit = 1', 'expression-syntax', 13, /write `==`/],
    ['a & b', 'expression-syntax', 2, /write `&&`/],
    ['(inputs.limit > 1', 'expression-syntax', 17, /expected `\)`, got the end/],
    ["'abc", 'expression-syntax', 0, /unterminated string/],
    [`${'!'.repeat(5000)}true`, 'expression-syntax', 0, /longer than/],
    [`${'('.repeat(100)}true${')'.repeat(100)}`, 'expression-syntax', null, /nested too deeply/],
  ] as const)('%s', (source, rule, offset, message) => {
    const problems = checkCondition(source, scope);
    const [first] = problems;
    expect(new Set(problems.map((problem) => problem.rule))).toEqual(new Set([rule]));
    expect(first?.message).toMatch(message);
    expect(first?.offset).toBe(offset ?? first?.offset);
  });

  test('every mistake is told, in order', () => {
    const problems = checkCondition("inputs.regin == 'eu' && steps.fech.phase == 'x' && inputs.limit > 'a'", scope);
    expect(problems.map((problem) => problem.offset)).toEqual([7, 30, 51]);
  });
});

describe('what may be said depends on the place', () => {
  test('error and attempt in retry.if', () => {
    const here: Scope = { ...scope, extras: { error: true, attempt: true } };
    expect(checkCondition('error.retryable && attempt < 3 && error.status != 404', here)).toEqual([]);
  });

  test('run.outcome in finally', () => {
    const here: Scope = { ...scope, extras: { run: { outcome: true } } };
    expect(checkCondition("run.outcome == 'Failed' && run.error.type == 'exit'", here)).toEqual([]);
  });

  test('any environment value when they are not known', () => {
    expect(checkCondition("environment.anything == 'x'", { ...scope, environment: 'any' })).toEqual([]);
  });

  test.each(['always()', 'failure()', "status('fetch') == ''"])('%s only where calls are allowed', (source) => {
    expect(checkCondition(source, { ...scope, calls: false })[0]).toMatchObject({ rule: 'expression-reference' });
    expect(checkTemplate(`\${{ ${source} }}`, scope)[0]).toMatchObject({ rule: 'expression-reference', offset: 4 });
  });
});

describe('cost: longest list ^ depth × nodes, at most 10^6', () => {
  test('a list of the schema may be walked once, but not in itself unless it is short', () => {
    expect(checkCondition('inputs.shops.all(a, true)', scope)).toEqual([]);
    expect(checkCondition('inputs.few.all(a, inputs.few.all(b, true))', scope)).toEqual([]);
    expect(checkCondition('inputs.shops.all(a, inputs.shops.all(b, true))', scope)[0]?.rule).toBe('expression-cost');
  });

  test('a literal list counts its own length', () => {
    expect(checkCondition('[1, 2].all(a, [3, 4].all(b, [5, 6].all(c, a + b + c > 0)))', scope)).toEqual([]);
  });

  test('macros one after another do not multiply', () => {
    expect(checkCondition('inputs.shops.filter(s, true).map(s, s.id).size() > 0', scope)).toEqual([]);
  });

  test('a value of unknown type may be as long as any list', () => {
    expect(checkCondition('steps.call.outputs.a.all(x, steps.call.outputs.b.all(y, true))', scope)[0]?.rule).toBe(
      'expression-cost',
    );
  });
});

describe('templates', () => {
  test('what must be text cannot be one expression that yields a list', () => {
    expect(checkTemplate('${{ inputs.shops }}', scope)).toEqual([]);
    expect(checkText('${{ inputs.shops }}', scope)).toMatchObject([{ rule: 'expression-type', offset: 4 }]);
    expect(checkText('${{ inputs.limit }}', scope)).toEqual([]);
  });

  test.each([
    'no expression',
    '',
    '$${{ not.an.expression }}',
    '${{ inputs.shops }}',
    'region ${{ inputs.region }}, limit ${{ inputs.limit }}',
    "${{ '}}' + inputs.region }}",
    "${{ {'a': {'b': inputs.limit}} }}",
    '${{ toJson(inputs.shops) }} in text',
  ])('right: %s', (text) => {
    expect(checkTemplate(text, scope)).toEqual([]);
  });

  test.each([
    ['a ${{ inputs.regin }}', 'expression-reference', 13],
    ['${{ inputs.region }} and ${{ steps.fech.outputs.x }}', 'expression-reference', 35],
    ['list: ${{ inputs.shops }}', 'expression-type', 10],
    ['null: ${{ null }}', 'expression-type', 10],
    ['${{ inputs.?region }}', 'expression-type', 4],
    ['a ${{ inputs.region', 'expression-syntax', 2],
    ["a ${{ 'x }}", 'expression-syntax', 2],
    ['${{ }}', 'expression-syntax', 3],
    ['x ${{ 1 + }}', 'expression-syntax', 10],
  ] as const)('wrong: %s', (text, rule, offset) => {
    expect(checkTemplate(text, scope)).toMatchObject([{ rule, offset }]);
  });
});
