import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import { checkFile } from '../../controller/core/lint/index.ts';
import { compileInputs } from '../../controller/core/plan/json-schema.ts';
import { install, kubectl } from '../fixtures/kubectl.ts';
import { findCluster, startApiServer } from '../fixtures/kubernetes.ts';

// A server of its own where there can be one: the namespaces of the examples are taken by others as well.
const cluster = (await startApiServer()) ?? (await findCluster());
const good = [...documents('test/fixtures/lint/ok/'), ...documents('examples/')];

beforeAll(async () => {
  if (!cluster) return;
  const named = good.flatMap(([, text]) => checkFile('x.yaml', text, { named: true }).documents);
  const names = new Set(named.flatMap(({ object }) => object.metadata.namespace ?? []));
  const namespaces = [...names].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }));
  await install(cluster, [...Object.values(kinds).map(crdManifest), ...namespaces]);
});
afterAll(async () => {
  await cluster?.stop();
});

/**
 * What the API server lets through, and why it must be our own business: text that its parser reads in one way only,
 * and what no schema can say. All else that our parser refuses, the API server refuses as well.
 */
const ours = new Set([
  'approval-in-finally',
  'approval-in-for-each',
  'artifact-path',
  'artifact-unknown',
  'cache-with-compensate',
  'cache-with-secrets',
  'child-of-itself',
  'cycle',
  'decide-unreachable',
  'duplicate-step',
  'duration',
  'env-name',
  'environment-after-self',
  'environment-after-twice',
  'environment-semver',
  'environment-upstream', // of a gate; of `track` it is a rule of the CRD
  'expression-in-text',
  'expression-reference',
  'expression-syntax',
  'expression-type',
  'fallback',
  'field-for-kind',
  'files-path',
  'finally-field',
  'finally-reference',
  'for-each',
  'http-request',
  'http-url',
  'input-schema',
  'lock-twice',
  'loop-variable',
  'needs-self',
  'needs-unknown-step',
  'output-schema',
  'pod', // fields of Kubernetes' own that the schema leaves open
  'reserved-name',
  'source-path',
  'template-file',
  'wait-until',
  'yaml-ambiguous-scalar',
  'yaml-duplicate-key',
]);

interface Verdict {
  accepted: boolean;
  /** Of errors: what our parser calls them. */
  rules: string[];
  spec: unknown;
  /** What kubectl said. */
  said: string;
}

async function both(text: Uint8Array, how?: 'apply' | 'create'): Promise<{ parser: Verdict; server: Verdict }> {
  if (!cluster) throw new Error('there is no cluster');
  const { documents, diagnostics } = checkFile('x.yaml', text, { named: true });
  const rules = diagnostics.filter(({ severity }) => severity === 'error').map(({ rule }) => rule);
  // kubectl applies nothing without a name.
  const verb = how ?? (documents.some(({ name }) => name === '') ? 'create' : 'apply');
  const { code, stdout, stderr } = await kubectl(
    cluster,
    [verb, '--validate=strict', '--dry-run=server', '-o', 'json', '-f', '-'],
    text,
  );
  const stored = code === 0 ? (JSON.parse(stdout) as { spec: unknown }).spec : undefined;
  return {
    parser: { accepted: rules.length === 0, rules, spec: documents[0]?.object.spec, said: '' },
    server: { accepted: code === 0, rules: [], spec: stored, said: stderr },
  };
}

/** The documents of our group in the files of a folder, each with the name of its file and its number there. */
function documents(folder: string): [name: string, text: Uint8Array][] {
  const root = new URL(folder, new URL('../../', import.meta.url));
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.yaml'));
  return files.toSorted().flatMap((file) => {
    // As bytes: some files are no valid text.
    const texts = readFileSync(new URL(file, root))
      .toString('latin1')
      .split(/^---.*$/m);
    return texts
      .filter((text) => /^\W*apiVersion: windlass\.dev/m.test(text))
      .map((text, i): [string, Uint8Array] => [`${file} #${i + 1}`, Buffer.from(text, 'latin1')]);
  });
}

