import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pino from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient } from '../../api/client.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import type { RunningController } from '../../controller/start.ts';
import { startCluster } from '../../controller/start-cluster.ts';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import { install, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { findCluster, freePort } from '../fixtures/kubernetes.ts';
import { nodesOf } from '../fixtures/pod-world.ts';
import { startPostgres } from '../fixtures/postgres.ts';
import { startS3Server } from '../fixtures/s3-server.ts';

const cluster = process.env['KUBECONFIG'] ? await findCluster() : null;
const nodes = await nodesOf(cluster);
const postgres = nodes === 'kubelet' ? await startPostgres() : null;
const image = 'windlass-test/helper:dev';
const namespace = `artifacts-${process.pid}-${Date.now().toString(36)}`;

test.skipIf(postgres)('needs a cluster with a kubelet, and a Postgres: set KUBECONFIG', ({ skip }) => skip());

describe.skipIf(!postgres)('artifacts on a whole controller in a cluster', { timeout: 60_000 }, () => {
  let controller: RunningController | null = null;
  let directory: string;
  let s3: Awaited<ReturnType<typeof startS3Server>>;
  const k = (args: string[], input?: object) => {
    if (!cluster) throw new Error('there is no cluster');
    return kubectlOrThrow(cluster, args, input === undefined ? undefined : JSON.stringify(input));
  };

  beforeAll(async () => {
    if (!cluster || !postgres) return;
    await promisify(execFile)(join(import.meta.dirname, 'image'), [image]);
    directory = await mkdtemp(join(tmpdir(), 'windlass-cluster-artifacts-'));
    s3 = await startS3Server();
    await install(cluster, [
      ...Object.values(kinds).map((kind) => crdManifest(kind)),
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    ]);
    const port = await freePort();
    const settings = { maxBytes: 1024 ** 2, keptMs: null, image, url: `http://host.cluster.internal:${port}` };
    controller = await startCluster(
      {
        kubeConfig: cluster.kubeConfig,
        databaseUrl: await postgres.database('artifacts'),
        dataDir: join(directory, 'data'),
        namespaces: [namespace],
        allowPrivilegedSteps: new Set(),
        allowPrivateHttp: new Set(),
        pod: null,
        stepImage: 'busybox:1',
        artifacts: s3
          ? { ...settings, location: { kind: 's3', prefix: 'kept/', ...s3.bucket }, credentials: s3.bucket.credentials }
          : { ...settings, location: { kind: 'directory', path: join(directory, 'kept') }, credentials: null },
        retention: { ttlMs: null, perWorkflow: null },
        listen: { host: '0.0.0.0', port },
        env: { PATH: process.env['PATH'], HOME: directory },
        clock: systemClock,
        log: pino({ level: 'silent' }),
        version: 'test',
      },
      new AbortController().signal,
    );
  }, 300_000);
  afterAll(async () => {
    await controller?.stop(0);
    if (cluster) await k(['delete', 'namespace', namespace, '--wait=false']);
    await s3?.stop();
    await postgres?.stop();
    if (directory) await rm(directory, { recursive: true, force: true });
  });

  test('from one step to another, and to a person who may read the run', async () => {
    const apiVersion = 'windlass.dev/v1alpha1';
    await k(['apply', '-n', namespace, '-f', '-'], {
      apiVersion,
      kind: 'Workflow',
      metadata: { name: 'build' },
      spec: {
        steps: [
          {
            name: 'make',
            run: 'mkdir -p dist/css; echo "<p>" > dist/index.html; : > dist/css/a',
            artifacts: { out: { site: 'dist' } },
          },
          {
            name: 'check',
            needs: ['make'],
            run: 'cat public/index.html > all; ls public/css >> all',
            artifacts: { in: { public: 'make.site' }, out: { all: 'all' } },
          },
        ],
      },
    });
    await k(['create', '-n', namespace, '-f', '-'], {
      apiVersion,
      kind: 'WorkflowRun',
      metadata: { name: 'one' },
      spec: { workflow: 'build' },
    });
    await k(['wait', '-n', namespace, '--for=condition=Finished', '--timeout=50s', 'wrun/one']);
    expect(await k(['get', '-n', namespace, 'wrun/one', '-o', 'jsonpath={.status.phase}'])).toBe('Succeeded');

    await k(['create', 'role', 'runs', '-n', namespace, '--verb=get,list', '--resource=workflowruns.windlass.dev']);
    await k(['create', 'rolebinding', 'runs', '-n', namespace, '--role=runs', `--serviceaccount=${namespace}:default`]);
    const token = (await k(['create', 'token', 'default', '-n', namespace])).trim();
    const server = (controller?.url ?? '').replace('0.0.0.0', '127.0.0.1');
    const client = createClient({ server, token });
    const key = { namespace, name: 'one' };
    const { items } = await client.artifacts(key);
    expect(items.map(({ step, name, folder }) => [step, name, folder])).toEqual([
      ['check', 'all', false],
      ['make', 'site', true],
    ]);
    const { content } = await client.artifact(key, 'check', 'all');
    expect(await new Response(content).text()).toBe('<p>\na\n');
    const nobody = createClient({ server, token: 'nobody' });
    await expect(nobody.artifact(key, 'check', 'all')).rejects.toThrow(/token/i);
  });
});
