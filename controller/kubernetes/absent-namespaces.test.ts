import { expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import {
  type Absence,
  answerInAbsence,
  NamespaceTerminating,
  namespaceOf,
  wantsRight,
  watchInAbsence,
} from './absent-namespaces.ts';
import { KubernetesError } from './errors.ts';

function refusal(message: string, code = 403): KubernetesError {
  return new KubernetesError('GET', '/', { code, reason: '', message, causes: [], about: null, retryAfterMs: null });
}

const rbac = refusal(
  'pods is forbidden: User "windlass" cannot list resource "pods" in API group "" in the namespace "a"',
);
const runs = '/apis/windlass.dev/v1alpha1/namespaces/a/workflowruns';

test.each([
  ['/api/v1/namespaces/a/pods', 'a'],
  ['/api/v1/namespaces/a/pods/p/log', 'a'],
  [`${runs}/r/status`, 'a'],
  ['/api/v1/namespaces', null],
  ['/api/v1/namespaces/a', null],
  ['/apis/windlass.dev/v1alpha1/workflowruns', null],
])('%s is about namespace %s', (path, namespace) => {
  expect(namespaceOf(path)).toBe(namespace);
});

test('only a missing right may be missing because its namespace is', () => {
  expect(wantsRight(rbac)).toBe(true);
  expect(wantsRight(refusal('pods "p" is forbidden: exceeded quota: q'))).toBe(false);
  expect(wantsRight(refusal('cannot list resource', 404))).toBe(false);
  expect(wantsRight(new Error('cannot list resource'))).toBe(false);
});

const pods = '/api/v1/namespaces/a/pods';
const [gone, going] = [false, true].map((terminating) => ({ namespace: 'a', terminating, version: '7' })) as [
  Absence,
  Absence,
];

test.each([pods, runs, '/api/v1/namespaces/a/configmaps'])('a namespace that is gone is empty: %s', (path) => {
  expect(answerInAbsence(gone, 'GET', path, rbac)).toEqual({ metadata: { resourceVersion: '7' }, items: [] });
});

test.each([pods, runs])('one on its way out is not known to be empty, and no right is missing: %s', (path) => {
  const answer = () => answerInAbsence(going, 'GET', path, rbac);
  expect(answer).toThrow(NamespaceTerminating);
  expect(answer).toThrow(expect.objectContaining({ version: '7', cause: rbac }));
  expect(answer).not.toThrow(KubernetesError);
});

test('what nobody follows is not missed there: it keeps no one from going through all namespaces', () => {
  expect(answerInAbsence(going, 'GET', '/api/v1/namespaces/a/configmaps', rbac)).toMatchObject({ items: [] });
});

const writes = [
  ['GET', `${runs}/r`],
  ['PATCH', `${runs}/r/status`],
  ['PUT', `${runs}/r`],
  ['DELETE', `${pods}/p`],
  ['POST', pods],
] as const;

test.each(writes)('%s %s: not found when the namespace is gone', (method, path) => {
  const status = { code: 404, reason: 'NotFound', about: { kind: 'namespaces', name: 'a' } };
  const expected = expect.objectContaining({ status: expect.objectContaining(status) as unknown });
  expect(() => answerInAbsence(gone, method, path, rbac)).toThrow(expected);
});

test.each(writes.slice(0, -1))('%s %s: refused while the namespace is on its way out', (method, path) => {
  expect(() => answerInAbsence(going, method, path, rbac)).toThrow(rbac);
});

test('what is created in a namespace on its way out is refused because of that, not for want of a right', () => {
  const causes = [expect.objectContaining({ reason: 'NamespaceTerminating' })];
  const status = expect.objectContaining({ code: 403, reason: 'Forbidden', causes }) as unknown;
  const create = () => answerInAbsence(going, 'POST', pods, rbac);
  expect(create).toThrow(expect.objectContaining({ status }));
  expect(create).toThrow(/namespace a because it is being terminated/);
  expect(create).not.toThrow(/cannot \w+ resource/);
});

test('a watch there hears nothing and ends: in a while, or when it is told to', async () => {
  const clock = createVirtualClock();
  const chunks = async (signal: AbortSignal) => {
    const seen: Buffer[] = [];
    for await (const chunk of watchInAbsence(clock, signal)) seen.push(chunk);
    return seen;
  };
  const stopping = new AbortController();
  const [stopped, ended] = [chunks(stopping.signal), chunks(new AbortController().signal)];
  stopping.abort();
  expect(await stopped).toEqual([]);
  const before = clock.now();
  clock.next();
  expect(await ended).toEqual([]);
  expect(clock.now() - before).toBeLessThanOrEqual(10_000);
  expect(clock.now() - before).toBeGreaterThan(1000); // Less would be a storm of watches.
});
