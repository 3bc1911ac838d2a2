import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import type { Hono } from 'hono';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKubernetesAccess } from '../../api/access-kubernetes.ts';
import { createApp } from '../../api/app.ts';
import { clusterClient } from '../../cli/cluster.ts';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import { openClusterLogin } from '../../controller/cluster-client.ts';
import { KubernetesClient } from '../../controller/kubernetes/client.ts';
import { createKubernetesObjects, type KubernetesObjects } from '../../controller/objects/kubernetes/objects.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import { openStore } from '../../controller/store/open.ts';
import type { Store } from '../../controller/store/types.ts';
import { withObjects } from '../../controller/store/with-objects.ts';
import { dependencies, workflowSpec } from '../fixtures/api.ts';
import { invoke } from '../fixtures/cli.ts';
import { install, kubectl, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { startApiServer } from '../fixtures/kubernetes.ts';

const server = await startApiServer();
const log = pino({ level: 'silent' });
const all = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'];

/** An account of namespace `people` with these rights. */
function account(name: string, bindings: { namespace?: string; rules: object[] }[]): object[] {
  const subjects = [{ kind: 'ServiceAccount', name, namespace: 'people' }];
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'people' } },
    ...bindings.flatMap(({ namespace, rules }) => {
      const [scope, metadata] = namespace === undefined ? ['Cluster', { name }] : ['', { name, namespace }];
      const api = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata };
      const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: `${scope}Role`, name };
      return [
        { ...api, kind: `${scope}Role`, rules },
        { ...api, kind: `${scope}RoleBinding`, roleRef, subjects },
      ];
    }),
  ];
}

const windlass = (verbs: string[], resources = ['workflows', 'workflowruns', 'promotions']) => ({
  apiGroups: ['windlass.dev'],
  resources,
  verbs,
});

/** What the chart lets the controller ask; reading objects is the test's own way to have them. */
const controllerRights = [
  { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
  { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
  windlass(['get', 'list', 'watch'], ['*']),
];

let directory: string;
let history: Store;
let objects: KubernetesObjects;
let app: Hono;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  if (!server) return;
  const namespaces = ['dev', 'prod', 'people', 'windlass'].map((name) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name },
  }));
  await install(server, [...Object.values(kinds).map(crdManifest), ...namespaces]);
  await install(server, [
    ...account('controller', [{ rules: controllerRights }]),
    ...account('editor', [{ namespace: 'dev', rules: [windlass(all)] }]),
    ...account('approver', [
      {
        namespace: 'dev',
        rules: [windlass(['get', 'update'], ['promotions']), windlass(['get', 'approve'], ['environments'])],
      },
    ]),
    ...account('reader', [{ rules: [windlass(['get', 'list'], ['*'])] }]),
    ...account('one-run', [
      { namespace: 'dev', rules: [{ ...windlass(['get']), resources: ['workflowruns'], resourceNames: ['mine'] }] },
    ]),
    ...account('nobody', []),
    ...account('lists-pods', [
      { namespace: 'windlass', rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }] },
    ]),
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: 'windlass' } },
  ]);
  for (const name of ['controller', 'editor', 'approver', 'reader', 'one-run', 'nobody', 'lists-pods']) {
    tokens[name] = (await kubectlOrThrow(server, ['create', 'token', name, '-n', 'people'])).trim();
  }
  directory = await mkdtemp(join(tmpdir(), 'windlass-access-'));
  history = await openStore({ dataDir: join(directory, 'data') }, { clock: systemClock, home: 'test' });
  const client = new KubernetesClient(login('controller'));
  objects = createKubernetesObjects({ client, fieldManager: 'windlass', clock: systemClock, log });
  await objects.ready();
  const store = withObjects(history, objects);
  const access = createKubernetesAccess({
    reviewer: client,
    objectsFor: (token) =>
      createKubernetesObjects({ client: client.as(token), fieldManager: 'windlass-api', clock: systemClock, log }),
    clock: systemClock,
  });
  app = createApp(dependencies(store, { access, project: null }));
});

