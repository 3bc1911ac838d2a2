import { spawn } from 'node:child_process';
import { watch } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../../controller/runtime/clock.ts';
import { project } from '../../controller/home-laptop.ts';
import { openLaptop } from '../../controller/start-laptop.ts';
import { createRepository } from '../fixtures/repository.ts';
import { type Figure, median, quantile } from './figures.ts';

const workflow = (text: string) =>
  `apiVersion: windlass.dev/v1alpha1\nkind: Workflow\nmetadata: { name: hello }\nspec:\n  steps:\n    - name: say\n      run: echo ${text}\n`;

/** From the start of `windlass up` on data that is there to the first ready answer. */
export async function upToReady(): Promise<Figure> {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-bench-'));
  try {
    const repository = await createRepository(join(directory, 'repository'));
    await repository.commit({ 'workflows/hello.yaml': workflow('hello') }, 'a workflow');
    const samples: number[] = [];
    // The first start makes the data and is not counted.
    for (let i = 0; i < 6; i++) samples.push(await startOnce(join(directory, 'data'), repository.url));
    const values = {
      p50: median(samples.slice(1)),
      max: Math.max(...samples.slice(1)),
      first: samples[0] ?? Number.NaN,
    };
    return { name: '`windlass up` to ready on existing data', values, unit: 's', bar: '2 s', met: values.p50 <= 2 };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function startOnce(data: string, url: string): Promise<number> {
  await mkdir(data, { recursive: true });
  const launcher = join(import.meta.dirname, '../../cli/windlass.js');
  const begun = performance.now();
  const child = spawn(process.execPath, [launcher, 'up', '--repo', url, '--data', data, '--port', '0'], {
    stdio: 'ignore',
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  try {
    const address = await announced(data, exited);
    const answer = await fetch(new URL('/readyz', address));
    if (!answer.ok) throw new Error(`/readyz answered ${answer.status}`);
    return (performance.now() - begun) / 1000;
  } finally {
    child.kill('SIGINT');
    await exited;
  }
}

/** The address a controller writes into its data directory once it serves. */
async function announced(data: string, exited: Promise<void>): Promise<string> {
  const watcher = watch(data);
  try {
    const changed = () => new Promise<void>((resolve) => watcher.once('change', () => resolve()));
    for (;;) {
      const next = changed();
      const text = await readFile(join(data, 'address'), 'utf8').catch(() => '');
      if (text.endsWith('\n')) return text.trim();
      const ended = await Promise.race([next.then(() => false), exited.then(() => true)]);
      if (ended) throw new Error('windlass up ended before it served');
    }
  } finally {
    watcher.close();
  }
}

/** From the end of a push to a local repository to the new version being active in dev. */
export async function pushToActive(): Promise<Figure> {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-bench-'));
  const repository = await createRepository(join(directory, 'repository'));
  await repository.commit({ 'workflows/hello.yaml': workflow('hello') }, 'a workflow');
  const { controller } = await openLaptop({
    dataDir: join(directory, 'data'),
    databaseUrl: null,
    listen: { host: '127.0.0.1', port: 0 },
    env: process.env,
    clock: systemClock,
    log: pino({ level: 'error' }, pino.destination(2)),
    version: 'bench',
  });
  const { store } = controller;
  try {
    await store.objects.apply({
      kind: 'WorkflowSource',
      metadata: { name: 'repo', namespace: project },
      spec: { url: repository.url, branch: 'main' },
    });
    const active = async (commit: string) => {
      for (;;) {
        const appended = new Promise<void>((resolve) => {
          const stop = store.events.onAppend(() => {
            stop();
            resolve();
          });
        });
        const versions = await store.promotions.active(project, 'dev');
        if (versions.some((version) => version.commit === commit)) return;
        await appended;
      }
    };
    const samples: number[] = [];
    for (let i = 0; i < 12; i++) {
      const commit = await repository.commit({ 'workflows/hello.yaml': workflow(`hello ${i}`) }, `change ${i}`);
      const begun = performance.now();
      await active(commit);
      samples.push((performance.now() - begun) / 1000);
    }
    const values = { p50: median(samples.slice(1)), p99: quantile(samples.slice(1), 0.99) };
    return { name: 'push to active in dev, local repository', values, unit: 's', bar: '1 s', met: values.p50 <= 1 };
  } finally {
    await controller.stop(1000);
    await rm(directory, { recursive: true, force: true });
  }
}
