import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import { followNamespaces } from '../../controller/kubernetes/namespaces.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import { type MixedWorld, reasonOf, startMixedWorld } from '../fixtures/mixed-world.ts';
import { KubernetesClient } from '../../controller/kubernetes/client.ts';
import { environmentManager } from '../../controller/kubernetes/field-managers.ts';
import { createKubernetesGovernance } from '../../controller/kubernetes/governance.ts';
import { quickstartRepository } from '../fixtures/controller.ts';
import { install, kubectl, kubectlOrThrow, manifest } from '../fixtures/kubectl.ts';
import { kstatus } from '../fixtures/kstatus.ts';
import { type Cluster, startApiServer } from '../fixtures/kubernetes.ts';

const server = await startApiServer();
const namespace = 'team';
const agrees = { 'windlass.dev/project': namespace };
const workflow = 'nightly-report';
let world: MixedWorld;

function cluster(): Cluster {
  if (!server) throw new Error('there is no API server');
  return server;
}

const run = (...args: string[]) => kubectlOrThrow(cluster(), args);
const object = (kind: string, name: string, spec: object, where = namespace) => manifest(kind, name, spec, where);
const space = (name: string, labels: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});
const environment = (name: string, more: object = {}) =>
  object('Environment', name, { source: { name: 'repo' }, track: { branch: 'main' }, ...more });
const handApplied = (where: string, name = workflow) =>
  object('Workflow', name, { steps: [{ name: 'mine', run: 'true' }] }, where);
const is = (type: string, reason: string) => (seen: Parameters<typeof reasonOf>[0]) => reasonOf(seen, type) === reason;
const messageOf = (seen: { status?: { conditions?: { type: string; message: string }[] } }, type: string) =>
  seen.status?.conditions?.find((condition) => condition.type === type)?.message ?? '';
const manager = async () =>
  (
    JSON.parse(await run('get', 'wwf', workflow, '-n', 'dev', '-o', 'json', '--show-managed-fields')) as {
      metadata: { managedFields: { manager: string; fieldsV1: object; subresource?: string }[] };
    }
  ).metadata.managedFields.flatMap((one) => ('f:spec' in one.fieldsV1 && !one.subresource ? [one.manager] : []));

beforeAll(async () => {
  if (!server) return;
  await install(server, [
    ...Object.values(kinds).map(crdManifest),
    space(namespace),
    space('dev', agrees),
    space('plain'),
    space('shy'),
  ]);
  world = await startMixedWorld(server);
  const untilTold = {
    steps: [{ name: 'a', run: `until [ -e ${join(world.directory, 'told')} ]; do sleep 0.05; done` }],
  };
  const files = { 'workflows/slow.yaml': JSON.stringify(object('Workflow', 'slow', untilTold)) };
  const { url } = await quickstartRepository(join(world.directory, 'repository'), files);
  await install(server, [object('WorkflowSource', 'repo', { url, branch: 'main' }), environment('dev')]);
  await world.object('Environment', namespace, 'dev', ({ status }) => (status?.active ?? []).length > 0);
  await world.object('Workflow', 'dev', workflow, is('Ready', 'Promoted'));
});
afterAll(async () => {
  await world?.stop();
  await server?.stop();
});