afterAll(async () => {
  objects?.close();
  await history?.close();
  if (directory) await rm(directory, { recursive: true, force: true });
  await server?.stop();
});

function login(name: string): KubeConfig {
  const cluster = server?.kubeConfig.getCurrentCluster();
  if (!cluster) throw new Error('there is no API server');
  const config = new KubeConfig();
  config.loadFromClusterAndUser(cluster, { name, token: tokens[name] ?? '' });
  return config;
}

async function call(who: string, method: string, path: string, body?: object) {
  const response = await app.request(`http://windlass.internal/api/v1${path}`, {
    method,
    headers: {
      host: 'windlass.internal',
      authorization: `Bearer ${tokens[who] ?? who}`,
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await response.text();
  return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> };
}

const workflow = (namespace: string) => ({ metadata: { name: 'report', namespace }, spec: workflowSpec });
const path = (namespace: string) => `/namespaces/${namespace}/workflows/report`;

describe.skipIf(!server)('the API in a cluster', () => {
  test('knows the accounts of the API server, and nobody else', async () => {
    expect(await call('editor', 'GET', '/server')).toMatchObject({
      status: 200,
      body: { user: 'system:serviceaccount:people:editor', project: null },
    });
    expect(await call('made-up', 'GET', '/server')).toMatchObject({ status: 401 });
  });

  test('reads for those whose RBAC lets them', async () => {
    expect(await call('reader', 'GET', '/runs')).toMatchObject({ status: 200 });
    expect(await call('editor', 'GET', '/runs')).toMatchObject({
      status: 403,
      body: {
        detail:
          'system:serviceaccount:people:editor may not list workflowruns (WorkflowRun) in all namespaces. Ask for one namespace (-n NAME; in the API ?namespace=NAME).',
      },
    });
    expect(await call('editor', 'GET', '/runs?namespace=dev')).toMatchObject({ status: 200 });
    expect(await call('editor', 'GET', '/runs?namespace=prod')).toMatchObject({ status: 403 });
    expect(await call('nobody', 'GET', '/runs?namespace=dev')).toMatchObject({ status: 403 });
    expect(await call('one-run', 'GET', '/namespaces/dev/runs/mine')).toMatchObject({ status: 404 });
    expect(await call('one-run', 'GET', '/namespaces/dev/runs/other')).toMatchObject({ status: 403 });
  });

  test("writes with the caller's own login, not with the controller's", async () => {
    if (!server) return;
    expect(await call('editor', 'PUT', path('dev'), workflow('dev'))).toMatchObject({ status: 200 });
    const raw = await kubectlOrThrow(server, [
      'get',
      'wwf',
      'report',
      '-n',
      'dev',
      '-o',
      'json',
      '--show-managed-fields',
    ]);
    const { metadata } = JSON.parse(raw) as { metadata: { managedFields: { manager: string }[] } };
    expect(metadata.managedFields.map(({ manager }) => manager)).toEqual(['windlass-api']);
    expect(await call('editor', 'PUT', path('prod'), workflow('prod'))).toMatchObject({ status: 403 });
    expect(await call('reader', 'PUT', path('dev'), workflow('dev'))).toMatchObject({ status: 200 }); // nothing to change
    const changed = { ...workflow('dev'), spec: { ...workflowSpec, description: 'Another.' } };
    expect(await call('reader', 'PUT', path('dev'), changed)).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining('system:serviceaccount:people:reader') as unknown },
    });
    expect(await call('reader', 'DELETE', path('dev'))).toMatchObject({ status: 403 });
  });

  test('creates and cancels runs for those who may, and says what the API server holds against others', async () => {
    const created = await call('editor', 'POST', '/namespaces/dev/runs', { workflow: 'report', name: 'first' });
    expect(created).toMatchObject({ status: 201, body: { metadata: { name: 'first' } } });
    expect(await call('reader', 'POST', '/namespaces/dev/runs', { workflow: 'report' })).toMatchObject({ status: 403 });
    expect(await call('reader', 'POST', '/namespaces/dev/runs/first/cancel', {})).toMatchObject({ status: 403 });
    const cancelled = await call('editor', 'POST', '/namespaces/dev/runs/first/cancel', { reason: 'enough' });
    expect(cancelled).toMatchObject({ status: 200, body: { spec: { desired: 'Cancelled', reason: 'enough' } } });
  });

  test('writes approvals that the admission policy takes: as the caller, who may approve for the environment', async () => {
    if (!server) return;
    const policy = new URL('../../charts/windlass/files/approvals-policy.yaml', import.meta.url);
    await kubectlOrThrow(server, ['apply', '-f', '-'], await readFile(policy));
    const metadata = (name: string) => ({ name, namespace: 'dev' });
    const api = { apiVersion: 'windlass.dev/v1alpha1' };
    const environment = { source: { name: 'repo' }, track: { branch: 'main' }, gates: [{ approval: { count: 2 } }] };
    await install(server, [
      { ...api, kind: 'Environment', metadata: metadata('prod'), spec: environment },
      { ...api, kind: 'Promotion', metadata: metadata('p1'), spec: { environment: 'prod', ref: 'v1.0.0' } },
    ]);
    const forged = JSON.stringify({ spec: { approvals: [{ user: 'somebody', decision: 'Approve' }] } });
    const forge = () =>
      server && kubectl(server, ['patch', 'wpro', 'p1', '-n', 'dev', '--type=merge', '--dry-run=server', '-p', forged]);
    // The API server compiles a policy when it sees it, and says so nowhere.
    await expect.poll(async () => (await forge())?.code, { timeout: 20_000, interval: 200 }).toBe(1);
    const approve = (who: string) => call(who, 'POST', '/promotions/p1/approve?project=dev', { comment: 'ok' });
    expect(await approve('approver')).toMatchObject({ status: 200 });
    expect(await approve('editor')).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining('may not approve environment prod') as unknown },
    });
    const reader = await approve('reader');
    expect(reader).toMatchObject({ status: 403 });
    const user = 'system:serviceaccount:people:approver';
    const object = await objects.get('Promotion', 'dev', 'p1');
    expect(object?.spec.approvals).toMatchObject([{ user, decision: 'Approve', comment: 'ok' }]);
  });

  test('a right that is given counts within ten seconds, without a restart', async () => {
    if (!server) return;
    const list = () => call('nobody', 'GET', '/namespaces/prod/workflowruns');
    expect(await list()).toMatchObject({ status: 403 });
    await install(server, account('nobody', [{ namespace: 'prod', rules: [windlass(['list'])] }]));
    await expect.poll(async () => (await list()).status, { timeout: 20_000, interval: 500 }).toBe(200);
  });
});

