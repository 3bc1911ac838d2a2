import { describe, expect, test } from 'vitest';
import { formatDiagnostic } from './diagnostic.ts';
import { sha256Hex } from './digest.ts';
import {
  makeSnapshots,
  readEnvironments,
  readWorkflows,
  refContent,
  selectDocuments,
  type TreeEntry,
} from './snapshot.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

function workflow(name: string, spec = ''): string {
  return `apiVersion: windlass.dev/v1alpha1
kind: Workflow
metadata: { name: ${name} }
spec:
  steps: [{ name: a, run: echo }]
${spec}`;
}

/** A tree as git gives it: path → text, or a mode for what is no file. */
function treeOf(files: Record<string, string | { mode: string } | { size: number }>): TreeEntry[] {
  return Object.entries(files).map(([path, file]) => ({
    path,
    id: path,
    mode: typeof file === 'object' && 'mode' in file ? file.mode : '100644',
    size: typeof file === 'string' ? bytes(file).length : 'size' in file ? file.size : 0,
  }));
}

function judge(files: Parameters<typeof treeOf>[0], path = 'workflows') {
  const entries = treeOf(files);
  const read = (wanted: string[]) =>
    new Map(wanted.map((p) => [p, bytes(typeof files[p] === 'string' ? files[p] : '')] as const));
  const selected = selectDocuments(entries, path);
  const documents = read(selected.documents.map((entry) => entry.path));
  const { workflows, diagnostics } = readWorkflows(documents, entries);
  const made = makeSnapshots(workflows, read(workflows.flatMap((w) => w.wanted)));
  const all = [...selected.diagnostics, ...diagnostics, ...made.diagnostics];
  return { ...made, content: refContent(made.snapshots, all), diagnostics: all.map(formatDiagnostic) };
}