// oxlint-disable-next-line vitest/expect-expect
describe.skipIf(!server)('the namespace of an environment', () => {
  test('must be there and agree; nothing is put there before', async () => {
    await install(cluster(), [environment('later')]);
    const missing = await world.object('Environment', namespace, 'later', is('Stalled', 'NamespaceNotFound'));
    expect(kstatus(missing)).toBe('Failed');
    await install(cluster(), [space('later')]);
    await run('annotate', 'wenv', 'later', '-n', namespace, 'windlass.dev/requestedAt=1');
    const held = await world.object('Environment', namespace, 'later', is('Stalled', 'NamespaceNotAdmitted'));
    expect(held.status?.lastHandledReconcileAt).toBe('1');
    expect(messageOf(held, 'Ready')).toContain('kubectl label namespace later --overwrite windlass.dev/project=team');
    expect(await run('get', 'wwf', '-n', 'later')).toBe('');
    await run('label', 'namespace', 'later', 'windlass.dev/project=team');
    await run('annotate', '--overwrite', 'wenv', 'later', '-n', namespace, 'windlass.dev/requestedAt=2');
    await world.object('Workflow', 'later', workflow, is('Ready', 'Promoted'));
    const ready = await world.object('Environment', namespace, 'later', is('Ready', 'UpToDate'));
    expect(ready.status?.lastHandledReconcileAt).toBe('2');
    expect(kstatus(ready)).toBe('Current');
  });

  test('agrees to one project', async () => {
    await install(cluster(), [space('other', { 'windlass.dev/project': 'others' }), environment('other')]);
    const held = await world.object('Environment', namespace, 'other', is('Stalled', 'NamespaceNotAdmitted'));
    expect(messageOf(held, 'Ready')).toContain('agrees to project others only');
  });

  test('is of one environment', async () => {
    await install(cluster(), [environment('second', { namespace: 'dev' })]);
    const held = await world.object('Environment', namespace, 'second', is('Stalled', 'NamespaceTaken'));
    expect(messageOf(held, 'Ready')).toContain('dev belongs to another environment');
    await run('delete', 'wenv', 'second', '-n', namespace);
  });

  test('may take its consent back: new runs wait at once, and say so; running ones go on', async () => {
    await install(cluster(), [space('fickle', agrees), environment('fickle')]);
    await world.object('Environment', namespace, 'fickle', is('Ready', 'UpToDate'));
    const started = (name: string) => object('WorkflowRun', name, { workflow: 'slow' }, 'fickle');
    await install(cluster(), [started('before')]);
    await world.object('WorkflowRun', 'fickle', 'before', ({ status }) => status?.phase === 'Running');

    await run('label', 'namespace', 'fickle', 'windlass.dev/project-');
    const begun = Date.now();
    await install(cluster(), [started('after')]);
    const waits = await world.object('WorkflowRun', 'fickle', 'after', is('Reconciling', 'NamespaceNotAdmitted'));
    expect(waits.status?.phase).toBe('Pending');
    const label = 'kubectl label namespace fickle --overwrite windlass.dev/project=team';
    expect(messageOf(waits, 'Reconciling')).toContain(label);
    const held = await world.object('Environment', namespace, 'fickle', is('Stalled', 'NamespaceNotAdmitted'));
    expect(messageOf(held, 'Ready')).toContain(label);
    expect(Date.now() - begun).toBeLessThan(5000);
    await writeFile(join(world.directory, 'told'), '');
    const ended = ({ status }: { status?: { phase?: string } }) => status?.phase === 'Succeeded';
    await world.object('WorkflowRun', 'fickle', 'before', ended);

    await run('label', 'namespace', 'fickle', 'windlass.dev/project=team');
    await world.object('WorkflowRun', 'fickle', 'after', ended);
    await world.object('Environment', namespace, 'fickle', is('Ready', 'UpToDate'));
  });

  test('that is being deleted gets nothing any more, and its environment says so', async () => {
    await install(cluster(), [space('going', agrees)]);
    // Without controllers a namespace stays while it is being deleted.
    await run('delete', 'namespace', 'going', '--wait=false');
    await install(cluster(), [environment('going')]);
    const held = await world.object('Environment', namespace, 'going', is('Stalled', 'NamespaceTerminating'));
    expect(kstatus(held)).toBe('Failed');
  });
});

describe.skipIf(!server)('a Workflow in the namespace of an environment', () => {
  test('that was not promoted is not run, and says so', async () => {
    await install(cluster(), [handApplied('dev', 'by-hand')]);
    const seen = await world.object('Workflow', 'dev', 'by-hand', is('Stalled', 'NotPromoted'));
    expect(kstatus(seen)).toBe('Failed');
  });

  test.each([
    ['apply by force', ['apply', '--server-side', '--force-conflicts', '--field-manager=argocd-controller'], 'argocd'],
    ['replace, which takes its labels, too', ['replace', '--field-manager=somebody'], 'somebody'],
    ['apply as it always was', ['apply', '--field-manager=kubectl-client-side-apply'], 'kubectl-client-side-apply'],
  ])('that is edited by %s is put back, and says which fields and by whom', async (_, args, who) => {
    const before = await world.object('Workflow', 'dev', workflow, is('Ready', 'Promoted'));
    const edited = { ...before.spec, description: `by ${who}`, steps: [{ name: 'mine', run: 'true' }] };
    await kubectlOrThrow(cluster(), [...args, '-f', '-'], JSON.stringify(object('Workflow', workflow, edited, 'dev')));
    const { generation } = before.metadata;
    const after = await world.object(
      'Workflow',
      'dev',
      workflow,
      (seen) =>
        seen.metadata.generation > generation + 1 && seen.status?.observedGeneration === seen.metadata.generation,
    );
    expect(after.spec).toEqual(before.spec);
    expect(after.metadata.annotations).toMatchObject(before.metadata.annotations);
    expect(messageOf(after, 'Drifted')).toContain(`Changed by ${who}`);
    expect(messageOf(after, 'Drifted')).toContain('spec.description');
    expect(reasonOf(after, 'Drifted')).toBe('Reverted');
    expect(kstatus(after)).toBe('Current');
    expect(await manager()).toEqual(['windlass-environment']);
    const events = await world.controller.store.events.list({ kind: 'Workflow', name: workflow }, { limit: 100 });
    expect(events.at(-1)).toMatchObject({ type: 'Warning', reason: 'Drifted' });
  });

  test('is not taken over by an apply that does not force it', async () => {
    const refused = await kubectl(cluster(), ['apply', '--server-side', '-f', '-'], JSON.stringify(handApplied('dev')));
    expect(refused.stderr).toContain('conflict with "windlass-environment": .spec');
  });

  test('stays edited while the environment is suspended, and says so', async () => {
    await run('patch', 'wenv', 'dev', '-n', namespace, '--type=merge', '-p', '{"spec":{"suspend":true}}');
    const suspended = await world.object('Environment', namespace, 'dev', is('Ready', 'Suspended'));
    expect(suspended.status?.observedGeneration).toBe(suspended.metadata.generation);
    await run('patch', 'wwf', workflow, '-n', 'dev', '--type=merge', '-p', '{"spec":{"description":"while away"}}');
    const drifted = await world.object('Workflow', 'dev', workflow, is('Drifted', 'NotReverted'));
    expect(messageOf(drifted, 'Drifted')).toContain('environment dev is suspended');
    expect(drifted.spec.description).toBe('while away');
    await run('patch', 'wenv', 'dev', '-n', namespace, '--type=merge', '-p', '{"spec":{"suspend":false}}');
    await world.object('Workflow', 'dev', workflow, is('Drifted', 'Reverted'));
  });

  test('comes back when it is deleted', async () => {
    const before = await world.object('Workflow', 'dev', workflow, is('Ready', 'Promoted'));
    await run('delete', 'wwf', workflow, '-n', 'dev');
    const again = await world.object(
      'Workflow',
      'dev',
      workflow,
      ({ metadata: { uid } }) => uid !== before.metadata.uid,
    );
    expect(again.spec).toEqual(before.spec);
  });

  test('of somebody else keeps its name, until it is deleted', async () => {
    await install(cluster(), [space('shared', agrees), handApplied('shared')]);
    await world.object('Workflow', 'shared', workflow, is('Ready', 'Applied'));
    await install(cluster(), [environment('shared')]);
    const taken = await world.object('Workflow', 'shared', workflow, is('Stalled', 'NameTaken'));
    expect(taken.spec.steps[0]?.name).toBe('mine');
    const held = await world.object('Environment', namespace, 'shared', is('Stalled', 'NameTaken'));
    expect(messageOf(held, 'Ready')).toContain(workflow);
    await run('delete', 'wwf', workflow, '-n', 'shared');
    await world.object('Workflow', 'shared', workflow, is('Ready', 'Promoted'));
    await world.object('Environment', namespace, 'shared', is('Ready', 'UpToDate'));
  });
});

