import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { kinds } from '../../../crds/kinds.ts';
import { crdManifest } from '../../../crds/manifest.ts';
import type { StepSpec, WorkflowSpec } from '../../../crds/workflow.ts';
import { settleMs } from '../../../controller/core/approval-trust.ts';
import { approvalsBinding, approvalsPolicy } from '../../../controller/kubernetes/approvals-policy.ts';
import { attemptHash, labels } from '../../../controller/executors/pod/names.ts';
import { install, kubectl, kubectlOrThrow } from '../../fixtures/kubectl.ts';
import { findCluster } from '../../fixtures/kubernetes.ts';
import type { FaultHome, FaultHomeOptions } from './home.ts';
import type { Scenario } from './scenarios.ts';

/**
 * Attempts are Pods on nodes that only pretend, and the side effect is that there is a Pod: a watch sees each of them.
 * The cluster is that of KUBECONFIG, with its administrator's token in `admin.token` beside that file; null without one.
 */
export async function openPodHome({ directory, databaseUrl, namespace }: FaultHomeOptions): Promise<FaultHome | null> {
  const cluster = process.env['KUBECONFIG'] ? await findCluster() : null;
  if (!cluster) return null;
  await install(cluster, [
    ...Object.values(kinds).map(crdManifest),
    approvalsPolicy,
    approvalsBinding,
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
  ]);
  // Approvals of what is made before the policy is enforced everywhere are doubted.
  await sleep(settleMs);
  const rooms = join(directory, 'rooms');
  await mkdir(rooms);
  const label = labels.attempt.replaceAll('.', '\\.');
  const seen = new Map<string, string>();
  const program = cluster.assets === null ? 'kubectl' : join(cluster.assets, 'kubectl');
  const form = `-o=jsonpath={.metadata.uid} {.metadata.labels.${label}}{"\\n"}`;
  const args = ['--kubeconfig', cluster.kubeConfigFile, 'get', 'pods', '-n', namespace, '--watch', form];
  let closed = false;
  let watch = look();

  /** A watch ends now and then; Pods outlast the pause, and what is there is listed first. */
  function look(): ChildProcess {
    const one = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface({ input: one.stdout }).on('line', (line) => {
      const [uid = '', attempt = ''] = line.split(' ');
      if (attempt !== '') seen.set(uid, attempt);
    });
    one.once('exit', () => {
      if (!closed) watch = look();
    });
    return one;
  }

  const script = fileURLToPath(new URL('./pod-controller.ts', import.meta.url));
  const token = join(dirname(cluster.kubeConfigFile), 'admin.token');
  return {
    command: { args: [script, directory, databaseUrl, namespace, token], env: process.env },
    scenarios: podScenarios(),
    lockers: ['lock'],
    rooms,
    effectOf: ({ runId, step, item, number }) => attemptHash({ runId, step, item, attempt: number }),
    effects: async () => [...seen.values()],
    // A Pod is there before its node has begun anything.
    outlives: false,
    // Pods that have ended are kept for a while; what runs must not be there.
    async living() {
      const running = ['get', 'pods', '-n', namespace, '--field-selector=status.phase!=Succeeded,status.phase!=Failed'];
      return (await kubectlOrThrow(cluster, [...running, '-o=name'])).split('\n').filter((line) => line !== '');
    },
    async close() {
      closed = true;
      watch.kill();
      await kubectl(cluster, ['delete', 'namespace', namespace, '--wait=false']);
    },
  };
}

/** Fake nodes end Pods as their annotations say; compensations have the Pod settings of their steps. */
function podScenarios(): Record<string, Scenario> {
  const pod = (name: string, duration: string, more: Partial<StepSpec> = {}, exitCode = 0) => ({
    name,
    run: 'true',
    podTemplate: {
      metadata: {
        annotations: { 'fake.cluster/duration': duration, 'fake.cluster/exit-code': String(exitCode) },
      },
    },
    ...more,
  });
  const workflow = (steps: WorkflowSpec['steps'], more: Partial<WorkflowSpec> = {}): WorkflowSpec => ({
    inputs: { n: { type: 'integer' }, lane: { type: 'integer' }, until: { type: 'string' } },
    steps,
    ...more,
  });
  const hold = (need: string) => ({ name: 'hold', needs: [need], wait: { until: '${{ inputs.until }}' } });
  return {
    one: { weight: 2, phases: ['Succeeded'], spec: workflow([pod('first', '5s')]) },
    three: {
      weight: 4,
      phases: ['Succeeded'],
      spec: workflow([
        pod('first', '1s'),
        hold('first'),
        pod('second', '10s', { needs: ['hold'] }),
        pod('third', '0s', { needs: ['second'] }),
      ]),
    },
    fan: {
      weight: 1,
      phases: ['Succeeded'],
      spec: workflow([hold('first'), pod('first', '2s', { forEach: { range: { to: 3 } } })]),
    },
    saga: {
      weight: 2,
      phases: ['Failed'],
      steps: { book: ['Compensated'], ship: ['Failed'] },
      spec: workflow(
        [
          pod('book', '2s', { compensate: { run: 'true' } }),
          hold('book'),
          pod('ship', '1s', { needs: ['hold'], retry: { limit: 1, backoff: { initial: '300ms' } } }, 3),
        ],
        { finally: [pod('tell', '0s')] },
      ),
    },
    lock: {
      weight: 1,
      phases: ['Succeeded'],
      spec: workflow([pod('alone', '1s', { locks: [{ name: 'lane-${{ inputs.lane }}' }] })]),
    },
    cancel: {
      weight: 1,
      intent: 'cancel',
      phases: ['Cancelled'],
      steps: { first: ['Cancelled', 'Pending'] },
      spec: workflow([pod('first', '900s')], { finally: [pod('tell', '0s')] }),
    },
  };
}
