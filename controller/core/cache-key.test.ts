import { expect, test } from 'vitest';
import { type CacheFacts, cacheKey } from './cache-key.ts';
import type { ResolvedBody } from './run/types.ts';

const pod = {
  image: 'busybox:1',
  resources: null,
  nodeSelector: {},
  tolerations: [],
  affinity: null,
  volumes: [],
  imagePullSecrets: [],
  serviceAccountName: null,
  security: 'restricted' as const,
  podTemplate: {},
};
type Run = Extract<ResolvedBody, { kind: 'run' }>;
const body: Run = { kind: 'run', script: 'make', shell: ['sh', '-ec'], env: { REGION: 'eu' }, secrets: {}, pod };
const facts: CacheFacts = {
  namespace: 'dev',
  workflow: 'report',
  step: 'fetch',
  body,
  files: { 'fetch.sh': 'aa' },
  artifacts: {},
  version: '',
  key: ['k'],
};
const ref = { digest: 'sha256:aa', bytes: 1, folder: false };

test('the same facts give the same key, whatever the order of their fields', () => {
  const turned = { ...facts, files: { b: '2', a: '1' }, body: { ...body, env: { B: '2', A: '1' } } };
  const other = { ...facts, files: { a: '1', b: '2' }, body: { ...body, env: { A: '1', B: '2' } } };
  expect(cacheKey(turned).key).toBe(cacheKey(other).key);
  expect(cacheKey(facts).key).toMatch(/^sha256:[0-9a-f]{64}$/);
});

test.each<[string, Partial<CacheFacts>]>([
  ['namespace', { namespace: 'prod' }],
  ['workflow', { workflow: 'other' }],
  ['step', { step: 'other' }],
  ['script', { body: { ...body, script: 'make all' } }],
  ['shell', { body: { ...body, shell: ['bash', '-c'] } }],
  ['image', { body: { ...body, pod: { ...pod, image: 'busybox:2' } } }],
  ['env REGION', { body: { ...body, env: { REGION: 'us' } } }],
  ['files', { files: { 'fetch.sh': 'bb' } }],
  ['artifact in.txt', { artifacts: { 'in.txt': ref } }],
  ['version', { version: '2' }],
  ['key[0]', { key: ['other'] }],
])('another %s gives another key, and that part says so', (part, change) => {
  const [before, after] = [cacheKey(facts), cacheKey({ ...facts, ...change })];
  expect(after.key).not.toBe(before.key);
  const names = new Set([...Object.keys(before.parts), ...Object.keys(after.parts)]);
  expect([...names].filter((name) => before.parts[name] !== after.parts[name])).toEqual([part]);
});

test.each<[string, Partial<Run>]>([
  ['secrets', { secrets: { TOKEN: { name: 'a', key: 'b' } } }],
  ['what it may use', { pod: { ...pod, resources: { limits: { cpu: 1 } } } }],
])('%s are no part of it', (_, change) => {
  expect(cacheKey({ ...facts, body: { ...body, ...change } })).toEqual(cacheKey(facts));
});

test('a short part is kept as it is, a long one by its digest', () => {
  const { parts } = cacheKey({ ...facts, key: ['x'.repeat(201)] });
  expect(parts).toMatchObject({ 'env REGION': 'eu', shell: '["sh","-ec"]' });
  expect(parts['key[0]']).toMatch(/^sha256:/);
});

test('a value that has no exact JSON is the mistake of the step', () => {
  const http: ResolvedBody = {
    kind: 'http',
    method: 'GET',
    url: 'http://h/',
    headers: {},
    secretHeaders: { Authorization: { name: 'a', key: 'b', prefix: '' } },
    body: 2 ** 60,
    expect: ['2xx'],
    requestTimeoutMs: 1,
    retryable: true,
  };
  expect(() => cacheKey({ ...facts, body: http })).toThrow('the key of the cache cannot be made');
  expect(cacheKey({ ...facts, body: { ...http, body: 1 } }).parts).not.toHaveProperty('files');
});

test('a file that may be run is another one than the same that may not', () => {
  const keyOf = (given: CacheFacts['artifacts'][string]) => cacheKey({ ...facts, artifacts: { 'in.txt': given } }).key;
  expect(keyOf({ ...ref, executable: true })).not.toBe(keyOf(ref));
});
