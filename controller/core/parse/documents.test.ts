import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDiagnostic } from '../diagnostic.ts';
import { checkFile } from '../lint/index.ts';
import { parseDocuments } from './documents.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const header = 'apiVersion: windlass.dev/v1alpha1\nkind: Workflow\nmetadata: { name: w }\n';

function rules(content: Uint8Array | string, options = {}): string[] {
  const file = typeof content === 'string' ? bytes(content) : content;
  return parseDocuments('w.yaml', file, options).diagnostics.map((d) => d.rule);
}

describe('a file that cannot be read', () => {
  test.each([
    ['5 MB', bytes(`# windlass.dev/v1alpha1\n${'a: b\n'.repeat(1_000_000)}`), 'file-too-large'],
    ['not UTF-8', new Uint8Array([...bytes(`${header}# `), 0xff, 0xfe]), 'file-not-utf8'],
    ['UTF-16', new Uint8Array([0xff, 0xfe, ...Array.from(bytes(header), (c) => [c, 0]).flat()]), 'file-not-utf8'],
    ['NUL', bytes(`${header}spec: \0`), 'file-nul'],
    ['a control character', bytes(`${header}spec: \u0007`), 'file-character'],
    ['a line break of YAML 1.1', bytes(`${header}spec: a\u2028b`), 'file-character'],
    ['broken', bytes(`${header}spec: [`), 'yaml-syntax'],
  ])('%s: one kind of diagnostic', (_, file, rule) => {
    expect([...new Set(rules(file))]).toEqual([rule]);
  });

  test('names the line of what is not UTF-8', () => {
    const { diagnostics } = parseDocuments('w.yaml', new Uint8Array([...bytes('# windlass.dev/\n\n# '), 0xff]));
    expect(diagnostics.map(formatDiagnostic)).toEqual([
      'w.yaml:3:1: error: the file is not UTF-8; save it as UTF-8 [file-not-utf8]',
    ]);
  });

  test('is skipped when it does not mention windlass.dev/, unless the user named it', () => {
    expect(rules('a: [')).toEqual([]);
    expect(rules('a: [', { named: true })).toContain('yaml-syntax');
    expect(rules(new Uint8Array(2_000_000))).toEqual([]);
  });
});

describe('what is written to be expensive is refused in time', () => {
  const repeated = (text: string) => text.repeat(Math.floor(300_000 / text.length));
  test.each([
    ['open lists', repeated('[')],
    ['open maps', repeated('{a: ')],
    ['closed lists', repeated(']')],
    ['list marks', repeated('- ')],
    ['key marks', repeated('? ')],
    ['anchors', repeated('&a ')],
    ['tags', repeated('!')],
    ['lines', repeated('\n')],
    ['documents', repeated('---\n')],
    ['mistakes', repeated('a: b: c\n')],
    ['equal keys', repeated('a: 1\n')],
    ['indentation', Array.from({ length: 1300 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
  ])('%s', (_, text) => {
    expect(parseDocuments('w.yaml', bytes(`# windlass.dev/\n${text}`)).documents).toEqual([]);
  });

  test('at most 100 mistakes of one document are told', () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `  ${i}: 0${i}`).join('\n');
    expect(rules(`${header}spec:\n${keys}`)).toHaveLength(100);
    const { diagnostics } = parseDocuments('w.yaml', bytes(`${header}---\n`.repeat(500)));
    expect(diagnostics).toHaveLength(100);
    expect(diagnostics.at(-1)).toMatchObject({ rule: 'too-many', message: '401 more mistakes are not shown' });
  });

  test('many different keys cost no more than their number', () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `  k${i}: 1`).join('\n');
    expect(rules(`${header}spec:\n${keys}`)).toContain('schema-unknown-field');
  });
});

