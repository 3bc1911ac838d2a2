import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig, type User } from '@kubernetes/client-node';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKubernetesAccess } from '../../api/access-kubernetes.ts';
import { createApp } from '../../api/app.ts';
import { KubernetesClient } from '../../controller/kubernetes/client.ts';
import { createKubernetesObjects, type KubernetesObjects } from '../../controller/objects/kubernetes/objects.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import { openStore } from '../../controller/store/open.ts';
import type { Store } from '../../controller/store/types.ts';
import { withObjects } from '../../controller/store/with-objects.ts';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import { dependencies, workflowSpec } from '../fixtures/api.ts';
import { createClientCertificates } from '../fixtures/client-certificates.ts';
import { install, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { startApiServer } from '../fixtures/kubernetes.ts';

/*
 * A controller that logs in by certificate, as with a kubeconfig of kind or kubeadm. The API server looks at the
 * certificate of a connection before it looks at a token: whoever calls must never come over a connection with one.
 */

const certificates = await createClientCertificates();
const server = await startApiServer([`--client-ca-file=${certificates.caFile}`]);
const log = pino({ level: 'silent' });
const editor = 'system:serviceaccount:dev:editor';

let directory = '';
let history: Store | undefined;
let objects: KubernetesObjects | undefined;
let app: ReturnType<typeof createApp>;
let token = '';

beforeAll(async () => {
  if (!server) return;
  const namespaces = ['dev', 'prod'].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }));
  await install(server, [...Object.values(kinds).map(crdManifest), ...namespaces]);
  const rights = ['--verb=*', '--resource=workflows.windlass.dev'];
  await kubectlOrThrow(server, ['create', 'serviceaccount', 'editor', '-n', 'dev']);
  await kubectlOrThrow(server, ['create', 'role', 'editor', '-n', 'dev', ...rights]);
  const binding = ['create', 'rolebinding', 'editor', '-n', 'dev', '--role=editor', '--serviceaccount=dev:editor'];
  await kubectlOrThrow(server, binding);
  token = (await kubectlOrThrow(server, ['create', 'token', 'editor', '-n', 'dev'])).trim();

  const client = new KubernetesClient(login(await certificates.issue('controller', 'system:masters')));
  directory = await mkdtemp(join(tmpdir(), 'windlass-login-'));
  history = await openStore({ dataDir: join(directory, 'data') }, { clock: systemClock, home: 'test' });
  objects = createKubernetesObjects({ client, fieldManager: 'windlass', clock: systemClock, log });
  await objects.ready();
  const access = createKubernetesAccess({
    reviewer: client,
    objectsFor: (token) =>
      createKubernetesObjects({ client: client.as(token), fieldManager: 'windlass-api', clock: systemClock, log }),
    clock: systemClock,
  });
  app = createApp(dependencies(withObjects(history, objects), { access, project: null }));
});

afterAll(async () => {
  objects?.close();
  await history?.close();
  if (directory) await rm(directory, { recursive: true, force: true });
  await server?.stop();
  await certificates.remove();
});

function login(user: User): KubeConfig {
  const cluster = server?.kubeConfig.getCurrentCluster();
  if (!cluster) throw new Error('there is no API server');
  const config = new KubeConfig();
  config.loadFromClusterAndUser(cluster, user);
  return config;
}

async function put(namespace: string): Promise<number> {
  const path = `/api/v1/namespaces/${namespace}/workflows/report`;
  const response = await app.request(`http://windlass.internal${path}`, {
    method: 'PUT',
    headers: { host: 'windlass.internal', authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ metadata: { name: 'report', namespace }, spec: workflowSpec }),
  });
  return response.status;
}

/** Who asked for this Workflow, to read or to write it, as the API server saw it: name, namespace and what came of it. */
async function askers(): Promise<string[]> {
  interface Entry {
    user: { username: string };
    objectRef?: { resource?: string; namespace?: string };
    responseStatus?: { code: number };
  }
  const lines = (await readFile(server?.auditLog ?? '', 'utf8')).trim().split('\n');
  return lines
    .map((line) => JSON.parse(line) as Entry)
    .filter(({ objectRef }) => objectRef?.resource === 'workflows' && objectRef.namespace !== undefined)
    .map(({ user, objectRef, responseStatus }) => `${user.username} ${objectRef?.namespace} ${responseStatus?.code}`);
}

describe.skipIf(!server)('a controller that logs in by certificate', () => {
  test('writes for others as they may themselves, never as it may', async () => {
    expect([await put('dev'), await put('prod')]).toEqual([200, 403]);
    // The controller itself asks whose the object is, and for no more.
    const dev = ['controller dev 404', `${editor} dev 404`, `${editor} dev 201`];
    expect(await askers()).toEqual([...dev, 'controller prod 404', `${editor} prod 403`]);
  });
});
