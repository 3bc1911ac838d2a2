import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments, parse } from 'yaml';
import { controllerCommand } from '../../cli/commands/controller.ts';
import type { Cli } from '../../cli/io.ts';
import { findHelm, kustomizeBase } from '../../scripts/chart.ts';
import { chart, helm, render } from '../fixtures/helm.ts';
import { kubectl, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { type ApiServer, startApiServer } from '../fixtures/kubernetes.ts';

interface Rendered {
  kind: string;
  metadata: { name: string; namespace?: string; annotations?: Record<string, string> };
  rules?: { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }[];
  spec?: Record<string, unknown>;
}

const root = join(import.meta.dirname, '../..');
const server = findHelm() === null ? null : await startApiServer();
if (!server) process.stderr.write('test:cluster: no helm, or no API server: the chart is not tested\n');

async function manifests(values: string[] = []): Promise<Rendered[]> {
  return parseAllDocuments(await render(values))
    .map((document) => document.toJS() as Rendered | null)
    .filter((manifest) => manifest !== null);
}

describe.skipIf(!server)('the chart', () => {
  const cluster = server as ApiServer;
  beforeAll(async () => {
    for (const name of ['windlass', 'dev', 'prod']) await kubectlOrThrow(cluster, ['create', 'namespace', name]);
  });
  afterAll(() => server?.stop());

  test('has nothing that helm lint finds', async () => {
    const { code, stdout } = await helm(['lint', '--strict', chart]);
    expect(stdout).not.toMatch(/\[(WARNING|ERROR)\]/);
    expect(code).toBe(0);
  });

  const everything = [
    'postgres.enabled=true',
    'namespaces={dev,prod}',
    'steps.image=busybox:1',
    'steps.allowPrivileged={dev}',
    'steps.allowPrivateHttp={dev}',
    'steps.maxPerNamespace=20',
    'networkPolicy.from[0].namespaceSelector.matchLabels.team=ops',
    'serviceAccount.annotations.role=x',
    'service.annotations.a=b',
    'podAnnotations.a=b',
    'podLabels.a=b',
    'nodeSelector.disk=fast',
    'tolerations[0].operator=Exists',
    'affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key=metadata.name',
    'affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].operator=In',
    'affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values={n}',
    'imagePullSecrets[0].name=login',
    'postgres.storageClassName=standard',
    'artifacts.bucket=s3://team/prefix?region=eu-central-1',
    'artifacts.existingSecret=bucket',
  ];
  test.each([
    ['default values', []],
    ['every value that adds something', everything],
    [
      'everything optional left out',
      [
        'crds.install=false',
        'approvals.policy.install=false',
        'rbac.aggregatedRoles=false',
        'podDisruptionBudget.enabled=false',
        'networkPolicy.enabled=false',
        'replicas=0',
      ],
    ],
  ])('is what an API server accepts, field by field: %s', async (_, values) => {
    const rendered = await render(values);
    const { stdout, stderr } = await kubectl(
      cluster,
      ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-'],
      rendered,
    );
    expect(stderr).toBe('');
    const accepted = stdout.trim().split('\n');
    expect(accepted).toHaveLength(parseAllDocuments(rendered).filter((d) => d.toJS() !== null).length);
    expect(accepted.filter((line) => !line.endsWith('(server dry run)'))).toEqual([]);
  });

  test('is what the kustomize base holds', async () => {
    expect(readFileSync(join(root, 'deploy/kustomize/windlass.yaml'), 'utf8')).toBe(kustomizeBase(root));
    const { code, stderr } = await kubectl(cluster, ['kustomize', join(root, 'deploy/kustomize')]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test.each([
    ['a misspelt value', 'replica=3', 'replica'],
    ['a misspelt value, deeper', 'image.repo=x', 'repo'],
    ['another type', 'replicas=two', 'replicas'],
    ['less than no replicas', 'replicas=-1', 'replicas'],
    ['a namespace that cannot be', 'namespaces={Dev_1}', 'namespaces'],
    ['one namespace twice', 'namespaces={dev,dev}', 'namespaces'],
    ['an unknown log level', 'logLevel=loud', 'logLevel'],
    ['a time without a unit', 'runs.ttl=24', 'ttl'],
    ['less than a controller needs to end', 'terminationGracePeriodSeconds=5', 'terminationGracePeriodSeconds'],
    ['an image that cannot be', 'steps.image=busybox 1', 'image'],
    ['no database', 'database.existingSecret=', 'existingSecret'],
  ])('refuses %s, and says where', async (_, value, where) => {
    await expect(render([value])).rejects.toThrow(new RegExp(`values don't meet[^]*${where}`));
  });

  test('describes every value, and has a schema for each', () => {
    const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Schema;
    const values = parse(readFileSync(join(chart, 'values.yaml'), 'utf8')) as Record<string, unknown>;
    expect(undescribed(schema)).toEqual([]);
    // `global` is Helm's own.
    expect(Object.keys(schema.properties ?? {}).filter((name) => name !== 'global')).toEqual(Object.keys(values));
  });

  test('lets no number through that the command refuses', { timeout: 60_000 }, async () => {
    const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Schema;
    const found = integers(schema);
    expect(found.map(({ path }) => path)).toContain('runs.history');
    for (const { path, minimum, maximum } of found) {
      for (const extreme of [minimum, maximum]) {
        expect(extreme, `${path} has bounds`).toBeTypeOf('number');
        const deployment = (await manifests([`${path}=${extreme}`])).find(({ kind }) => kind === 'Deployment');
        const pod = deployment?.spec?.['template'] as { spec: { containers: { args: string[] }[] } } | undefined;
        const [name, ...args] = pod?.spec.containers[0]?.args ?? [];
        const command = controllerCommand({} as Cli).exitOverride();
        expect(name).toBe(command.name());
        expect(command.parseOptions(args), `${path}=${extreme}`).toEqual({ operands: [], unknown: [] });
      }
    }
  });

  test('keeps the CRDs when it is uninstalled', async () => {
    const crds = (await manifests()).filter(({ kind }) => kind === 'CustomResourceDefinition');
    expect(crds).toHaveLength(5);
    for (const { metadata } of crds) expect(metadata.annotations).toEqual({ 'helm.sh/resource-policy': 'keep' });
  });

  test('keeps the approvals policy with them: nobody may forge while no release is installed', async () => {
    const policy = (await manifests()).filter(({ kind }) => kind.startsWith('ValidatingAdmissionPolicy'));
    expect(policy).toHaveLength(2);
    for (const { metadata } of policy) expect(metadata.annotations).toEqual({ 'helm.sh/resource-policy': 'keep' });
  });

  test('gives no rights outside of the namespaces that it is installed for', async () => {
    const rendered = await manifests(['namespaces={dev,prod}']);
    const named = ({ kind, metadata }: Rendered) => `${kind} ${metadata.namespace ?? '-'} ${metadata.name}`;
    const bindings = rendered
      .filter(({ kind }) => kind.endsWith('Binding') && !kind.startsWith('Validating'))
      .map(named);
    expect(bindings.toSorted()).toEqual([
      'ClusterRoleBinding - windlass.windlass',
      'RoleBinding dev windlass.windlass',
      'RoleBinding dev windlass.windlass.viewer',
      'RoleBinding prod windlass.windlass',
      'RoleBinding prod windlass.windlass.viewer',
      'RoleBinding windlass windlass.windlass.events',
    ]);
    const everywhere = rendered.find((manifest) => named(manifest) === 'ClusterRole - windlass.windlass');
    expect(everywhere?.rules?.flatMap(({ resources, verbs }) => resources.map((r) => `${verbs.join()} ${r}`))).toEqual([
      'create tokenreviews',
      'create subjectaccessreviews',
      'get validatingadmissionpolicies',
      'get validatingadmissionpolicybindings',
      'get namespaces',
      'list,watch namespaces',
    ]);
    const only = everywhere?.rules?.slice(-2).map(({ resourceNames }) => resourceNames);
    expect(only).toEqual([['kube-system'], ['dev', 'prod']]);
  });

  test('gives the command line of people what it uses, and nothing else', async () => {
    const role = (await manifests()).find(({ kind, metadata }) => kind === 'Role' && metadata.name === 'windlass-cli');
    expect(role?.rules?.flatMap(({ resources, verbs }) => resources.map((r) => `${verbs.join()} ${r}`))).toEqual([
      'list pods',
      'create,get pods/portforward',
      'create serviceaccounts/token',
    ]);
  });

  test('asks Prometheus only when it is told to', async () => {
    const monitors = (rendered: Rendered[]) => rendered.filter(({ kind }) => kind === 'ServiceMonitor');
    expect(monitors(await manifests())).toEqual([]);
    const [monitor] = monitors(await manifests(['serviceMonitor.enabled=true', 'serviceMonitor.labels.release=p']));
    expect(monitor?.spec).toMatchObject({ endpoints: [{ port: 'http', path: '/metrics', interval: '30s' }] });
  });

  test('makes a password for the Postgres for trying out once, and keeps it, as a second release in a cluster', async () => {
    const off = ['crds.install', 'approvals.policy.install', 'rbac.aggregatedRoles'].map((name) => `${name}=false`);
    const set = ['postgres.enabled=true', ...off].flatMap((value) => ['--set', value]);
    const passwords: string[] = [];
    for (const command of ['install', 'upgrade']) {
      const { code, stderr } = await helm([command, 'trying', chart, '-n', 'dev', ...set], cluster.kubeConfigFile);
      expect({ code, stderr }).toMatchObject({ code: 0 });
      const found = await kubectlOrThrow(cluster, [
        'get',
        'secret/trying-windlass-postgres',
        '-n',
        'dev',
        '-o',
        'json',
      ]);
      const { data } = JSON.parse(found) as { data: Record<string, string> };
      const [password = '', url] = [data['password'], data['url']].map((text) => atob(text ?? ''));
      expect(url).toBe(`postgres://windlass:${password}@trying-windlass-postgres.dev:5432/windlass`);
      passwords.push(password);
    }
    expect(passwords[0]).toMatch(/^\w{32}$/);
    expect(passwords[1]).toBe(passwords[0]);
  });

  describe('gives people, by name of the role', () => {
    beforeAll(async () => {
      await kubectlOrThrow(cluster, ['apply', '--server-side', '-f', '-'], await render());
      for (const role of ['view', 'edit', 'admin']) {
        await kubectlOrThrow(cluster, [
          'create',
          'rolebinding',
          role,
          `--clusterrole=windlass-${role}`,
          `--user=${role}`,
          '-n',
          'dev',
        ]);
      }
    });

    test.each([
      ['get workflowruns', 'view edit admin viewer'],
      ['watch promotions', 'view edit admin viewer'],
      ['create workflowruns', 'edit admin'],
      ['patch promotions', 'edit admin'],
      ['delete workflows', 'edit admin'],
      ['create environments', 'admin'],
      ['patch workflowsources', 'admin'],
      ['approve environments', 'admin'],
      ['patch workflowruns/status', ''],
      ['get secrets', ''],
    ])('%s: %s', async (action, who) => {
      const may: string[] = [];
      const users = {
        view: 'view',
        edit: 'edit',
        admin: 'admin',
        viewer: 'system:serviceaccount:windlass:windlass-viewer',
      };
      for (const [name, user] of Object.entries(users)) {
        const [verb = '', resource = ''] = action.split(' ');
        const group = resource === 'secrets' ? resource : resource.replace(/^\w+/, '$&.windlass.dev');
        const { stdout } = await kubectl(cluster, ['auth', 'can-i', verb, ...canI(group), '-n', 'dev', '--as', user]);
        if (stdout.trim() === 'yes') may.push(name);
      }
      expect(may.join(' ')).toBe(who);
    });

    test('and nothing anywhere else', async () => {
      const args = ['auth', 'can-i', 'get', 'workflowruns.windlass.dev', '-n', 'prod', '--as', 'admin'];
      expect((await kubectl(cluster, args)).stdout.trim()).toBe('no');
    });
  });
});

interface Schema {
  type?: string | string[];
  minimum?: number;
  maximum?: number;
  description?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
}

function undescribed({ properties = {}, items }: Schema, path = ''): string[] {
  const own = Object.entries(properties).flatMap(([name, schema]) => [
    ...(schema.description === undefined ? [`${path}/${name}`] : []),
    ...undescribed(schema, `${path}/${name}`),
  ]);
  return items ? [...own, ...undescribed(items, `${path}[]`)] : own;
}

/** Every number of the values, with its bounds. */
function integers({ properties = {} }: Schema, path: string[] = []): (Schema & { path: string })[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const here = [...path, name];
    const own = [schema.type].flat().includes('integer') ? [{ ...schema, path: here.join('.') }] : [];
    return [...own, ...integers(schema, here)];
  });
}

function canI(resource: string): string[] {
  const [kind = '', subresource] = resource.split('/');
  return subresource === undefined ? [kind] : [kind, `--subresource=${subresource}`];
}
