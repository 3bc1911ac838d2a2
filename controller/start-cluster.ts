import { Hono } from 'hono';
import { listen } from '../api/listen.ts';
import type { Home } from './home.ts';
import { type ClusterHomeOptions, openClusterHome } from './home-cluster.ts';
import { KubernetesClient } from './kubernetes/client.ts';
import { createOwnPodEvents } from './own-pod.ts';
import { rootCause } from './root-cause.ts';
import { backoffMs } from './runtime/loop.ts';
import { pause } from './seams/clock.ts';
import { type ControllerOptions, type RunningController, startController } from './start.ts';

export type ClusterOptions = ControllerOptions & ClusterHomeOptions;

const longestPauseMs = 5_000;

/**
 * Starts a controller in a cluster. Database and API server are waited for however long they are away: meanwhile
 * /healthz is well and /readyz says what is missing, so that nobody restarts what only has to wait. Null when `stopped`
 * comes first.
 * @throws AddressUnavailable when the port cannot be had
 */
export async function startCluster(options: ClusterOptions, stopped: AbortSignal): Promise<RunningController | null> {
  const home = await waitForHome(options, stopped);
  if (!home) return null;
  if (!stopped.aborted) return await startController(home, options);
  await home.close();
  return null;
}

async function waitForHome(options: ClusterOptions, stopped: AbortSignal): Promise<Home | null> {
  const { clock, log } = options;
  let reason = 'the controller is starting';
  const client = new KubernetesClient(options.kubeConfig);
  const events = createOwnPodEvents({ client, clock, pod: options.pod });
  const server = await listen(
    new Hono()
      .get('/healthz', (c) => c.json({ ok: true }))
      .get('/readyz', (c) => c.json({ ok: false, reasons: [reason] }, 503)),
    options.listen,
  );
  try {
    for (let failures = 1; !stopped.aborted; failures++) {
      try {
        return await openClusterHome(options);
      } catch (error) {
        const why = explain(error);
        if (why !== reason) log.warn({ err: error }, `${why}; it is waited for`);
        reason = why;
        events.report({ NotReady: [why] });
      }
      await pause(clock, Math.min(longestPauseMs, backoffMs(failures, Math.random())), stopped);
    }
    return null;
  } finally {
    client.close();
    await server.close();
  }
}

/** What is missing, by its own words. */
function explain(error: unknown): string {
  const top = error instanceof Error ? error.message : String(error);
  if (top.includes('Kubernetes API') || top.startsWith('GET /')) return top;
  return `the database of DATABASE_URL cannot be used: ${rootCause(error)}; start it, or correct the URL`;
}
