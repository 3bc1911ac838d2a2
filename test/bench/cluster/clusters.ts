import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { KubeConfig } from '@kubernetes/client-node';
import { kinds } from '../../../crds/kinds.ts';
import { crdManifest } from '../../../crds/manifest.ts';
import { KubernetesClient } from '../../../controller/kubernetes/client.ts';
import { install } from '../../fixtures/kubectl.ts';
import type { Cluster } from '../../fixtures/kubernetes.ts';
import { nodesOf } from '../../fixtures/pod-world.ts';

const run = promisify(execFile);

/** What a bench needs: real Pods, Pods that pretend to run, or an API server alone. */
export type ClusterMode = 'pods' | 'kwok' | 'api';

export interface BenchCluster extends Cluster {
  client: KubernetesClient;
  /** Lines of the API server's audit log, a JSON each; null where there is none. */
  auditLog: string | null;
  /** A new namespace. */
  namespace(name: string): Promise<string>;
}

/** Bodies of what the kubelet says of its Pods, as the end of a Pod is in them; of all else who asked for what, and when. */
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Request, verbs: [patch], resources: [{group: "", resources: [pods/status]}]}
- {level: Metadata}
`;

/** The scripts of a cluster for tests: $CLUSTER_SCRIPTS, else beside this repository; null when they are not there. */
const scripts = resolve(process.env['CLUSTER_SCRIPTS'] ?? join(import.meta.dirname, '../../../../shared/cluster'));

/**
 * A cluster of its own by the scripts, else that of KUBECONFIG if it is of the mode; with our CRDs.
 * @returns why there is none, when there is none
 */
export async function openCluster(mode: ClusterMode): Promise<BenchCluster | string> {
  if (existsSync(join(scripts, 'up'))) return bringUp(mode);
  const kubeConfigFile = process.env['KUBECONFIG'];
  if (!kubeConfigFile) return `no scripts in ${scripts} (set CLUSTER_SCRIPTS) that start a cluster, and no KUBECONFIG`;
  const auditLog = process.env['CLUSTER_AUDIT_LOG'] ?? null;
  const cluster = await prepare(kubeConfigFile, process.env['KUBEBUILDER_ASSETS'] ?? null, auditLog, async () => {});
  const nodes = await nodesOf(cluster);
  const wanted = { pods: 'kubelet', kwok: 'kwok', api: nodes }[mode];
  if (nodes === wanted) return cluster;
  return `the cluster of KUBECONFIG has ${nodes === null ? 'no nodes' : `nodes of ${nodes}`}, and this needs ${wanted}`;
}

async function bringUp(mode: ClusterMode): Promise<BenchCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'windlass-bench-'));
  const policy = join(folder, 'audit.yaml');
  const auditLog = join(folder, 'audit.log');
  await writeFile(policy, auditPolicy);
  const audit = `--audit-policy-file=${policy} --audit-log-path=${auditLog}`;
  // Beside one that may be running.
  const { CLUSTER_DIR: _, ...others } = process.env;
  const env = { ...others, CLUSTER_APISERVER_ARGS: mode === 'pods' ? audit : '' };
  const up = () => run(join(scripts, 'up'), [`--${mode}`], { env });
  // The first start on a machine may fail for want of time: it builds what is missing.
  const { stdout } = await up().catch(up);
  const said = (name: string) => new RegExp(`${name}=(\\S+)`).exec(stdout)?.[1] ?? '';
  const down = async () => {
    await run(join(scripts, 'down'), [], { env: { ...process.env, CLUSTER_DIR: said('CLUSTER_DIR') } });
    await rm(folder, { recursive: true, force: true });
  };
  try {
    return await prepare(said('KUBECONFIG'), said('KUBEBUILDER_ASSETS'), mode === 'pods' ? auditLog : null, down);
  } catch (error) {
    await down();
    throw error;
  }
}

async function prepare(
  kubeConfigFile: string,
  assets: string | null,
  auditLog: string | null,
  stop: () => Promise<void>,
): Promise<BenchCluster> {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(kubeConfigFile);
  const client = new KubernetesClient(kubeConfig, 'windlass-bench');
  const cluster: BenchCluster = {
    kubeConfig,
    kubeConfigFile,
    assets,
    auditLog,
    client,
    login: () => kubeConfig,
    async namespace(name) {
      const unique = `${name}-${Date.now().toString(36)}`;
      await client.request('POST', '/api/v1/namespaces', {
        body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: unique } },
      });
      return unique;
    },
    async stop() {
      client.close();
      await stop();
    },
  };
  await install(cluster, Object.values(kinds).map(crdManifest));
  return cluster;
}
