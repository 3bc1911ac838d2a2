import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findHelm } from '../../scripts/chart.ts';
import type { Promotion } from '../../crds/promotion.ts';
import { forward } from '../fixtures/forward.ts';
import { serveHttps } from '../fixtures/git-servers.ts';
import { chart, helm } from '../fixtures/helm.ts';
import { kubectl, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { type Cluster, findCluster } from '../fixtures/kubernetes.ts';
import { nodesOf } from '../fixtures/pod-world.ts';
import { startPostgres } from '../fixtures/postgres.ts';
import { createRepository, type ScratchRepository } from '../fixtures/repository.ts';

/** A cluster of ../shared/cluster: images are put into it, and its Pods can reach this machine. */
const clusterFolder = process.env['CLUSTER_DIR'];
const cluster = process.env['KUBECONFIG'] && clusterFolder && findHelm() !== null ? await findCluster() : null;
const ready = (await nodesOf(cluster)) === 'kubelet';
if (!ready) process.stderr.write('test:cluster: no cluster of real Pods, or no helm: the chart is not installed\n');

const example = join(import.meta.dirname, '../../examples/cluster');
const image = { repository: 'windlass-test/windlass', tag: 'dev' };
const account = 'system:serviceaccount:windlass:windlass';
const controllers = 'app.kubernetes.io/component=controller';

describe.skipIf(!ready)('the chart, installed', { timeout: 240_000 }, () => {
  const here = cluster as Cluster;
  const stops: (() => Promise<unknown>)[] = [];
  let megabytes = 0;
  let source = '';
  let repository: ScratchRepository | null = null;
  let reinstalled = 0;

  const k = (...args: string[]) => kubectlOrThrow(here, args);
  const apply = (text: string) => kubectlOrThrow(here, ['apply', '-f', '-'], text);
  async function release(command: 'install' | 'upgrade', ...values: string[]): Promise<string> {
    const set = [`image.repository=${image.repository}`, `image.tag=${image.tag}`, ...values];
    const { code, stdout, stderr } = await helm(
      [
        command,
        'windlass',
        chart,
        '-n',
        'windlass',
        '--wait',
        '--timeout=3m',
        // Other suites may have left CRDs here.
        ...(command === 'install' ? ['--take-ownership'] : []),
        ...set.flatMap((v) => ['--set', v]),
      ],
      here.kubeConfigFile,
    );
    if (code !== 0) throw new Error(`${stderr}\n${await said()}`);
    return stdout;
  }
  /** What all controllers have logged, the Pods' state before it. */
  async function said(): Promise<string> {
    const pods = await kubectl(here, ['get', 'pods,events', '-n', 'windlass', '-o', 'wide']);
    const logs = await kubectl(here, ['logs', '-n', 'windlass', '-l', controllers, '--tail=-1', '--prefix']);
    return `${pods.stdout}\n${logs.stdout}`;
  }
  async function run(name: string, namespace = 'dev'): Promise<Record<string, unknown>> {
    const metadata = { name, namespace };
    const spec = { workflow: 'greet', inputs: { who: name } };
    await apply(JSON.stringify({ apiVersion: 'windlass.dev/v1alpha1', kind: 'WorkflowRun', metadata, spec }));
    return ended(name, namespace);
  }
  async function ended(name: string, namespace = 'dev'): Promise<Record<string, unknown>> {
    await kubectl(here, ['wait', `wrun/${name}`, '-n', namespace, '--for=condition=Finished', '--timeout=90s']);
    return JSON.parse(await k('get', `wrun/${name}`, '-n', namespace, '-o', 'jsonpath={.status}')) as never;
  }

  beforeAll(async () => {
    const script = join(import.meta.dirname, 'image');
    const { stdout } = await promisify(execFile)(script, [`${image.repository}:${image.tag}`]);
    megabytes = Number(stdout);
    const host = new URL(here.kubeConfig.getCurrentCluster()?.server ?? '').hostname;

    const postgres = await startPostgres();
    if (!postgres) throw new Error('there is no PostgreSQL on this machine');
    stops.push(() => postgres.stop());
    const url = new URL(await postgres.database('windlass'));
    const toPostgres = await forward(host, Number(url.port));
    stops.unshift(() => toPostgres.close());
    url.hostname = 'host.cluster.internal';
    await k('create', 'namespace', 'windlass');
    await k('label', 'namespace', 'windlass', 'pod-security.kubernetes.io/enforce=restricted');
    await k('create', 'secret', 'generic', 'windlass-database', '-n', 'windlass', `--from-literal=url=${url.href}`);

    const folder = await mkdtemp(join(tmpdir(), 'windlass-install-'));
    stops.push(() => rm(folder, { recursive: true }));
    repository = await createRepository(folder);
    const files: Record<string, string> = {};
    for (const name of await readdir(join(example, 'workflows'))) {
      files[`examples/cluster/workflows/${name}`] = await readFile(join(example, 'workflows', name), 'utf8');
    }
    await repository.commit(files, 'the example');
    const git = await serveHttps(folder, folder);
    stops.unshift(() => git.close());
    const toGit = await forward(host, git.port);
    stops.unshift(() => toGit.close());
    await writeFile(join(folder, 'ca.crt'), git.ca);
    await k('create', 'namespace', 'team');
    await k('create', 'secret', 'generic', 'git', '-n', 'team', `--from-file=${join(folder, 'ca.crt')}`);
    await k('label', 'secret', 'git', '-n', 'team', 'windlass.dev/use=allowed');
    source = `https://host.cluster.internal:${git.port}/origin.git`;
  }, 400_000);
  afterAll(async () => {
    await helm(['uninstall', 'windlass', '-n', 'windlass', '--wait'], here.kubeConfigFile);
    await kubectl(here, [
      'delete',
      'namespace',
      'windlass',
      'team',
      'dev',
      'prod',
      '--ignore-not-found',
      '--wait=false',
    ]);
    for (const stop of stops) await stop();
  });

  test('its image has at most 400 MB', () => {
    expect(megabytes).toBeGreaterThan(100);
    expect(megabytes).toBeLessThanOrEqual(400);
  });

  test('becomes ready, as a user who is not root on a root that cannot be written', async () => {
    await release('install');
    const replicas = ['-n', 'windlass', '-o', 'jsonpath={.status.readyReplicas}'];
    expect(await k('get', 'deployment/windlass', ...replicas)).toBe('2');
    const script = `console.log(process.getuid()); require('fs').writeFileSync('/app/x', '')`;
    const tried = await kubectl(here, ['exec', '-n', 'windlass', 'deployment/windlass', '--', 'node', '-e', script]);
    expect(tried.stdout).toBe('65532\n');
    expect(tried.stderr).toContain('EROFS: read-only file system');
  });

  test('takes the example from git to dev, and on to prod after a good run', async () => {
    const team = (await readFile(join(example, 'team.yaml'), 'utf8')).replace(
      /url: .*/,
      `url: ${source}\n  secretRef: { name: git }`,
    );
    await apply(team);
    const promotedTo = (stage: string) => k('wait', 'workflow/greet', '-n', stage, '--for=create', '--timeout=60s');
    await promotedTo('dev');
    await k('create', '-f', join(example, 'run.yaml'));
    expect(await ended('first')).toMatchObject({ phase: 'Succeeded', outputs: { greeting: 'hello, cluster' } });
    await promotedTo('prod');
    expect(await run('second', 'prod')).toMatchObject({ phase: 'Succeeded' });
    const edit = [{ op: 'replace', path: '/spec/description', value: 'edited by hand' }];
    await k('patch', 'workflow/greet', '-n', 'prod', '--type=json', '-p', JSON.stringify(edit));
    const restored = '--for=jsonpath={.spec.description}=Waits a moment and greets, in a Pod.';
    await k('wait', 'workflow/greet', '-n', 'prod', restored, '--timeout=30s');
  });

  test('lets a change into prod when somebody with the right to it approves, and nobody else', async () => {
    for (const [user, role] of [
      ['ada', 'admin'],
      ['bob', 'edit'],
    ] as const) {
      await k('create', 'rolebinding', user, `--clusterrole=${role}`, `--user=${user}`, '-n', 'team');
    }
    const gates = { spec: { gates: [{ approval: { count: 1 } }] } };
    await k('patch', 'wenv/prod', '-n', 'team', '--type=merge', '-p', JSON.stringify(gates));
    await repository?.commit({ 'examples/cluster/workflows/greeting.txt': 'good morning\n' }, 'be polite');
    await k('annotate', 'wsrc/repo', '-n', 'team', 'windlass.dev/requestedAt=now');
    await k('wait', 'wenv/prod', '-n', 'team', '--for=jsonpath={.status.waiting}=1', '--timeout=60s');
    const { items } = JSON.parse(await k('get', 'wpro', '-n', 'team', '-o', 'json')) as { items: Promotion[] };
    const waiting = items.find(({ spec, status }) => spec.environment === 'prod' && status?.phase === 'Gating');
    expect(waiting?.status?.gates).toContainEqual(expect.objectContaining({ gate: 'approval', open: false }));
    expect(JSON.stringify(waiting?.status)).not.toContain('No approval can be believed');

    const approve = (user: string) => {
      const patch = JSON.stringify({ spec: { approvals: [{ user, decision: 'Approve' }] } });
      const name = `wpro/${waiting?.metadata.name}`;
      return kubectl(here, ['patch', name, '-n', 'team', '--type=merge', '-p', patch, '--as', user]);
    };
    expect((await approve('bob')).stderr).toContain('bob may not approve what goes into environment prod');
    expect((await approve('ada')).stderr).toBe('');
    const promoted = '--for=jsonpath={.status.phase}=Succeeded';
    await k('wait', `wpro/${waiting?.metadata.name}`, '-n', 'team', promoted, '--timeout=60s');
    expect(await run('polite', 'prod')).toMatchObject({ outputs: { greeting: 'good morning, polite' } });
  });

  test('shows history to whoever may read it, by a token of Kubernetes', async () => {
    const address = await k('get', 'service/windlass', '-n', 'windlass', '-o', 'jsonpath={.spec.clusterIP}');
    const token = (await k('create', 'token', 'windlass-viewer', '-n', 'windlass')).trim();
    const stranger = (await k('create', 'token', 'default', '-n', 'windlass')).trim();
    const get = (path: string, bearer: string, init: RequestInit = {}) => {
      const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
      return fetch(`http://${address}${path}`, { ...init, headers });
    };
    const run = '/api/v1/namespaces/dev/runs/first';
    expect((await get(run, 'nobody')).status).toBe(401);
    expect((await get(run, stranger)).status).toBe(403);
    const response = await get(run, token);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ phase: 'Succeeded' });
    const body = JSON.stringify({ workflow: 'greet' });
    expect((await get('/api/v1/namespaces/dev/runs', token, { method: 'POST', body })).status).toBe(403);
  });

  test('is upgraded in the middle of a run, which loses nothing', async () => {
    const before = await k('get', 'pods', '-n', 'windlass', '-l', controllers, '-o', 'name');
    const running = run('during');
    await release('upgrade', 'podAnnotations.upgraded=yes');
    expect(await running).toMatchObject({ phase: 'Succeeded' });
    const pods = JSON.parse(await k('get', 'pods', '-n', 'dev', '-o', 'json')) as {
      items: { metadata: { name: string } }[];
    };
    const steps = pods.items.filter(({ metadata }) => metadata.name.startsWith('during-'));
    expect(steps).toHaveLength(1);
    await k('wait', '-n', 'windlass', '--for=delete', ...before.trim().split('\n'), '--timeout=60s');
  });

  test('brings CRDs up to date that an older chart left', async () => {
    const older = {
      spec: { names: { plural: 'promotions', singular: 'promotion', kind: 'Promotion', shortNames: ['old'] } },
    };
    await k('patch', 'crd', 'promotions.windlass.dev', '--type=merge', '-p', JSON.stringify(older));
    await release('upgrade', 'podAnnotations.upgraded=twice');
    expect(await k('get', 'crd', 'promotions.windlass.dev', '-o', 'jsonpath={.spec.names.shortNames}')).toBe(
      '["wpro"]',
    );
  });

  test('needs no right that it was not given', async () => {
    expect(await said()).not.toMatch(/forbidden|"status":403/i);
    expect(await refusals(account)).toEqual([]);
  });

  test('leaves CRDs and objects when it is uninstalled, and goes on from there', async () => {
    const { code, stderr } = await helm(['uninstall', 'windlass', '-n', 'windlass', '--wait'], here.kubeConfigFile);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(await k('get', 'wrun/first', '-n', 'dev', '-o', 'jsonpath={.status.phase}')).toBe('Succeeded');
    // Those that end have lost their rights already; what they could not write, the next one does.
    await k('wait', 'pod', '-n', 'windlass', '-l', controllers, '--for=delete', '--timeout=60s');
    reinstalled = Date.now();
    await release('install', 'namespaces={team,dev,prod}', 'replicas=1', 'runs.history=1');
    expect(await run('again')).toMatchObject({ phase: 'Succeeded' });
    await k('wait', 'wrun/first', '-n', 'dev', '--for=delete', '--timeout=60s');
  });

  test('needs no right beyond the namespaces that it is installed for', async () => {
    expect(await said()).not.toMatch(/forbidden|"status":403/i);
    expect(await refusals(account, reinstalled)).toEqual([]);
    const may = (...args: string[]) => kubectl(here, ['auth', 'can-i', ...args, '--as', account]);
    expect((await may('create', 'pods', '-n', 'dev')).stdout.trim()).toBe('yes');
    expect((await may('create', 'pods', '-n', 'default')).stdout.trim()).toBe('no');
    expect((await may('list', 'workflows.windlass.dev', '--all-namespaces')).stdout.trim()).toBe('no');
  });
});

/** What the API server has refused to a user since then, by its audit log; CLUSTER_AUDIT_LOG names it where there is one. */
async function refusals(user: string, since = 0): Promise<string[]> {
  const file = process.env['CLUSTER_AUDIT_LOG'] ?? join(clusterFolder ?? '', 'logs/audit.log');
  if (!existsSync(file)) {
    process.stderr.write('test:cluster: no audit log (CLUSTER_AUDIT_LOG): refusals are only looked for in the log\n');
    return [];
  }
  const lines = (await readFile(file, 'utf8')).trim().split('\n');
  const events = lines.map((line) => JSON.parse(line) as AuditEvent);
  const own = events.filter(
    ({ user: { username }, requestReceivedTimestamp }) =>
      username === user && Date.parse(requestReceivedTimestamp) >= since,
  );
  expect(own.length).toBeGreaterThan(10);
  return own.filter((e) => e.responseStatus?.code === 403).map((e) => `${e.verb} ${e.requestURI}`);
}

interface AuditEvent {
  verb: string;
  requestReceivedTimestamp: string;
  requestURI: string;
  user: { username: string };
  responseStatus?: { code: number };
}