describe.skipIf(!server)('what is refused by the cluster', () => {
  test('a quota', async () => {
    const quota = {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'none', namespace: 'full' },
      spec: { hard: { 'count/workflows.windlass.dev': '0' } },
    };
    await install(cluster(), [space('full', agrees), quota]);
    // Without controllers nobody counts what is used.
    const status = { hard: quota.spec.hard, used: quota.spec.hard };
    const patch = ['patch', 'quota', 'none', '-n', 'full', '--subresource=status', '--type=merge', '-p'];
    await run(...patch, JSON.stringify({ status }));
    await install(cluster(), [environment('full')]);
    const held = await world.object('Environment', namespace, 'full', is('Stalled', 'Refused'));
    expect(messageOf(held, 'Ready')).toContain('exceeded quota');
    await run('delete', 'quota', 'none', '-n', 'full');
    await world.object('Workflow', 'full', workflow, is('Ready', 'Promoted'));
  });

  test('looking at namespaces, policies and tables: each says what is missing', async () => {
    const client = new KubernetesClient(cluster().login('nobody'));
    const namespaces = followNamespaces({ client, names: null, clock: systemClock, log: pino({ level: 'silent' }) });
    const governance = createKubernetesGovernance({ client, namespaces, fieldManager: environmentManager });
    const forbidden = 'User "nobody" cannot get resource';
    expect(await governance.admits(namespace, 'dev')).toMatchObject({
      reason: 'NamespaceForbidden',
      message: expect.stringContaining(forbidden),
    });
    expect(await governance.identityTable(namespace, 'windlass-identities')).toMatchObject({
      ok: false,
      message: expect.stringContaining(forbidden),
    });
    expect(await governance.approvalsPolicy()).toMatchObject({
      state: 'Unknown',
      message: expect.stringContaining('whether ValidatingAdmissionPolicy windlass-approvals is in force'),
    });
    namespaces.stop();
    client.close();
  });

  test('a request is answered by every kind that is reconciled', async () => {
    for (const [kind, where, name] of [
      ['WorkflowSource', namespace, 'repo'],
      ['Environment', namespace, 'dev'],
      ['Workflow', 'dev', workflow],
    ] as const) {
      await run('annotate', kind, name, '-n', where, '--overwrite', 'windlass.dev/requestedAt=now');
      await world.object(kind, where, name, ({ status }) => status?.lastHandledReconcileAt === 'now');
    }
    const [promotion] = (await run('get', 'wpro', '-n', namespace, '-o', 'name')).split('\n');
    const name = promotion?.split('/')[1] ?? '';
    await run('annotate', 'wpro', name, '-n', namespace, 'windlass.dev/requestedAt=now');
    const seen = await world.object(
      'Promotion',
      namespace,
      name,
      ({ status }) => status?.lastHandledReconcileAt === 'now',
    );
    expect(kstatus(seen)).toBe('Current');
  });
});
