import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Kind, kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import { install, kubectl, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { findCluster } from '../fixtures/kubernetes.ts';

const cluster = await findCluster();
const definitions = Object.values(kinds);
const namespace = 'windlass-crds';

beforeAll(async () => {
  if (!cluster) return;
  await install(cluster, [
    ...definitions.map(crdManifest),
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
  ]);
});
afterAll(async () => {
  if (cluster) await kubectl(cluster, ['delete', 'namespace', namespace, '--wait=false']);
  await cluster?.stop();
});

describe.skipIf(!cluster)('the CRDs on a Kubernetes API server', () => {
  const run = async (...args: string[]) => {
    if (!cluster) throw new Error('there is no cluster');
    return kubectlOrThrow(cluster, args);
  };

  test.each(definitions)('$kind is served, and the API server finds nothing wrong in it', async ({ kind, plural }) => {
    const crd = JSON.parse(await run('get', 'crd', `${plural}.windlass.dev`, '-o', 'json')) as {
      status: { conditions: { type: string; status: string }[]; acceptedNames: object; storedVersions: string[] };
    };
    const conditions = Object.fromEntries(crd.status.conditions.map(({ type, status }) => [type, status]));
    expect(conditions).toEqual({ NamesAccepted: 'True', Established: 'True' });
    expect(crd.status.acceptedNames).toMatchObject({ kind, plural, categories: ['windlass'] });
    expect(crd.status.storedVersions).toEqual(['v1alpha1']);
  });

  test('each kind goes by its short name, and all by the category', async () => {
    for (const { plural, shortNames } of definitions) {
      for (const name of shortNames) await run('get', name, '-n', namespace);
      expect(await run('api-resources', '--categories=windlass', '-o', 'name')).toContain(`${plural}.windlass.dev`);
    }
    expect(await run('get', 'windlass', '-n', namespace)).toBe('');
  });

  test('kubectl explain says what a field is', async () => {
    expect(await run('explain', 'workflow.spec.steps.retry.limit')).toContain('Attempts after the first');
    for (const { plural } of definitions) {
      for (const part of ['spec', 'status']) {
        expect(await run('explain', `${plural}.${part}`)).toMatch(/DESCRIPTION:\n +[A-Z]/);
      }
    }
  });

  test('kubectl get shows a run with its phase, the reason, progress and version', async () => {
    if (!cluster) throw new Error('there is no cluster');
    const object = {
      apiVersion: 'windlass.dev/v1alpha1',
      kind: 'WorkflowRun' satisfies Kind,
      metadata: { name: 'shown', namespace },
      spec: { workflow: 'report' },
    };
    await kubectlOrThrow(cluster, ['create', '-f', '-'], JSON.stringify(object));
    const status = JSON.stringify({
      status: { phase: 'Running', reason: 'Paused', progress: '7/10', shortVersion: 'v1.4.0' },
    });
    await run('patch', 'wrun', 'shown', '-n', namespace, '--subresource=status', '--type=merge', '-p', status);
    const [head = '', row = ''] = (await run('get', 'wrun', '-n', namespace)).split('\n');
    expect(head.split(/\s+/)).toEqual(['NAME', 'WORKFLOW', 'PHASE', 'REASON', 'PROGRESS', 'VERSION', 'AGE']);
    expect(row.split(/\s+/).slice(0, 6)).toEqual(['shown', 'report', 'Running', 'Paused', '7/10', 'v1.4.0']);
    expect(await run('get', 'windlass', '-n', namespace)).toContain('workflowrun.windlass.dev/shown');
  });

  test('what a run does is fixed when it is made; whether it goes on may change', async () => {
    if (!cluster) throw new Error('there is no cluster');
    const object = {
      apiVersion: 'windlass.dev/v1alpha1',
      kind: 'WorkflowRun',
      metadata: { name: 'fixed', namespace },
      spec: {
        workflow: 'report',
        inputs: { region: 'eu', list: [1, { deep: 'x' }] },
        priority: 3,
        replay: { run: '7b0b4a52' },
      },
    };
    await kubectlOrThrow(cluster, ['create', '-f', '-'], JSON.stringify(object));
    const patch = (spec: object) =>
      kubectl(cluster, ['patch', 'wrun', 'fixed', '-n', namespace, '--type=merge', '-p', JSON.stringify({ spec })]);
    expect(await patch({ desired: 'Paused', inputs: { region: 'eu', list: [1, { deep: 'x' }] } })).toMatchObject({
      code: 0,
    });
    for (const spec of [{ inputs: { list: [2] } }, { inputs: { other: 1 } }, { inputs: null }]) {
      const refused = await patch(spec);
      expect(refused.stderr).toContain('inputs are immutable');
      expect(refused.code).toBe(1);
    }
    expect((await patch({ workflow: 'other' })).stderr).toContain('workflow is immutable');
    for (const spec of [{ priority: 4 }, { priority: null }])
      expect((await patch(spec)).stderr).toContain('priority is immutable');
    for (const spec of [{ replay: { run: 'other' } }, { replay: null }])
      expect((await patch(spec)).stderr).toContain('replay is immutable');
    const again = { execution: { number: 2, from: 'fetch', onlyFailed: true }, force: true, desired: 'Cancelled' };
    expect(await patch(again)).toMatchObject({ code: 0 });
  });
});
