import { afterEach, describe, expect, test } from 'vitest';
import { executorConformance, neverLost, RecordingSink, startAction } from '../../../test/conformance/executor.ts';
import type { JsonObject } from '../../../crds/json.ts';
import type { AttemptResult, ResolvedBody } from '../../core/run/types.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Clock } from '../../seams/clock.ts';
import { TemplateExecutor } from './executor.ts';

const files = new Map([['report.md.j2', Buffer.from('# {{ title }}\n')]]);

function template(text: string, vars: JsonObject = {}): ResolvedBody {
  return { kind: 'template', source: { text }, vars };
}

function textIn(values: JsonObject): string {
  const text = values['text'];
  if (typeof text !== 'string') throw new Error('no text');
  return text;
}

/** One operation that takes far longer than a render may. */
const endless = template('{{ ("x" * 1000000000)|upper|lower|length }}');

executorConformance(
  'template',
  async (sink) => {
    const executor = new TemplateExecutor({
      files: { files: async () => files },
      sink,
      clock: systemClock,
      lost: neverLost,
    });
    return {
      executor,
      bodies: {
        succeeds: {
          body: template('{{ n + 1 }} orders', { n: 41 }),
          outputs: { outcome: 'Succeeded', outputs: { values: { text: '42 orders' } } },
        },
        yieldsText: (characters) => ({
          body: template('{{ "x" * n }}', { n: characters }),
          outputs: { outcome: 'Succeeded', outputs: { values: { text: 'x'.repeat(characters) } } },
        }),
        fails: template('{{ missing }}'),
        endless,
      },
      endlessBegun: async () => {},
      endlessCount: async () => 1,
      dispose: () => executor.close(),
    };
  },
  [{ reason: 'a render has no effect in the world to count', tests: ['a second start is the same run'] }],
);

describe('templates', () => {
  const sink = new RecordingSink();
  let executor = new TemplateExecutor({
    files: { files: async () => files },
    sink,
    clock: systemClock,
    lost: neverLost,
  });

  afterEach(async () => {
    await executor.close();
    executor = new TemplateExecutor({ files: { files: async () => files }, sink, clock: systemClock, lost: neverLost });
  });

  async function render(body: ResolvedBody): Promise<AttemptResult> {
    const action = startAction(body);
    await executor.start(action);
    return sink.end(action.key);
  }

  async function textOf(text: string, vars: JsonObject = {}): Promise<string> {
    const result = await render(template(text, vars));
    if (result.outcome === 'Failed') return `failed: ${result.error.message}`;
    return result.outcome === 'Succeeded' && 'values' in result.outputs ? textIn(result.outputs.values) : '';
  }

  test.each<[string, JsonObject, string]>([
    ['{{ n }} {{ f }} {{ b }}', { n: 3, f: 1.5, b: true }, '3 1.5 true'],
    [
      '{% for o in orders %}{{ loop.index }}={{ o.id }};{% endfor %}',
      { orders: [{ id: 'a' }, { id: 'b' }] },
      '1=a;2=b;',
    ],
    ['{{ o|tojson }}', { o: { a: [1, { b: null }] } }, '{"a":[1,{"b":null}]}'],
    ['{{ o|toyaml }}', { o: { a: [1, { b: 'x' }] } }, 'a:\n  - 1\n  - b: x'],
    ['{{ s|b64encode }}', { s: 'ä' }, 'w6Q='],
    ['{{ s }} <b>', { s: '<i>' }, '<i> <b>'],
    ['{{ s }}', { s: 'a\0b' }, 'a\uFFFDb'],
    ['{{ __proto__ }}', {}, 'failed: line 1: undefined value: {{ __proto__ }}'],
    ['a\n{{ o.x.y }}', { o: {} }, 'failed: line 2: undefined value: {{ o.x.y }}'],
    ['{% if x', {}, 'failed: line 1: syntax error: unexpected end of input, expected end of block: {% if x'],
    [
      '{% include name %}',
      { name: 'HIDDEN' },
      'failed: line 1: a template cannot include, extend or import another: {% include name %}',
    ],
    ['{{ "x" * 2000000 }}', {}, 'failed: the text is larger than 1 MiB'],
    [
      '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}',
      {},
      'failed: line 1: engine ran out of fuel: {% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}',
    ],
  ])('%s', async (text, vars, expected) => {
    expect(await textOf(text, vars)).toBe(expected);
  });

  test('a file of the version', async () => {
    expect(await render({ kind: 'template', source: { file: 'report.md.j2' }, vars: { title: 'Orders' } })).toEqual({
      outcome: 'Succeeded',
      outputs: { values: { text: '# Orders' } },
    });
    expect(await render({ kind: 'template', source: { file: 'other.j2' }, vars: {} })).toEqual({
      outcome: 'Failed',
      error: { type: 'template', message: 'the version has no file other.j2', retryable: false },
    });
  });

  test('errors never show the value of a variable', async () => {
    const vars = { s: 'HIDDEN', o: { k: 'HIDDEN' } };
    for (const text of [
      '{{ s + 1 }}',
      '{{ s|int }}',
      '{{ s.f() }}',
      '{{ o[s] }}',
      '{{ s|nofilter }}',
      '{% extends s %}',
      '{{ o.k.x.y }}',
      '{% from s import x %}',
    ]) {
      const shown = await textOf(text, vars);
      expect(shown).toMatch(/^failed: line 1: /);
      expect(shown).not.toContain('HIDDEN');
    }
  });

  test('a template larger than 1 MiB is refused', async () => {
    expect(await textOf('x'.repeat(1024 * 1024 + 1))).toBe('failed: the template is larger than 1 MiB');
  });

  test('more templates than are kept compiled', async () => {
    const texts = await Promise.all(Array.from({ length: 1200 }, (_, i) => textOf(`${i % 600} {{ n }}`, { n: i })));
    expect(texts).toEqual(Array.from({ length: 1200 }, (_, i) => `${i % 600} ${i}`));
  });

  test('one that takes too long is ended, and those behind it are rendered', async () => {
    // The render's time passes at once, as soon as it is watched.
    let skipped = 0;
    const clock: Clock = {
      now: () => systemClock.now() + skipped,
      monotonic: () => systemClock.monotonic() + skipped,
      at(at, fn) {
        if (skipped === 0) skipped = at - systemClock.now();
        return systemClock.at(at - skipped, fn);
      },
    };
    const impatient = new TemplateExecutor({ files: { files: async () => files }, sink, clock, lost: neverLost });
    const slow = startAction(endless);
    const next = startAction(template('fine'));
    await Promise.all([impatient.start(slow), impatient.start(next)]);
    expect(await sink.end(slow.key)).toEqual({
      outcome: 'Failed',
      error: { type: 'template', message: 'it took longer than 5 s', retryable: false },
    });
    expect(await sink.end(next.key)).toEqual({ outcome: 'Succeeded', outputs: { values: { text: 'fine' } } });
    await impatient.close();
  });

  test('a broken engine is replaced', async () => {
    const texts = await Promise.all([textOf('{{ "x" * 4000000000 }}'), textOf('fine'), textOf('{{ n }}', { n: 1 })]);
    expect(texts).toEqual([
      'failed: the template engine cannot do this: something in it is too large or too deep',
      'fine',
      '1',
    ]);
    const deep = `{{ ${'('.repeat(200_000)}1${')'.repeat(200_000)} }}`;
    expect(await textOf(deep)).toMatch(/^failed: /);
    expect(await textOf('fine')).toBe('fine');
  });
});
