import { type Figure, median } from '../figures.ts';
import type { BenchCluster } from './clusters.ts';
import { startController } from './controller.ts';
import { endOfRun, follow } from './follow.ts';

const rounds = 5;
const workflows = 50;
/** What a controller keeps of each workflow when nothing else is said. */
const runsEach = 100;
const path = '/apis/windlass.dev/v1alpha1/namespaces';
/** A controller that has just begun looks at what there is; what it needs for that counts. */
const settleMs = 3000;

/** What a controller needs, and how long until it serves, with so many finished runs there. */
export async function finishedRuns(cluster: BenchCluster, databaseUrl: string): Promise<Figure[]> {
  const namespace = await cluster.namespace('finished');
  await fill(cluster, databaseUrl, namespace);
  const peaks: number[] = [];
  const seconds: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const controller = await startController(cluster, databaseUrl);
    try {
      seconds.push(controller.readySeconds);
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      const { now, peak } = await controller.memory();
      process.stderr.write(
        `  ready after ${controller.readySeconds.toFixed(2)} s, ${now.toFixed(0)} MB, at most ${peak.toFixed(0)} MB\n`,
      );
      peaks.push(peak);
    } finally {
      await controller.stop();
    }
  }
  return [
    {
      name: `${workflows * runsEach} finished runs: memory at most`,
      values: { p50: median(peaks), max: Math.max(...peaks) },
      unit: 'MB',
      bar: '≤450 MB',
      met: median(peaks) <= 450,
    },
    {
      name: `${workflows * runsEach} finished runs: start to ready`,
      values: { p50: median(seconds), max: Math.max(...seconds) },
      unit: 's',
      bar: '≤5 s',
      met: median(seconds) <= 5,
    },
  ];
}

/** Runs that have really run, so that history knows each. */
async function fill(cluster: BenchCluster, databaseUrl: string, namespace: string): Promise<void> {
  const { client } = cluster;
  const apiVersion = 'windlass.dev/v1alpha1';
  const controller = await startController(cluster, databaseUrl);
  const runs = await follow(client, `${path}/${namespace}/workflowruns`, endOfRun);
  try {
    for (let w = 0; w < workflows; w++) {
      const name = `workflow-${w}`;
      const steps = Array.from({ length: 3 }, (_, i) => ({ name: `s${i}`, template: { text: 'x' } }));
      await client.request('POST', `${path}/${namespace}/workflows`, {
        body: { apiVersion, kind: 'Workflow', metadata: { name }, spec: { steps } },
      });
      await Promise.all(
        Array.from({ length: runsEach }, (_, i) =>
          client.request('POST', `${path}/${namespace}/workflowruns`, {
            body: {
              apiVersion,
              kind: 'WorkflowRun',
              metadata: { name: `${name}-${i}`, labels: { team: 'reports' } },
              spec: { workflow: name },
            },
          }),
        ),
      );
    }
    await runs.until(() => runs.ended.size === workflows * runsEach, 'the runs to be finished', 240_000);
  } finally {
    runs.stop();
    await controller.stop();
  }
}
