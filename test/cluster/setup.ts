import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The programs of a test cluster, built from Go modules beside this repository. */
const build = resolve(import.meta.dirname, '../../../shared/cluster/build');

/**
 * Says once what the suites will run on: an API server started from KUBEBUILDER_ASSETS, as envtest does, or from programs
 * built by ../shared/cluster, and the cluster of KUBECONFIG for those that can share one. The workers inherit the
 * variables.
 */
export function setup(): void {
  const asked = process.env['KUBEBUILDER_ASSETS'];
  if (asked === undefined && existsSync(build)) {
    const folder = execFileSync(build, ['etcd', 'kube-apiserver', 'kubectl'], { encoding: 'utf8' });
    process.env['KUBEBUILDER_ASSETS'] = folder.trim();
  }
  const assets = process.env['KUBEBUILDER_ASSETS'];
  const found = assets !== undefined && existsSync(join(assets, 'kube-apiserver'));
  const cluster = process.env['KUBECONFIG'];
  if (cluster) say(`cluster of KUBECONFIG=${cluster}`);
  if (found) say(`API servers from ${assets}`);
  else say('no etcd, kube-apiserver and kubectl in KUBEBUILDER_ASSETS: what needs an API server of its own is skipped');
  if (!cluster) say('no KUBECONFIG: what needs nodes (a kubelet, or kwok) is skipped');
  if (!found && !cluster) say('so is everything');
}

function say(line: string): void {
  process.stderr.write(`test:cluster: ${line}\n`);
}