describe.skipIf(!server)('the command line in a cluster', () => {
  async function kubeconfig(name: string, namespace?: string): Promise<string> {
    const config = login(name);
    const [context] = config.getContexts();
    if (context && namespace !== undefined) Object.assign(context, { namespace });
    const file = join(directory, `${name}-${namespace ?? 'none'}.kubeconfig`);
    await writeFile(file, config.exportConfig());
    return file;
  }

  async function cli(who: string, ...argv: string[]) {
    const invocation = invoke(argv, { cwd: directory, env: { KUBECONFIG: await kubeconfig(who, 'dev') } });
    return { code: await invocation.exitCode, stdout: invocation.stdout(), stderr: invocation.stderr() };
  }

  test("applies, runs, pauses, cancels and deletes by the kubeconfig's login, with no controller in reach", async () => {
    if (!server) return;
    const file = join(directory, 'workflow.yaml');
    const apply = {
      apiVersion: 'windlass.dev/v1alpha1',
      kind: 'Workflow',
      metadata: { name: 'cli' },
      spec: workflowSpec,
    };
    await writeFile(file, JSON.stringify(apply));
    expect(await cli('editor', 'apply', '-f', file)).toMatchObject({
      code: 0,
      stdout: 'workflow/cli created in dev\n',
    });
    expect(await cli('editor', 'apply', '-f', file)).toMatchObject({
      code: 0,
      stdout: 'workflow/cli unchanged in dev\n',
    });
    expect(await cli('reader', 'delete', 'workflow', 'cli')).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('system:serviceaccount:people:reader') as unknown,
    });
    expect(await cli('editor', 'run', 'cli', '-n', 'dev', '--name', 'r1')).toMatchObject({ code: 0 });
    expect(await cli('editor', 'pause', 'r1', '-n', 'dev')).toMatchObject({ code: 0 });
    expect(await cli('editor', 'resume', 'r1', '-n', 'dev')).toMatchObject({ code: 0 });
    expect(await cli('editor', 'cancel', 'r1', '-n', 'dev', '--reason', 'test')).toMatchObject({ code: 0 });
    expect(await cli('editor', 'resume', 'r1', '-n', 'dev')).toMatchObject({ code: 4 });
    const raw = await kubectlOrThrow(server, [
      'get',
      'wrun',
      'r1',
      '-n',
      'dev',
      '-o',
      'jsonpath={.spec.desired} {.spec.reason}',
    ]);
    expect(raw).toBe('Cancelled test');
    expect(await cli('editor', 'delete', 'workflow', 'cli')).toMatchObject({ code: 0 });
    expect(await cli('editor', 'delete', 'workflow', 'cli')).toMatchObject({ code: 3 });
  });

  test('an approval carries the user and groups that the API server knows', async () => {
    if (!server) return;
    await cli('editor', 'apply', '-f', join(directory, 'workflow.yaml'));
    await cli('editor', 'run', 'cli', '-n', 'dev', '--name', 'r2');
    expect(await cli('editor', 'approve', 'r2', 'approve', '-n', 'dev', '--comment', 'ok')).toMatchObject({ code: 0 });
    expect(await cli('editor', 'approve', 'r2', 'approve', '-n', 'dev', '--as', 'grace')).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('`as` is for a laptop') as unknown,
    });
    const { spec } = JSON.parse(await kubectlOrThrow(server, ['get', 'wrun', 'r2', '-n', 'dev', '-o', 'json'])) as {
      spec: { approvals: object[] };
    };
    expect(spec.approvals).toEqual([
      {
        step: 'approve',
        user: 'system:serviceaccount:people:editor',
        groups: expect.arrayContaining(['system:serviceaccounts:people']) as unknown,
        decision: 'Approve',
        comment: 'ok',
        at: expect.any(String) as unknown,
      },
    ]);
  });

  test("a promotion is decided by the login, and asked for in the project's namespace", async () => {
    if (!server) return;
    expect(await cli('approver', '--project', 'dev', 'reject', 'p1', '--comment', 'no')).toMatchObject({
      code: 0,
      stdout: 'promotion p1 rejected\n',
    });
    const { stderr, code } = await cli('editor', '--project', 'dev', 'approve', 'p1');
    expect(stderr).toContain('it needs the verb approve on environments.windlass.dev');
    expect(code).toBe(4);
    expect((await objects.get('Promotion', 'dev', 'p1'))?.spec.approvals).toMatchObject([{ decision: 'Reject' }]);
    const asked = await cli('editor', '--project', 'dev', 'promote', 'prod', 'v2.0.0');
    expect(asked.stdout).toMatch(/^promotion prod-v2-0-0-\w{5} created/);
    const unsaid = await cli('approver', 'approve', 'p1');
    expect(unsaid.stderr).toContain('needs the right to list pods in namespace windlass');
  });

  test("what lives in a project goes to --project's namespace, not to the context's", async () => {
    const env = { KUBECONFIG: await kubeconfig('editor', 'prod') };
    const promotion = { metadata: { name: 'by-project' }, spec: { environment: 'prod', ref: 'v3.0.0' } };
    const stdin = JSON.stringify({ apiVersion: 'windlass.dev/v1alpha1', kind: 'Promotion', ...promotion });
    const printed = async (...argv: string[]) => {
      const invocation = invoke(['--project', 'dev', ...argv], { cwd: directory, env, stdin });
      await invocation.exitCode;
      return invocation.stdout() + invocation.stderr();
    };
    expect(await printed('apply', '-f', '-')).toBe('promotion/by-project created in dev\n');
    expect(await printed('delete', 'promotion', 'by-project')).toBe('promotion/by-project deleted from dev\n');
  });

  test.each([
    ['nobody', 'the right to list pods in namespace windlass', 4],
    ['lists-pods', 'no Pod of a controller in namespace windlass', 5],
  ])('reading history as %s says what is missing', async (who, message, code) => {
    const { stderr, code: ended } = await cli(who, 'get', 'runs');
    expect(stderr).toContain(message);
    expect(ended).toBe(code);
  });

  test('a ready Pod is not enough without the right to forward to it', async () => {
    if (!server) return;
    const labels = { 'app.kubernetes.io/name': 'windlass', 'app.kubernetes.io/component': 'controller' };
    const containers = [{ name: 'c', image: 'none', ports: [{ name: 'http', containerPort: 8080 }] }];
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'c', namespace: 'windlass', labels },
      spec: { containers },
    };
    await install(server, [pod]);
    expect((await cli('lists-pods', 'get', 'runs')).stderr).toContain('none of 1 controller Pods is ready');
    const status = JSON.stringify({ status: { conditions: [{ type: 'Ready', status: 'True' }] } });
    await kubectlOrThrow(server, ['patch', 'pod', 'c', '-n', 'windlass', '--subresource=status', '-p', status]);
    const { stderr, code } = await cli('lists-pods', 'get', 'runs');
    expect(stderr).toContain('the right to create pods/portforward in namespace windlass');
    expect(code).toBe(4);
    // A stream waits for a controller that is away, but not for a right.
    expect((await cli('lists-pods', 'logs', 'r1', '-n', 'dev', '--follow')).code).toBe(4);
  });

  test("history is read with the login's own token", async () => {
    const file = await kubeconfig('editor');
    const options = { kubeconfig: file, controllerNamespace: 'windlass', env: {}, clock: systemClock };
    const direct = openClusterLogin(options);
    expect(await direct.whoAmI()).toMatchObject({ user: 'system:serviceaccount:people:editor' });
    const there = { ...direct, fetch: async (request: Request) => app.request(withToken(request)) };
    const client = clusterClient(there, undefined, () => '2026-01-01T00:00:00Z');
    expect((await client.runs({ namespace: 'dev' })).items.map(({ name }) => name)).toContain('r2');
    await expect(client.runs({ namespace: 'prod' })).rejects.toMatchObject({ problem: { status: 403 } });
  });

  test.each([
    ['a file that is not there', ['--kubeconfig', 'none.yaml'], 'the kubeconfig none.yaml cannot be read'],
    ['a context that is not there', ['--context', 'nope'], 'has no usable context nope; contexts: '],
    ['both ways at once', ['--context', 'x', '--server', 'http://127.0.0.1:1'], 'give --server, or --context'],
  ])('%s', async (_, options, message) => {
    const { stderr, code } = await cli('editor', ...options, 'get', 'runs');
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });
});

function withToken(request: Request): Request {
  const headers = new Headers(request.headers);
  headers.set('authorization', `Bearer ${tokens['editor']}`);
  headers.set('host', 'controller.windlass');
  return new Request(request.url, { method: request.method, headers });
}