describe('documents', () => {
  test('of one file are read each for itself; good ones beside bad ones', () => {
    const text = `${header}spec: { steps: [{ name: a, run: echo }] }\n---\n${header}spec: {}\n`;
    const { documents, diagnostics } = parseDocuments('w.yaml', bytes(text));
    expect(documents.map((d) => [d.kind, d.name])).toEqual([['Workflow', 'w']]);
    expect(diagnostics.map(formatDiagnostic)).toEqual([
      'w.yaml:9:7: error: spec has no field "steps" [schema-required]',
    ]);
  });

  test('are what kubectl would read', () => {
    const text = `${header}spec: { steps: [{ name: a, run: "x", retry: { limit: 0x10, backoff: { jitter: 1e-1 } } }] }`;
    const [document] = parseDocuments('w.yaml', bytes(text)).documents;
    expect(document?.object).toEqual({
      apiVersion: 'windlass.dev/v1alpha1',
      kind: 'Workflow',
      metadata: { name: 'w' },
      spec: { steps: [{ name: 'a', run: 'x', retry: { limit: 16, backoff: { jitter: 0.1 } } }] },
    });
  });

  test('a field named __proto__ is a field like any other', () => {
    expect(rules(`${header}spec: { __proto__: { a: 1 }, steps: [{ name: a, run: x }] }`)).toEqual([
      'schema-unknown-field',
    ]);
  });

  test('columns count characters, not UTF-16 units', () => {
    const { diagnostics } = parseDocuments('w.yaml', bytes(`${header}spec: { description: "😀", timeout: 5 }`));
    expect(diagnostics.find((d) => d.rule === 'schema-type')).toMatchObject({ line: 4, column: 36 });
  });
});

describe('every path has a position', () => {
  const text = `# a comment
apiVersion: windlass.dev/v1alpha1
kind: Workflow
metadata: { name: w }
spec:
  steps:
    - name: a
      run: |
        first
        second
    - &b
      name: b
      env: { A: 'it''s x' }
      run: >
        folded
        text
`;
  const [document] = parseDocuments('w.yaml', bytes(text)).documents;
  test.each([
    [['spec', 'steps', 0], 'value', undefined, [7, 7]],
    [['spec', 'steps', 0, 'run'], 'key', undefined, [8, 7]],
    [['spec', 'steps', 0, 'run'], 'value', undefined, [8, 12]],
    [['spec', 'steps', 0, 'run'], 'value', 0, [9, 9]],
    [['spec', 'steps', 0, 'run'], 'value', 'first\ns'.length, [10, 10]],
    [['spec', 'steps', 1, 'env', 'A'], 'value', "it's ".length, [13, 24]],
    [['spec', 'steps', 1, 'run'], 'value', 'folded '.length, [16, 9]],
    [['spec', 'steps', 1, 'nothing'], 'value', undefined, [12, 7]],
    [['spec', 'nothing', 'below'], 'value', undefined, [6, 3]],
  ] as const)('%j (%s, %s)', (path, at, offset, [line, column]) => {
    expect(document?.locate(path, at, offset)).toEqual({ line, column });
  });
});

test('positions are the same with the line ends of Windows', () => {
  const text = `${header}spec:\n  steps:\n    - name: a\n      run: |\n        first\n        second\n`;
  const [unix] = parseDocuments('w.yaml', bytes(text)).documents;
  const [windows] = parseDocuments('w.yaml', bytes(text.replaceAll('\n', '\r\n'))).documents;
  expect(windows?.object).toEqual(unix?.object);
  for (const offset of [0, 3, 'first\ns'.length]) {
    const at = [['spec', 'steps', 0, 'run'], 'value', offset] as const;
    expect(windows?.locate(...at)).toEqual(unix?.locate(...at));
  }
});

describe('whatever is written', () => {
  const lines = fc.array(
    fc.constantFrom(
      'apiVersion: windlass.dev/v1alpha1',
      'kind: Workflow',
      'kind: Environment',
      'metadata: { name: a }',
      'spec:',
      '  steps:',
      '    - name: a',
      '      run: echo',
      '      run: |',
      '        x ${{ y',
      '  - &a',
      '  *a',
      '<<: *a',
      '---',
      '...',
      '%YAML 1.1',
      '? [a, b]',
      ': c',
      '"',
      "'",
      '{',
      '}',
      '[',
      ']',
      '\t',
      '!!set',
      '! x',
      '>-',
      '@',
      '  files: [a, "../b"]',
      '      if: ${{',
      '      if: steps.a.outputs',
      '      needs: [a, b]',
      'null',
      '~',
      '0x',
    ),
  );
  test('checking a file gives diagnostics inside the file, and never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          lines.map((l) => l.join('\n')),
          fc.string({ unit: 'binary', maxLength: 300 }),
        ),
        (text) => {
          const { diagnostics } = checkFile('w.yaml', bytes(text), { named: true });
          for (const d of diagnostics) {
            expect(d.line).toBeGreaterThanOrEqual(1);
            expect(d.line).toBeLessThanOrEqual(text.split('\n').length + 1);
            expect(d.column).toBeGreaterThanOrEqual(1);
            expect(d.message).not.toBe('');
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('so does any sequence of bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (file) => {
        expect(checkFile('w.yaml', file, { named: true }).documents).toEqual([]);
      }),
    );
  });
});