describe('what a commit holds', () => {
  test('every workflow below the path, with the files it names', () => {
    const { content, snapshots, blobs, diagnostics } = judge({
      'workflows/a.yaml': workflow('a', '  files: [x.sh, "prompts/**", "*.md"]'),
      'workflows/x.sh': 'echo x',
      'workflows/readme.md': 'read me',
      'workflows/prompts/deep/er.md': 'x',
      'workflows/prompts/.hidden': 'h',
      'workflows/sub/b.yml': workflow('b'),
      'other/c.yaml': workflow('c'),
      'workflows.yaml': workflow('d'),
    });
    expect(diagnostics).toEqual([]);
    expect(content).toEqual({ ok: true, workflows: snapshots.map((s) => ({ name: s.workflow, digest: s.digest })) });
    expect(snapshots.map((s) => s.workflow)).toEqual(['a', 'b']);
    expect(snapshots[0]?.files).toEqual({
      'prompts/.hidden': sha256Hex(bytes('h')),
      'prompts/deep/er.md': sha256Hex(bytes('x')),
      'readme.md': sha256Hex(bytes('read me')),
      'x.sh': sha256Hex(bytes('echo x')),
    });
    expect(snapshots[0]?.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(blobs.get(sha256Hex(bytes('echo x')))).toEqual(bytes('echo x'));
  });

  test('the same content has the same digest wherever it lies and whatever its mode', () => {
    const file = { 'w.yaml': workflow('a', '  files: [x.sh]'), 'x.sh': 'echo' };
    const [here] = judge(file, '').snapshots;
    const there = judge(
      Object.fromEntries(Object.entries(file).map(([path, text]) => [`deep/er/${path}`, text])),
      'deep',
    );
    expect(there.snapshots[0]?.digest).toBe(here?.digest);
  });

  test('nothing of ours is NoWorkflows', () => {
    const files = { 'workflows/readme.md': 'x', 'workflows/values.yaml': '{{ broken' };
    expect(judge(files).content).toEqual({ ok: false, reason: 'NoWorkflows', diagnostics: [] });
    expect(judge({}).content).toMatchObject({ reason: 'NoWorkflows' });
  });

  test('one error anywhere is InvalidRef', () => {
    const { content, diagnostics } = judge({
      'workflows/good.yaml': workflow('good'),
      'workflows/bad.yaml': workflow('bad', '  timeout: soon'),
    });
    expect(content).toMatchObject({ ok: false, reason: 'InvalidRef' });
    expect(diagnostics).toEqual([
      'workflows/bad.yaml:6:12: error: spec.timeout must be a duration such as 30s, 1h30m or 7d [schema-pattern]',
    ]);
  });

  test('warnings refuse nothing', () => {
    const run = 'apiVersion: windlass.dev/v1alpha1\nkind: WorkflowRun\nmetadata: { name: r }\nspec: { workflow: a }\n';
    const { content, diagnostics } = judge({ 'workflows/a.yaml': `${workflow('a')}\n---\n${run}` });
    expect(content.ok).toBe(true);
    expect(content.ok ? [] : content.diagnostics).toEqual([]);
    expect(diagnostics).toEqual([
      'workflows/a.yaml:9:7: warning: a WorkflowRun is not read from here; only Workflow objects are [kind-here]',
    ]);
  });
});

describe('refused, with where and why:', () => {
  test.each([
    [
      'two workflows of one name, in both places',
      { 'workflows/a.yaml': workflow('same'), 'workflows/b.yaml': workflow('same') },
      [
        'workflows/a.yaml:3:19: error: Workflow "same" is also in workflows/b.yaml:3; names are unique in a ref [duplicate-name]',
        'workflows/b.yaml:3:19: error: Workflow "same" is also in workflows/a.yaml:3; names are unique in a ref [duplicate-name]',
      ],
    ],
    [
      'a symlink among the documents',
      { 'workflows/a.yaml': { mode: '120000' } },
      ['workflows/a.yaml:1:1: error: a symlink is not followed; put the file itself here [file-symlink]'],
    ],
    [
      'a symlink in place of the folder',
      { workflows: { mode: '120000' } },
      ['workflows:1:1: error: a symlink is not followed; put the file itself here [file-symlink]'],
    ],
    [
      'a submodule',
      { 'workflows/vendor': { mode: '160000' } },
      ['workflows/vendor:1:1: error: a submodule is not read; put its workflows into this repository [file-submodule]'],
    ],
    [
      'a symlink in files',
      { 'workflows/a.yaml': workflow('a', '  files: [x]'), 'workflows/x': { mode: '120000' } },
      ['workflows/a.yaml:6:11: error: "workflows/x" is a symlink; put the file itself there [files-symlink]'],
    ],
    [
      'a pattern that matches nothing, and one that leaves the folder',
      { 'workflows/a.yaml': workflow('a', '  files: ["*.sh", ../x.sh]'), 'x.sh': 'x' },
      [
        'workflows/a.yaml:6:11: error: "*.sh" matches no file beside this one [files-no-match]',
        'workflows/a.yaml:6:19: error: "../x.sh" must not contain ..; files lie beside the workflow file or below it [files-path]',
      ],
    ],
    [
      'files that are too large together',
      { 'workflows/a.yaml': workflow('a', '  files: ["*.bin"]'), 'workflows/x.bin': { size: 900_001 } },
      ['workflows/a.yaml:6:10: error: files are 900001 bytes together; at most 900000 [files-too-large]'],
    ],
    [
      'too many files',
      {
        'workflows/a.yaml': workflow('a', '  files: ["x/*"]'),
        ...Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`workflows/x/${i}`, 'x'])),
      },
      ['workflows/a.yaml:6:10: error: files names 257 files; at most 256 [files-too-many]'],
    ],
    [
      'an expression in a template file',
      {
        'workflows/a.yaml': workflow('a', '  finally: [{ name: t, template: { file: t.md } }]\n  files: [t.md]'),
        'workflows/t.md': 'line\nHello ${{ inputs.x }}',
      },
      [
        'workflows/t.md:2:7: error: ${{ }} is not replaced in template files; pass the value by `vars` and write {{ name }} [expression-in-text]',
      ],
    ],
    [
      'a template that its glob would name, but that is not there',
      {
        'workflows/a.yaml': workflow('a', '  finally: [{ name: t, template: { file: t.md } }]\n  files: ["*.md"]'),
        'workflows/other.md': '',
      },
      ['workflows/a.yaml:6:42: error: "t.md" is none of the workflow\'s files; name it in spec.files [template-file]'],
    ],
    [
      'a document of 100 MB, without reading it',
      { 'workflows/a.yaml': { size: 100_000_000 } },
      [
        'workflows/a.yaml:1:1: error: the file is over 5 MiB and is not read; make it smaller, or keep it elsewhere [file-too-large]',
      ],
    ],
  ] as [string, Parameters<typeof treeOf>[0], string[]][])('%s', (_, files, expected) => {
    const { content, diagnostics } = judge(files);
    expect(diagnostics).toEqual(expected);
    expect(content).toMatchObject({ ok: false, reason: 'InvalidRef' });
  });
});

