import { expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { answerInAbsence, namespaceOf, wantsRight, watchInAbsence } from './absent-namespaces.ts';
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

test.each([true, false])('nothing is listed in a namespace that is not there (still going: %s)', (terminating) => {
  const absence = { namespace: 'a', terminating, version: '7' };
  for (const path of ['/api/v1/namespaces/a/pods', runs]) {
    expect(answerInAbsence(absence, 'GET', path, rbac)).toEqual({ metadata: { resourceVersion: '7' }, items: [] });
  }
});

test.each([
  ['GET', `${runs}/r`],
  ['PATCH', `${runs}/r/status`],
  ['POST', '/api/v1/namespaces/a/pods'],
] as const)('%s %s: not found when the namespace is gone; refused, while some of it may be there', (method, path) => {
  const answer = (terminating: boolean) => () =>
    answerInAbsence({ namespace: 'a', terminating, version: '7' }, method, path, rbac);
  const status = { code: 404, reason: 'NotFound', about: { kind: 'namespaces', name: 'a' } };
  expect(answer(false)).toThrow(expect.objectContaining({ status: expect.objectContaining(status) as unknown }));
  expect(answer(true)).toThrow(rbac);
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