describe.skipIf(!cluster)('kubectl and our parser read the same text', () => {
  describe('what our parser accepts, the API server accepts and stores as we read it', () => {
    test.each(good)('%s', async (_, text) => {
      const { parser, server } = await both(text);
      expect(parser.rules).toEqual([]);
      expect(server.said).toBe('');
      expect(server.spec).toEqual(parser.spec);
    });
  });

  describe('what the API server refuses, our parser refuses; what it lets through is our own rule', () => {
    test.each(documents('test/fixtures/lint/err/'))('%s', async (_, text) => {
      const { parser, server } = await both(text);
      if (!server.accepted) expect(parser.accepted, server.said).toBe(false);
      else expect(parser.rules.filter((rule) => !ours.has(rule))).toEqual([]);
    });
  });

  describe('one mistake in the shape is refused by both', () => {
    const step = (more: string) => `{ steps: [{ name: a, ${more} }] }`;
    const workflow = (spec: string, metadata = '{ name: a }') =>
      `{ apiVersion: windlass.dev/v1alpha1, kind: Workflow, metadata: ${metadata}, spec: ${spec} }`;
    const environment = (more: string) =>
      `{ apiVersion: windlass.dev/v1alpha1, kind: Environment, metadata: { name: e }, spec: { source: { name: s }, ${more} } }`;
    const sourceOf = (spec: string) =>
      `{ apiVersion: windlass.dev/v1alpha1, kind: WorkflowSource, metadata: { name: s }, spec: ${spec} }`;
    const runOf = (spec: string) =>
      `{ apiVersion: windlass.dev/v1alpha1, kind: WorkflowRun, metadata: { name: r }, spec: ${spec} }`;
    test.each([
      ['no steps', workflow('{}')],
      ['an empty list of steps', workflow('{ steps: [] }')],
      ['501 steps', workflow(`{ steps: [${'{ name: a, run: x },'.repeat(501)}] }`)],
      ['an unknown field', workflow(step('run: x, colour: red'))],
      ['an unknown field of a field', workflow(step('run: x, retry: { limits: 1 }'))],
      ['an unknown field of the object', workflow(step('run: x')).replace(/ }$/, ', extra: 1 }')],
      ['no step kind', workflow(step('timeout: 1m'))],
      ['two step kinds', workflow(step('run: x, wait: { for: 1m }'))],
      ['no step kind in finally', workflow('{ steps: [{ name: a, run: x }], finally: [{ name: b }] }')],
      ['a wait for nothing', workflow(step('wait: {}'))],
      ['a wait for two things', workflow(step('wait: { for: 1m, until: "2030-01-01T00:00:00Z" }'))],
      ['a template of nothing', workflow(step('template: {}'))],
      ['a template of two texts', workflow(step('template: { file: a, text: b }'))],
      ['items of nothing', workflow(step('run: x, forEach: {}'))],
      ['items of two things', workflow(step('run: x, forEach: { items: [1], range: { to: 3 } }'))],
      ['a range without an end', workflow(step('run: x, forEach: { range: { from: 1 } }'))],
      ['a loop variable in capitals', workflow(step('run: x, forEach: { items: [1], as: A }'))],
      ['more items at once than there may be', workflow(step('run: x, forEach: { items: [1], parallelism: 10001 }'))],
      ['until without a limit', workflow(step('run: x, until: { condition: "true" }'))],
      ['four fallbacks', workflow(step(`run: x, fallback: [${'{ run: x },'.repeat(4)}]`))],
      ['no fallback in the list', workflow(step('run: x, fallback: []'))],
      ['a fallback of nothing', workflow(step('run: x, fallback: [{ timeout: 1m }]'))],
      ['a fallback of two things', workflow(step('run: x, fallback: [{ run: x, skip: true }]'))],
      ['a fallback that does not skip', workflow(step('run: x, fallback: [{ skip: false }]'))],
      ['a fallback that asks people', workflow(step('run: x, fallback: [{ approval: {} }]'))],
      ['a template of nothing in a fallback', workflow(step('run: x, fallback: [{ template: {} }]'))],
      ['a compensation of nothing', workflow(step('run: x, compensate: {}'))],
      ['a compensation of two things', workflow(step('run: x, compensate: { run: x, http: { url: "http://x" } }'))],
      [
        'a template of two texts in a compensation',
        workflow(step('run: x, compensate: { template: { file: a, text: b } }')),
      ],
      ['a criticality that does not exist', workflow(step('run: x, criticality: higher'))],
      ['a lock without a name', workflow(step('run: x, locks: [{ limit: 1 }]'))],
      ['a lock with an empty name', workflow(step('run: x, locks: [{ name: "" }]'))],
      ['a lock for nobody', workflow(step('run: x, locks: [{ name: a, limit: 0 }]'))],
      ['no locks in the list', workflow(step('run: x, locks: []'))],
      ['a cache for no length of time', workflow(step('run: x, cache: { ttl: forever }'))],
      ['an artifact with a name in capitals', workflow(step('run: x, artifacts: { out: { A: a } }'))],
      ['an artifact of no step', workflow(step('run: x, artifacts: { in: { a: b } }'))],
      ['an artifact in a place with a space', workflow(step('run: x, artifacts: { in: { "a b": b.c } }'))],
      ['a container without an image', workflow(step('container: { command: [x] }'))],
      ['an image that is an expression', workflow(step('container: { image: "${{ inputs.x }}" }'))],
      ['a child without a name', workflow(step('workflow: { inputs: { a: 1 } }'))],
      [
        'a policy that does not exist',
        workflow(step('run: x').replace(/ }$/, ', concurrency: { group: a, policy: Wait } }')),
      ],
      ['no parallelism at all', workflow(step('run: x').replace(/ }$/, ', parallelism: 0 }'))],
      ['a step name in capitals', workflow('{ steps: [{ name: A, run: x }] }')],
      ['a step name too long', workflow(`{ steps: [{ name: ${'a'.repeat(41)}, run: x }] }`)],
      ['a number for text', workflow(step('run: 1'))],
      ['text for a number', workflow(step('run: x, retry: { limit: "1" }'))],
      ['a fraction for an integer', workflow(step('run: x, retry: { limit: 1.5 }'))],
      ['a number below its minimum', workflow(step('run: x, retry: { limit: -1 }'))],
      ['a number above its maximum', workflow(step('run: x, retry: { backoff: { jitter: 1.1 } }'))],
      ['a duration without a unit', workflow(step('run: x, timeout: "10"'))],
      ['a duration that is a number', workflow(step('run: x, timeout: 10'))],
      ['a word that is not in the list', workflow(step('http: { url: "http://x", method: get }'))],
      ['null for a list', workflow('{ steps: null }')],
      ['a list for a map', workflow(step('run: x, env: [a]'))],
      ['an environment variable with a dash', workflow(step('run: x, env: { A-B: x }'))],
      ['a number as the value of a variable', workflow(step('run: x, env: { A: 1 }'))],
      ['an input in capitals with a type', workflow(step('run: ""'))],
      ['a name with a capital', workflow(step('run: x'), '{ name: A }')],
      ['no name', workflow(step('run: x'), '{}')],
      ['nothing to track', environment('track: {}')],
      ['two things to track', environment('track: { branch: main, tag: { semver: "1.x" } }')],
      ['upstream after nothing', environment('track: { upstream: true }')],
      ['a gate of nothing', environment('track: { branch: main }, gates: [{}]')],
      ['a source without a branch', sourceOf('{ url: "https://x/y" }')],
      ['no tags', sourceOf('{ url: "https://x/y", branch: main, tags: [] }')],
      ['a run of nothing', runOf('{}')],
      ['a priority that is too high', runOf('{ workflow: a, priority: 1001 }')],
      ['an execution without a number', runOf('{ workflow: a, execution: { onlyFailed: true } }')],
      ['a replay of nothing', runOf('{ workflow: a, replay: {} }')],
      ['a force that is no boolean', runOf('{ workflow: a, force: "true" }')],
      ['force without cancelling', runOf('{ workflow: a, force: true }')],
      ['force with a pause', runOf('{ workflow: a, desired: Paused, force: true }')],
      ['a wish that does not exist', runOf('{ workflow: a, desired: Stopped }')],
    ])('%s', async (_, text) => {
      const { parser, server } = await both(Buffer.from(text));
      expect({ parser: parser.accepted, server: server.accepted }, server.said).toEqual({
        parser: false,
        server: false,
      });
    });
  });

  describe('a plain scalar that our parser accepts is the same value to both', () => {
    const scalars = [
      '2024-01-01',
      '2024-01-01T10:00:00Z',
      '12:30',
      '12:30:45',
      '190:20:30',
      '=',
      '-',
      '1.2.3',
      'v1',
      '1:2',
      'true',
      'True',
      'TRUE',
      'null',
      'Null',
      'NULL',
      '""',
      "''",
      'yes please',
      'no-op',
      '!!str 1',
      '!!int "1"',
      '1',
      '+1',
      '-0',
      '0',
      '00',
      '01',
      '08',
      '0x1F',
      '0X1F',
      '0x_1',
      '0b0',
      '1.0',
      '1.',
      '.5',
      '-.5',
      '1e3',
      '1E3',
      '1e+3',
      '1e-3',
      '1e21',
      '1.5e300',
      '9007199254740991',
      '-9007199254740991',
      '0.1',
      '100000000000000000000',
      '1e400',
      '1__0',
      '0_',
      '+.5',
      '0.',
      '1e',
      'e1',
      '0x',
      '.',
      '..',
      '._',
      '.e1',
      '+',
      '1,000',
      '0xg',
      '1d',
      '"\\x41\\u00e9\\U0001F600"',
      '"a\\\n  b"',
      "'it''s'",
      '"\\0"',
      'é',
      '\u{1F600}',
      '"\\e"',
      '"a\n\n  b"',
      '[a, b,]',
      '{a: 1,}',
      '[{a: b}, c: d]',
      '{? a : b}',
      '{a}',
      '[]',
      '{}',
      '"a":1',
      '- a',
      'a #b',
      '|\n   a\n    b\n',
      '>\n   a\n   b\n\n   c\n',
      '|+\n   a\n\n',
      '>-\n   a\n',
      '|2\n   a\n',
      '\n    - 1\n    - a: b\n',
    ];
    test.each(scalars.map((scalar) => [JSON.stringify(scalar), scalar]))('%s', async (_, scalar) => {
      const text = `apiVersion: windlass.dev/v1alpha1
kind: WorkflowRun
metadata: { name: scalar }
spec:
  workflow: a
  inputs:
   v: ${scalar}`;
      const { parser, server } = await both(Buffer.from(text), 'create');
      if (!parser.accepted) return;
      expect(server.said).toBe('');
      expect(server.spec).toEqual(parser.spec);
    });
  });

  describe('metadata that the API server refuses, our parser refuses', () => {
    test.each([
      '{ name: a..b }',
      '{ name: a.-b }',
      '{ name: a-.b }',
      '{ name: a_b }',
      '{ name: a, labels: { x: "a b" } }',
      '{ name: a, labels: { x: -a } }',
      '{ name: a, labels: { "a b": x } }',
      '{ name: a, labels: { "x/y/z": x } }',
      '{ name: a, labels: { "X.y/z": x } }',
      '{ name: a, labels: { "/z": x } }',
      '{ name: a, labels: { "": x } }',
      `{ name: a, labels: { ${'k'.repeat(64)}: x } }`,
      `{ name: a, labels: { x: ${'v'.repeat(64)} } }`,
      '{ name: a, labels: { x: 1 } }',
      '{ name: a, annotations: { "a b": x } }',
      '{ name: a, annotations: { x: 1 } }',
      '{ name: a, colour: red }',
    ])('%s', async (metadata) => {
      const text = `{ apiVersion: windlass.dev/v1alpha1, kind: WorkflowRun, metadata: ${metadata}, spec: { workflow: a } }`;
      const { parser, server } = await both(Buffer.from(text));
      expect({ parser: parser.accepted, server: server.accepted }, server.said).toEqual({
        parser: false,
        server: false,
      });
    });
  });

  test('kubectl apply without --server-side takes a null for no member; create and --server-side keep it', async () => {
    const text =
      '{ apiVersion: windlass.dev/v1alpha1, kind: WorkflowRun, metadata: { name: a }, spec: { workflow: a, inputs: { v: null } } }';
    expect((await both(Buffer.from(text))).server.spec).toEqual({ workflow: 'a', inputs: {} });
    const { parser, server } = await both(Buffer.from(text), 'create');
    expect(server.spec).toEqual(parser.spec);
  });

  test.each(['"\\/"', '"\\uD83D\\uDE00"'])(
    'the escape %s is YAML 1.2 only: kubectl refuses it and says so',
    async (scalar) => {
      const text = `apiVersion: windlass.dev/v1alpha1\nkind: WorkflowRun\nmetadata: { name: a }\nspec: { workflow: a, inputs: { v: ${scalar} } }`;
      const { parser, server } = await both(Buffer.from(text));
      expect(parser.accepted).toBe(true);
      expect(server.said).toMatch(/escape c(ode|haracter)/);
    },
  );

  test('keys in a map of anything are for our parser alone: the API server has no rule that could see them', async () => {
    const text = `{ apiVersion: windlass.dev/v1alpha1, kind: Workflow, metadata: { name: a },
      spec: { inputs: { Region: { type: string } }, steps: [{ name: a, run: x }] } }`;
    const { parser, server } = await both(Buffer.from(text));
    expect(parser.rules).toEqual(['schema-pattern']);
    expect(server.said).toBe('');
  });

  test('unquoted y, n, on and their like are keys true and false when kubectl has read them: lint says so', async () => {
    const text = `apiVersion: windlass.dev/v1alpha1
kind: Workflow
metadata: { name: a }
spec:
  inputs: { n: { type: integer } }
  steps:
    - { name: a, run: x, env: { n: "\${{ inputs.n }}" } }
    - { name: b, template: { text: "{{ y }}", vars: { y: 1 } } }
    - { name: c, decide: { cases: [{ then: { on: 1 } }] } }`;
    const { server } = await both(Buffer.from(text));
    expect(server.said).toBe('');
    expect(server.spec).toMatchObject({ inputs: { false: {} } });
    const applied = {
      apiVersion: 'windlass.dev/v1alpha1',
      kind: 'Workflow',
      metadata: { name: 'a' },
      spec: server.spec,
    };
    const { diagnostics } = checkFile('x.yaml', Buffer.from(JSON.stringify(applied)), { named: true });
    const hint = "; an unquoted y, n, yes, no, on or off is true or false in kubectl's YAML: quote it or rename it";
    expect(diagnostics.map(({ message }) => message)).toEqual([
      `"false" is a word of CEL and cannot be used in expressions${hint}`,
      `"false" as a name${hint.replace(';', ':')}`,
      `inputs has no n${hint}`,
      `"true" as a name${hint.replace(';', ':')}`,
      `"true" is a word of CEL and cannot be used in expressions${hint}`,
    ]);
    expect(compileInputs({ n: true })({ false: 1 })).toMatchObject({
      problems: [`unknown input "false"${hint}`, 'input "n" is missing'],
    });
  });
});
