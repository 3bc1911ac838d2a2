import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { invoke } from '../fixtures/cli.ts';
import { install, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { findCluster } from '../fixtures/kubernetes.ts';
import { nodesOf } from '../fixtures/pod-world.ts';

const cluster = process.env['KUBECONFIG'] ? await findCluster() : null;
const nodes = await nodesOf(cluster);
const namespace = `forward-${process.pid}`;
let directory: string;

/** Says whose token it was asked with, and sends a log of half a megabyte. */
const api = `
require('node:http').createServer((request, response) => {
  if (request.url.includes('/logs')) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let n = 1; n <= 5; n++) {
      const lines = [{ position: n, text: 'line ' + n + ' ' + 'x'.repeat(100000) + '\\n' }];
      response.write('id: ' + n + '\\nevent: log\\ndata: ' + JSON.stringify({ step: 's', attempt: 1, lines }) + '\\n\\n');
    }
    return response.end('event: end\\ndata: {"phase":"Succeeded"}\\n\\n');
  }
  const token = (request.headers.authorization ?? '').replace('Bearer ', '').split('.')[1] ?? '';
  const { sub } = JSON.parse(Buffer.from(token, 'base64url').toString() || '{}');
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ items: [{ url: request.url, pod: process.env.HOSTNAME, sub }], next: null }));
}).listen(8080);
`;

function controller(name: string): object {
  const labels = { 'app.kubernetes.io/name': 'windlass', 'app.kubernetes.io/component': 'controller' };
  const container = {
    name: 'controller',
    image: 'node:24-slim',
    imagePullPolicy: 'IfNotPresent',
    ports: [{ name: 'http', containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
    command: ['node', '-e', api],
  };
  const spec = { containers: [container], terminationGracePeriodSeconds: 0, automountServiceAccountToken: false };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels }, spec };
}

beforeAll(async () => {
  if (!cluster || nodes !== 'kubelet') return;
  directory = await mkdtemp(join(tmpdir(), 'windlass-forward-'));
  const account = (name: string) => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } });
  const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: 'windlass-cli', namespace } };
  await install(cluster, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }]);
  await install(cluster, [
    account('windlass-viewer'),
    account('ada'),
    account('default'),
    {
      ...rbac,
      kind: 'Role',
      rules: [
        { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
        { apiGroups: [''], resources: ['pods/portforward'], verbs: ['create', 'get'] },
      ],
    },
    {
      ...rbac,
      kind: 'RoleBinding',
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'windlass-cli' },
      subjects: [{ kind: 'ServiceAccount', name: 'ada', namespace }],
    },
    controller('first'),
  ]);
  await ready('first');
});

afterAll(async () => {
  if (!cluster || nodes !== 'kubelet') return;
  await kubectlOrThrow(cluster, ['delete', 'namespace', namespace, '--wait=false']);
  await rm(directory, { recursive: true, force: true });
});

async function ready(pod: string): Promise<void> {
  if (!cluster) return;
  await kubectlOrThrow(cluster, ['wait', '--for=condition=Ready', `pod/${pod}`, '-n', namespace, '--timeout=60s']);
}

/** A kubeconfig of the account `ada`. */
async function ada(): Promise<string> {
  const server = cluster?.kubeConfig.getCurrentCluster();
  if (!cluster || !server) throw new Error('there is no cluster');
  const token = (await kubectlOrThrow(cluster, ['create', 'token', 'ada', '-n', namespace])).trim();
  const config = new KubeConfig();
  config.loadFromClusterAndUser(server, { name: 'ada', token });
  const file = join(directory, 'ada.kubeconfig');
  await writeFile(file, config.exportConfig());
  return file;
}

async function cli(kubeconfig: string, ...argv: string[]) {
  const invocation = invoke(['--kubeconfig', kubeconfig, '--controller-namespace', namespace, ...argv], {
    cwd: directory,
  });
  return { code: await invocation.exitCode, stdout: invocation.stdout(), stderr: invocation.stderr() };
}

interface Answer {
  items: { url: string; pod: string; sub: string }[];
}

describe.skipIf(nodes !== 'kubelet')('history by port-forward (on a kubelet)', () => {
  test("is asked for with the kubeconfig's own token", async () => {
    const { code, stdout } = await cli(await ada(), 'get', 'runs', '-o', 'json');
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as Answer).items[0]).toMatchObject({
      url: '/api/v1/runs?limit=50',
      sub: `system:serviceaccount:${namespace}:ada`,
    });
  });

  test.skipIf(!cluster?.kubeConfig.getCurrentUser()?.certData && !cluster?.kubeConfig.getCurrentUser()?.certFile)(
    'is read as windlass-viewer by a login by certificate',
    async () => {
      const { stdout } = await cli(cluster?.kubeConfigFile ?? '', 'get', 'runs', '-o', 'json');
      expect((JSON.parse(stdout) as Answer).items[0]?.sub).toBe(`system:serviceaccount:${namespace}:windlass-viewer`);
    },
  );

  test('carries a log of half a megabyte whole', async () => {
    const { code, stdout } = await cli(await ada(), 'logs', 'run', '-n', 'dev', '--follow');
    expect(code).toBe(0);
    expect(stdout.match(/line \d x{100000}\n/g)?.length).toBe(5);
  });

  test('goes to another Pod when one is gone', async () => {
    if (!cluster) return;
    await install(cluster, [controller('second')]);
    await kubectlOrThrow(cluster, ['delete', 'pod', 'first', '-n', namespace]);
    await ready('second');
    const { stdout } = await cli(await ada(), 'get', 'runs', '-o', 'json');
    expect((JSON.parse(stdout) as Answer).items[0]?.pod).toBe('second');
  });
});
