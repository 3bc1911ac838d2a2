import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLogWriter } from './logs.ts';

function collect(options: { prefix: boolean; raw: boolean }, pieces: [step: string, attempt: number, text: string][]) {
  let printed = '';
  const writer = createLogWriter({ write: (text) => (printed += text) }, options);
  for (const [step, attempt, text] of pieces) writer.write(step, attempt, text);
  writer.end();
  return printed;
}

test('lines of two steps are never mixed, however they are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.stringMatching(/^[xy\n]{0,5}$/))), (pieces) => {
      const printed = collect(
        { prefix: true, raw: true },
        pieces.map(([step, text]) => [step, 1, text]),
      );
      for (const step of ['a', 'b']) {
        const whole = pieces.flatMap(([s, text]) => (s === step ? [text] : [])).join('');
        const lines = printed.split('\n').filter((line) => line.startsWith(`${step} | `));
        const wanted = whole.replace(/\n$/, '');
        expect(lines).toEqual(whole === '' ? [] : wanted.split('\n').map((line) => `${step} | ${line}`));
      }
    }),
  );
});

test('attempts after the first are named', () => {
  expect(
    collect({ prefix: true, raw: false }, [
      ['a', 1, 'x\n'],
      ['a', 2, 'y\n'],
    ]),
  ).toBe('a | x\na#2 | y\n');
});

test('a terminal gets colours, and nothing that steers it; a file gets everything', () => {
  const text = '\u001b[31mred\u001b[0m\u001b[2J\u001b]0;title\u0007 10%\r20%\n';
  expect(collect({ prefix: false, raw: false }, [['a', 1, text]])).toBe(
    '\u001b[31mred\u001b[0m\ufffd[2J\ufffd]0;title\ufffd 10%\r20%\n',
  );
  expect(collect({ prefix: false, raw: true }, [['a', 1, text]])).toBe(text);
});

test('a line without an end does not fill the memory', () => {
  const printed = collect({ prefix: true, raw: true }, [
    ['a', 1, 'x'.repeat(100_000)],
    ['a', 1, 'y\n'],
  ]);
  expect(printed.startsWith(`a | ${'x'.repeat(100_000)}\n`)).toBe(true);
});
