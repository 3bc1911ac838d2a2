import { expect, test } from 'vitest';
import { holdOf, refusalOf } from './refusals.ts';

/** As an API server 1.35 says them. */
test.each([
  [
    403,
    'Forbidden',
    'pods "x" is forbidden: failed quota: mem: must specify limits.memory for: step',
    [],
    'podRefused',
    false,
  ],
  [
    403,
    'Forbidden',
    'pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
    [],
    'podSecurity',
    false,
  ],
  [
    403,
    'Forbidden',
    'pods "x" is forbidden: error looking up service account dev/reporter: serviceaccount "reporter" not found',
    [],
    'serviceAccount',
    false,
  ],
  [
    403,
    'Forbidden',
    'pods "x" is forbidden: maximum memory usage per Pod is 1Gi, but limit is 2Gi',
    [],
    'podRefused',
    false,
  ],
  [
    403,
    'Forbidden',
    'pods "x" is forbidden: unable to create new content in namespace dev because it is being terminated',
    [{ reason: 'NamespaceTerminating', message: '', field: '' }],
    'namespaceTerminating',
    false,
  ],
  [404, 'NotFound', 'namespaces "dev" not found', [], 'namespaceMissing', false],
  [422, 'Invalid', 'Pod "x" is invalid: spec.nodeSelector: Invalid value', [], 'podInvalid', false],
  [400, 'BadRequest', 'strict decoding error: unknown field "spec.prioritty"', [], 'podInvalid', false],
  [400, 'BadRequest', 'admission webhook "images.example" denied the request: not signed', [], 'podInvalid', false],
])('%i %s: %s', (code, reason, message, causes, type, retryable) => {
  const status = { code, reason, message, causes, about: null, retryAfterMs: null };
  expect(refusalOf(status, 'dev')).toMatchObject({ type, retryable });
});

test.each([
  [
    403,
    'Forbidden',
    'pods is forbidden: User "system:serviceaccount:w:c" cannot create resource "pods" in API group "" in the namespace "dev"',
  ],
  [
    403,
    'Forbidden',
    'pods "x" is forbidden: error looking up service account dev/default: serviceaccount "default" not found',
  ],
  [
    403,
    'Forbidden',
    'configmaps "x" is forbidden: User "system:serviceaccount:w:c" cannot get resource "configmaps" in API group ""',
  ],
  [403, 'Forbidden', 'pods "x" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0'],
  [429, 'TooManyRequests', 'too many requests'],
  [500, 'InternalError', 'etcdserver: request timed out'],
  [401, 'Unauthorized', 'Unauthorized'],
])("is not the step's: %i %s: %s", (code, reason, message) => {
  expect(refusalOf({ code, reason, message, causes: [], about: null, retryAfterMs: null }, 'dev')).toBeNull();
});

test.each([
  ['pods is forbidden: User "w" cannot create resource "pods"', 'Give the controller its role in namespace dev back'],
  ['pods "x" is forbidden: exceeded quota: few', 'It begins when other Pods have ended, or the quota is raised'],
  ['etcdserver: request timed out', 'It is tried again by itself'],
])('what is held says what to do: %s', (message, advice) => {
  const status = { code: 403, reason: 'Forbidden', message, causes: [], about: null, retryAfterMs: null };
  const key = { runId: 'r', step: 'work', item: -1, attempt: 1 };
  const said = holdOf(status, { key, namespace: 'dev' });
  expect(said).toContain(`step work cannot begin: ${message}. ${advice}`);
  expect(holdOf({ ...status, message: '', code: 503 }, { key, namespace: 'dev' })).toContain('answers 503');
});

test.each([
  ['restricted:latest": allowPrivilegeEscalation != false', 'baseline'],
  ['restricted:v1.35": host namespaces (hostNetwork=true), runAsNonRoot != true', 'privileged'],
  ['baseline:latest": hostPath volumes (volume "host")', 'privileged'],
])('Pod Security %s: it is told which level lets the step in', (violated, level) => {
  const message = `pods "x" is forbidden: violates PodSecurity "${violated}`;
  const status = { code: 403, reason: 'Forbidden', message, causes: [], about: null, retryAfterMs: null };
  expect(refusalOf(status, 'dev')?.message).toContain(`pod-security.kubernetes.io/enforce=${level}`);
});

test('a quota of ConfigMaps is not said to wait for Pods', () => {
  const message = 'configmaps "windlass-files-1" is forbidden: exceeded quota: few, requested: configmaps=1';
  const status = { code: 403, reason: 'Forbidden', message, causes: [], about: null, retryAfterMs: null };
  const key = { runId: 'r', step: 'work', item: -1, attempt: 1 };
  expect(holdOf(status, { key, namespace: 'dev' })).toContain(
    'when ConfigMaps have been removed, or the quota is raised',
  );
});
