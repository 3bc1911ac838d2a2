import type { JsonObject } from '../../../crds/json.ts';
import { buildPodSettings } from '../../../controller/core/plan/pod.ts';
import { podManifest } from '../../../controller/executors/pod/manifest.ts';
import type { BenchCluster } from './clusters.ts';
import { type End, endOfPod, endOfRun, type Followed, follow, type Subject } from './follow.ts';

const image = 'busybox:1';
const apiVersion = 'windlass.dev/v1alpha1';
/** Longer than any round takes that is worth a figure. */
const roundMs = 120_000;

/** Seconds that a round took, and how many of it failed. */
export interface Round {
  seconds: number;
  failed: number;
}

/** Both sides of a comparison in one cluster: runs of a workflow, and bare Pods by a client that watches. */
export interface Work {
  /** Applies a workflow of so many trivial steps, each after the other. */
  apply(namespace: string, steps: number): Promise<void>;
  /** Creates runs of it and waits for the end of all. */
  runs(namespace: string, count: number): Promise<Round>;
  /** Bare Pods, each created when the one before has succeeded. */
  bareChain(namespace: string, count: number): Promise<Round>;
  /** Bare Pods, created at once. */
  bareAtOnce(namespace: string, count: number): Promise<Round>;
  /** Resolves when so many Pods have ended by their phase. */
  podsEnded(namespace: string, count: number): Promise<void>;
  /** Resolves when the namespace has no Pod any more: when they were removed (`false`: runs and all, now; `true`: by the controller). */
  podsGone(namespace: string, byController: boolean): Promise<void>;
}

export function workIn({ client }: BenchCluster): Work {
  const pods = (namespace: string) => `/api/v1/namespaces/${namespace}/pods`;
  const runs = (namespace: string) => `/apis/${apiVersion}/namespaces/${namespace}/workflowruns`;

  async function timed(
    path: string,
    endOf: (object: Subject) => End | null,
    count: number,
    begin: (followed: Followed) => Promise<unknown>,
  ): Promise<Round> {
    const followed = await follow(client, path, endOf);
    try {
      const begun = performance.now();
      await begin(followed);
      await followed.until(() => followed.ended.size >= count, `${count} at ${path}`, roundMs);
      const seconds = (performance.now() - begun) / 1000;
      return { seconds, failed: [...followed.ended.values()].filter((end) => end === 'Failed').length };
    } finally {
      followed.stop();
    }
  }

  const atOnce = (path: string, count: number, body: (i: number) => object) =>
    Promise.all(Array.from({ length: count }, (_, i) => client.request('POST', path, { body: body(i) })));

  return {
    async apply(namespace, steps) {
      const body = {
        apiVersion,
        kind: 'Workflow',
        metadata: { name: 'trivial' },
        spec: {
          steps: Array.from({ length: steps }, (_, i) => ({
            name: `s${i}`,
            run: 'true',
            image,
            ...(i > 0 ? { needs: [`s${i - 1}`] } : {}),
          })),
        },
      };
      await client.request('POST', `/apis/${apiVersion}/namespaces/${namespace}/workflows`, { body });
    },
    runs(namespace, count) {
      const body = (i: number) => ({
        apiVersion,
        kind: 'WorkflowRun',
        metadata: { name: `run-${i}` },
        spec: { workflow: 'trivial' },
      });
      return timed(runs(namespace), endOfRun, count, () => atOnce(runs(namespace), count, body));
    },
    bareChain(namespace, count) {
      return timed(pods(namespace), endOfPod, count, async (followed) => {
        for (let i = 0; i < count; i++) {
          await client.request('POST', pods(namespace), { body: barePod(i) });
          await followed.until(() => followed.ended.has(`bare-${i}`), `bare-${i}`, roundMs);
        }
      });
    },
    bareAtOnce(namespace, count) {
      return timed(pods(namespace), endOfPod, count, () => atOnce(pods(namespace), count, barePod));
    },
    async podsEnded(namespace, count) {
      await timed(pods(namespace), endOfPod, count, async () => {});
    },
    async podsGone(namespace, byController) {
      if (!byController) {
        // Runs first, or the controller would remove what is too many of them during the next round.
        await client.request('DELETE', runs(namespace));
        await client.request('DELETE', pods(namespace), { body: { gracePeriodSeconds: 0 } });
      }
      const followed = await follow(client, pods(namespace), endOfPod);
      try {
        await followed.until(() => followed.there.size === 0, `the Pods of ${namespace} gone`, roundMs);
      } finally {
        followed.stop();
      }
    },
  };
}

/** The Pod of a trivial step, without what makes it a step: same image, resources and security. */
function barePod(i: number): object {
  const { spec } = podManifest(
    {
      type: 'Start',
      key: { runId: 'bare', step: 's0', item: -1, attempt: 1 },
      body: step,
      namespace: 'bare',
      runName: 'bare',
      owner: { uid: 'bare', name: 'bare' },
      artifacts: { out: {}, in: {} },
      effect: 'main/0/1',
      workflow: 'bare',
      digest: '',
      startedAt: 0,
    },
    step,
    { image, files: null },
  ) as { spec: JsonObject & { containers: JsonObject[] } };
  const { volumes: _, containers, ...rest } = spec;
  const [{ env: _env, volumeMounts: _mounts, workingDir: _dir, ...container } = {}] = containers;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `bare-${i}` },
    spec: { ...rest, containers: [{ ...container, command: ['sh', '-ec', 'true'] }] },
  };
}

const step = {
  kind: 'run' as const,
  script: 'true',
  shell: ['sh', '-ec'],
  env: {},
  secrets: {},
  pod: buildPodSettings({ name: 's0', image }, undefined),
};
