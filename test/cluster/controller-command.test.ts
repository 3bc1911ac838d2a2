import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient } from '../../api/client.ts';
import { createKubernetesSecrets } from '../../controller/executors/kubernetes-secrets.ts';
import { KubernetesClient } from '../../controller/kubernetes/client.ts';
import { type Invocation, invoke } from '../fixtures/cli.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';
import { freePort } from '../fixtures/kubernetes.ts';

const started = await startClusterWorld();
let cwd = '';
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'windlass-command-'));
});
afterAll(async () => {
  await started?.stop();
  await rm(cwd, { recursive: true, force: true });
});

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

/** `windlass controller` as a person starts it beside a cluster. */
async function controller(flags: string[]): Promise<{ command: Invocation; url: string }> {
  const port = await freePort();
  const argv = ['controller', '--host=127.0.0.1', `--port=${port}`, `--data=${join(cwd, String(port))}`, ...flags];
  const env = { KUBECONFIG: world().server.kubeConfigFile, DATABASE_URL: await world().database() };
  const command = invoke(argv, { cwd, env });
  await command.printed('the controller serves');
  return { command, url: `http://127.0.0.1:${port}` };
}

const steps = (...list: object[]) => ({
  apiVersion: 'windlass.dev/v1alpha1',
  kind: 'Workflow',
  metadata: { name: 'w' },
  spec: { steps: list },
});
const run = (name: string) => ({
  apiVersion: 'windlass.dev/v1alpha1',
  kind: 'WorkflowRun',
  metadata: { name },
  spec: { workflow: 'w' },
});

describe.skipIf(!started)('windlass controller', () => {
  test('serves until it is told to stop; a run of its API is a WorkflowRun like any other', async () => {
    const namespace = await world().namespace();
    await world().kubectl(`apply -n ${namespace} -f -`, steps({ name: 'a', wait: { for: '1ms' } }));
    const { command, url } = await controller(['--log-level=info']);
    const token = world().server.kubeConfig.getCurrentUser()?.token ?? '';
    const client = createClient({ server: url, token });
    const { metadata } = await client.createRun(namespace, { workflow: 'w', inputs: {} });
    await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/${metadata.name}`);
    expect(await client.run(metadata)).toMatchObject({ phase: 'Succeeded' });
    await expect(createClient({ server: url, token: 'guessed' }).run(metadata)).rejects.toMatchObject({ status: 401 });
    command.interrupt();
    expect(await command.exitCode).toBe(0);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow('fetch failed');
  });

  test('--namespaces: nothing of the others is touched', async () => {
    const [mine, other] = [await world().namespace(), await world().namespace()];
    for (const namespace of [mine, other]) {
      await world().kubectl(`apply -n ${namespace} -f -`, steps({ name: 'a', wait: { for: '1ms' } }));
      await world().kubectl(`create -n ${namespace} -f -`, run('r'));
    }
    const { command } = await controller([`--namespaces=${mine}`]);
    await world().kubectl(`wait -n ${mine} --for=condition=Finished --timeout=40s wrun/r`);
    expect((await world().run(other, 'r'))?.status).toBeUndefined();
    command.interrupt();
    await command.exitCode;
  });

  test('--allow-private-http: steps of the named namespaces may try, others are refused', async () => {
    const [mine, other] = [await world().namespace(), await world().namespace()];
    const request = { name: 'a', timeout: '2s', http: { url: 'http://10.255.255.1:9/' } };
    for (const namespace of [mine, other]) {
      await world().kubectl(`apply -n ${namespace} -f -`, steps(request));
      await world().kubectl(`create -n ${namespace} -f -`, run('r'));
    }
    const { command } = await controller([`--allow-private-http=${mine}`]);
    const messages: string[] = [];
    for (const namespace of [mine, other]) {
      await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/r`);
      const seen = await world().run(namespace, 'r');
      messages.push(seen?.status?.conditions?.find(({ type }) => type === 'Succeeded')?.message ?? '');
    }
    expect(messages[0]).not.toContain('a private range');
    expect(messages[1]).toContain('a private range');
    command.interrupt();
    await command.exitCode;
  });

  test('--allow-privileged-steps and --step-image: a Pod is made in the named namespace, elsewhere its step fails', async () => {
    const [mine, other] = [await world().namespace(), await world().namespace()];
    for (const namespace of [mine, other]) {
      const step = { name: 'a', run: 'true', podTemplate: { spec: { hostNetwork: true } } };
      await world().kubectl(`apply -n ${namespace} -f -`, steps(step));
      await world().kubectl(`create -n ${namespace} -f -`, run('r'));
    }
    const { command } = await controller([`--allow-privileged-steps=${mine}`, '--step-image=example.org/tools:1']);
    await world().kubectl(`wait -n ${other} --for=condition=Finished --timeout=40s wrun/r`);
    const refused = (await world().run(other, 'r'))?.status?.conditions?.find(({ type }) => type === 'Succeeded');
    expect(refused?.message).toContain('--allow-privileged-steps');
    const pod = await world().first(mine, 'pods');
    expect(pod).toMatchObject({ spec: { hostNetwork: true, containers: [{ image: 'example.org/tools:1' }] } });
    command.interrupt();
    expect(await command.exitCode).toBe(0);
  });

  test('--run-ttl: finished runs are removed when it is over', async () => {
    const namespace = await world().namespace();
    await world().kubectl(`apply -n ${namespace} -f -`, steps({ name: 'a', wait: { for: '1ms' } }));
    const { command } = await controller(['--run-ttl=10ms', '--run-history=5']);
    await world().kubectl(`create -n ${namespace} -f -`, run('r'));
    await world().kubectl(`wait -n ${namespace} --for=delete --timeout=40s wrun/r`);
    expect(await world().run(namespace, 'r')).toBeNull();
    command.interrupt();
    await command.exitCode;
  });
});

describe.skipIf(!started)('Secrets of the Kubernetes API', () => {
  test('only labelled ones are read; what keeps one from being used is said with what to do', async () => {
    const namespace = await world().namespace();
    const secret = (name: string, labels: object, data: Record<string, string>) =>
      world().kubectl('apply -f -', { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace, labels }, data });
    const value = Buffer.from('s3cret').toString('base64');
    await secret('lent', { 'windlass.dev/use': 'allowed' }, { token: value, binary: '/w==' });
    await secret('kept', {}, { token: value });
    const reader = createKubernetesSecrets(new KubernetesClient(world().server.kubeConfig));
    expect(await reader.read(namespace, 'lent', 'token')).toBe('s3cret');
    expect(await reader.read(namespace, 'lent', 'other')).toBeNull();
    expect(await reader.read(namespace, 'none', 'token')).toBeNull();
    await expect(reader.read(namespace, 'kept', 'token')).rejects.toThrow(
      `kubectl label secret kept -n ${namespace} windlass.dev/use=allowed`,
    );
    await expect(reader.read(namespace, 'lent', 'binary')).rejects.toThrow('is no text');
    const stranger = createKubernetesSecrets(new KubernetesClient(world().server.login('stranger')));
    await expect(stranger.read(namespace, 'lent', 'token')).rejects.toThrow('may not read Secret');
  });
});
