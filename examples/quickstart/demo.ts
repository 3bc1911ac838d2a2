import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { Listr, type ListrTask } from 'listr2';
import { createClaims, NotTrue } from './demo/claims.ts';
import { startDemoController } from './demo/controller.ts';
import { createObserver } from './demo/observer.ts';
import { farewell, report, seconds } from './demo/report.ts';
import { createTeamRepository } from './demo/repository.ts';
import { chapters, type World } from './demo/story.ts';

/** The main job by itself, as `npm run demo`. Exit code 0 only when everything it says was true. */
const limitMs = 120_000;

const began = performance.now();
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interrupted.abort(new Error(`ended by ${signal}`)));
}
const over = AbortSignal.any([interrupted.signal, AbortSignal.timeout(limitMs)]);
const directory = await mkdtemp(join(tmpdir(), 'windlass-demo-'));
const paths = {
  repository: join(directory, 'repository'),
  data: join(directory, '.windlass'),
  log: join(directory, 'controller.log'),
};

const opening: ListrTask<World> = {
  title: 'Start the controller on a new repository',
  async task(world, task) {
    world.team = await createTeamRepository(fileURLToPath(new URL('.', import.meta.url)), paths.repository);
    world.controller = await startDemoController({ ...paths, signal: over });
    const { client, url } = world.controller;
    world.claims = createClaims(client, over);
    world.observer = createObserver(client, world.claims);
    await world.claims.becomes('the controller is ready', client.readiness, ({ ok }) => ok);
    await world.claims.becomes('there are 3 environments', client.environments, ({ items }) => items.length === 3);
    task.output = `API at ${url}, ready after ${seconds(performance.now() - began)}`;
  },
};
const acts = chapters.map(
  ({ title, act }): ListrTask<World> => ({
    title,
    task: (world, task) =>
      act(world, (line) => {
        task.output = line;
      }),
  }),
);
const lines = { outputBar: Number.POSITIVE_INFINITY, persistentOutput: true };
const list = new Listr<World>(
  [opening, ...acts].map((task) => ({ ...task, rendererOptions: lines })),
  { registerSignalListeners: false, rendererOptions: { formatOutput: 'wrap' } },
);

// The opening fills it.
const world = {} as World;
try {
  await list.run(world);
  const told = await report(world.controller.client);
  process.stdout.write(`${told}\n${farewell({ ...paths, tookMs: performance.now() - began })}\n`);
} catch (error) {
  process.exitCode = interrupted.signal.aborted ? 130 : 1;
  const why = interrupted.signal.aborted ? interrupted.signal.reason.message : await explain(error);
  process.stderr.write(`\n${why}\n`);
} finally {
  await (world as Partial<World>).controller?.stop();
  if (interrupted.signal.aborted) await rm(directory, { recursive: true, force: true });
}
process.exit();

async function explain(error: unknown): Promise<string> {
  const log = await readFile(paths.log, 'utf8').catch(() => '');
  return [
    error instanceof NotTrue
      ? `${error.message}; seen instead:\n${JSON.stringify(error.seen, null, 2)}`
      : inspect(error),
    `\nThe end of ${paths.log}:`,
    ...log.trimEnd().split('\n').slice(-10),
  ].join('\n');
}
