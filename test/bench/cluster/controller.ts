import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../fixtures/kubernetes.ts';
import type { BenchCluster } from './clusters.ts';

/** `windlass controller` in a process of its own, as people run it beside a cluster. */
export interface MeasuredController {
  /** Seconds from its start to the first ready answer. */
  readySeconds: number;
  /** Resident memory in MB: now, and the most it ever was. */
  memory(): Promise<{ now: number; peak: number }>;
  stop(): Promise<void>;
}

const launcher = join(import.meta.dirname, '../../../cli/windlass.js');
const readyMs = 60_000;

export async function startController(
  cluster: BenchCluster,
  databaseUrl: string,
  flags: string[] = [],
): Promise<MeasuredController> {
  const data = await mkdtemp(join(tmpdir(), 'windlass-bench-'));
  const port = await freePort();
  const argv = ['controller', '--host=127.0.0.1', `--port=${port}`, `--data=${data}`, '--log-level=warn', ...flags];
  const begun = performance.now();
  const child = spawn(process.execPath, [launcher, ...argv], {
    env: {
      PATH: process.env['PATH'],
      HOME: data,
      KUBECONFIG: cluster.kubeConfigFile,
      DATABASE_URL: databaseUrl,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGTERM');
    await exited;
    await rm(data, { recursive: true, force: true });
  };
  for (;;) {
    if (child.exitCode !== null) throw new Error(`windlass controller ended with ${child.exitCode}`);
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) break;
    if (performance.now() - begun > readyMs) {
      await stop();
      throw new Error(`windlass controller was not ready after ${readyMs / 1000} s`);
    }
    await pause(10); // There is no event to wait for: kubelets ask, too.
  }
  return {
    readySeconds: (performance.now() - begun) / 1000,
    async memory() {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
      const megabytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
      return { now: megabytes('VmRSS'), peak: megabytes('VmHWM') };
    },
    stop,
  };
}