describe('child runs', () => {
  const child = (name: string, child: string, more = '') =>
    workflow(name, `  finally: [{ name: b, workflow: { name: ${child} }${more} }]`);

  test('of workflows of the same ref are good, also several of one', () => {
    const files = {
      'workflows/a.yaml': child('a', 'c'),
      'workflows/b.yaml': child('b', 'c'),
      'workflows/c.yaml': workflow('c'),
    };
    expect(judge(files)).toMatchObject({ diagnostics: [], content: { ok: true } });
  });

  test('of what is not in the ref, or of an ancestor, are refused, wherever they stand', () => {
    const files = {
      'workflows/a.yaml': child('a', 'bb', ', fallback: [{ workflow: { name: c } }]'),
      'workflows/b.yaml': child('b', 'c'),
      'workflows/c.yaml': child('c', 'd', ', fallback: [{ run: x }, { workflow: { name: nothing-like-it } }]'),
      'workflows/d.yaml': child('d', 'b'),
      'workflows/e.yaml': child('e', 'b'),
    };
    expect(judge(files).diagnostics).toEqual([
      'workflows/a.yaml:6:42: error: there is no workflow "bb" here; did you mean b? [child-unknown]',
      'workflows/b.yaml:6:42: error: workflows run each other in a circle: b -> c -> d -> b [child-cycle]',
      'workflows/c.yaml:6:42: error: workflows run each other in a circle: c -> d -> b -> c [child-cycle]',
      'workflows/c.yaml:6:90: error: there is no workflow "nothing-like-it" here; child runs are of workflows of the same ref [child-unknown]',
      'workflows/d.yaml:6:42: error: workflows run each other in a circle: d -> b -> c -> d [child-cycle]',
    ]);
  });
});

test('a template file is looked for in every body of a step', () => {
  const spec = `kind: Workflow
metadata: { name: w }
apiVersion: windlass.dev/v1alpha1
spec:
  files: ["*.j2"]
  steps:
    - name: a
      template: { file: a.j2 }
      fallback: [{ template: { file: b.j2 } }]
      compensate: { template: { file: c.j2 } }`;
  const { diagnostics } = judge({ 'workflows/w.yaml': spec, 'workflows/a.j2': '{{ x }}' });
  expect(diagnostics.map((line) => line.replace(/error: (".*?").*/, '$1'))).toEqual([
    'workflows/w.yaml:9:38: "b.j2"',
    'workflows/w.yaml:10:39: "c.j2"',
  ]);
});

test('a reader that did not read what was wanted is told so', () => {
  const entries = treeOf({ 'a.yaml': workflow('a', '  files: [x]'), x: '' });
  const { workflows } = readWorkflows(new Map([['a.yaml', bytes(workflow('a', '  files: [x]'))]]), entries);
  expect(() => makeSnapshots(workflows, new Map())).toThrow('the content of x was not read');
});

describe('environments', () => {
  const environment = (name: string) =>
    `apiVersion: windlass.dev/v1alpha1\nkind: Environment\nmetadata: { name: ${name} }\nspec: { source: { name: repo }, track: { branch: main } }\n`;

  test('are read from their files', () => {
    const files = new Map([
      ['environments/prod.yaml', bytes(environment('prod'))],
      ['environments/dev.yaml', bytes(environment('dev'))],
    ]);
    const { environments, diagnostics } = readEnvironments(files, ['repo']);
    expect(diagnostics).toEqual([]);
    expect(environments).toEqual([
      {
        file: 'environments/dev.yaml',
        metadata: { name: 'dev' },
        spec: { source: { name: 'repo' }, track: { branch: 'main' } },
      },
      {
        file: 'environments/prod.yaml',
        metadata: { name: 'prod' },
        spec: { source: { name: 'repo' }, track: { branch: 'main' } },
      },
    ]);
  });

  test('of one name twice are an error in both places', () => {
    const { diagnostics } = readEnvironments(
      new Map([['e.yaml', bytes(`${environment('a')}---\n${environment('a')}`)]]),
      ['repo'],
    );
    expect(diagnostics.map((d) => [d.line, d.rule])).toEqual([
      [3, 'duplicate-name'],
      [8, 'duplicate-name'],
    ]);
  });

  test('name environments and sources that are there', () => {
    const dev = environment('dev').replace('name: repo', 'name: other');
    const prod = environment('prod').replace('track:', 'after: [stagin, dev, nowhere], track:');
    const files = { dev, staging: environment('staging'), prod };
    const { diagnostics } = readEnvironments(
      new Map(Object.entries(files).map(([name, text]) => [`environments/${name}.yaml`, bytes(text)])),
      ['repo'],
    );
    expect(diagnostics.map(formatDiagnostic)).toEqual([
      'environments/dev.yaml:4:25: error: there is no source "other"; write repo [environment-source-unknown]',
      'environments/prod.yaml:4:41: error: there is no environment "stagin"; did you mean staging? [environment-after-unknown]',
      'environments/prod.yaml:4:54: error: there is no environment "nowhere"; add its file beside this one, or take it out [environment-after-unknown]',
    ]);
  });

  test('that cannot be read are not said to be missing as well', () => {
    const files = new Map([
      ['environments/staging.yaml', bytes(environment('staging').replace('track:', 'trac:'))],
      ['environments/prod.yaml', bytes(environment('prod').replace('track:', 'after: [staging], track:'))],
    ]);
    const { diagnostics } = readEnvironments(files, ['repo']);
    expect(new Set(diagnostics.map(({ file }) => file))).toEqual(new Set(['environments/staging.yaml']));
  });
});
