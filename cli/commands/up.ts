import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { createClient } from '../../api/client.ts';
import { type LogLevel, logLevels, readConfig } from '../../controller/config.ts';
import { type Laptop, laptopSource, startLaptop } from '../../controller/start-laptop.ts';
import { dataFolder } from '../connection.ts';
import { CliError, exitCodes, usageError } from '../exit.ts';
import type { Cli } from '../io.ts';
import { announce, followProgress } from '../announce.ts';
import { createLog } from '../log.ts';
import { lastEventId } from '../resources/events.ts';
import { version } from '../version.ts';

interface UpOptions {
  repo?: string;
  branch?: string;
  path?: string;
  port: number;
  host: string;
  data: string;
  logLevel?: LogLevel;
}

/** How long Ctrl-C waits for what runs. */
const graceMs = 10_000;

export function upCommand(cli: Cli): Command {
  return new Command('up')
    .summary('serve a git repository until Ctrl-C')
    .description(
      'Serves the workflows of a git repository: promotes what is merged and tagged, runs it, and answers on HTTP, until Ctrl-C. ' +
        'Started again on the same data it goes on where it stopped. History is kept in the data directory, or in the Postgres of $DATABASE_URL.',
    )
    .option(
      '--repo <path-or-url>',
      'the repository; default: the one served from this data before, else the one around the working directory',
    )
    .option('--branch <name>', "the branch that merges go to; default: as before, else the repository's HEAD")
    .option('--path <folder>', 'folder of the workflows in the repository (default: as before, else "workflows")')
    .addOption(new Option('--port <number>', 'port to listen on; 0 takes a free one').default(8080).argParser(readPort))
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--data <folder>', 'the data directory', dataFolder)
    .addOption(
      new Option(
        '--log-level <level>',
        'what to log on stderr (default: $WINDLASS_LOG_LEVEL, else warn on a terminal and info elsewhere)',
      ).choices(logLevels),
    )
    .action((options: UpOptions) => up(cli, options));
}

function readPort(text: string): number {
  const port = Number(text);
  if (text === '' || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new InvalidArgumentError('It must be a number from 0 to 65535.');
  }
  return port;
}

async function up(cli: Cli, options: UpOptions): Promise<void> {
  const { io } = cli;
  const { config, problems } = readConfig(io.env);
  if (problems.length > 0) throw usageError(problems.join('; '));
  const stop = catchInterrupts(cli);
  try {
    const level = options.logLevel ?? config.logLevel ?? (io.stderr.isTTY ? 'warn' : 'info');
    const laptop = await startLaptop({
      repo: options.repo ?? null,
      branch: options.branch ?? null,
      path: options.path ?? null,
      cwd: io.cwd,
      dataDir: resolve(io.cwd, options.data),
      databaseUrl: config.databaseUrl,
      listen: { host: options.host, port: options.port },
      env: io.env,
      clock: io.clock,
      log: createLog(io.stderr, level),
      version,
    }).catch((cause: unknown) => {
      throw new CliError((cause as Error).message, exitCodes.failed, { cause });
    });
    await serve(cli, laptop, stop);
  } finally {
    stop.release();
  }
}

interface Interrupts {
  /** Aborts at the first Ctrl-C. */
  first: AbortSignal;
  second: Promise<void>;
  release(): void;
}

/** Nobody reading stdout does not end a server; only a signal does. */
function catchInterrupts({ io }: Cli): Interrupts {
  const first = new AbortController();
  const { promise: second, resolve: end } = Promise.withResolvers<void>();
  const release = io.onInterrupt(() => (first.signal.aborted ? end() : first.abort()));
  return { first: first.signal, second, release };
}

async function serve(cli: Cli, { controller, source, warning }: Laptop, stop: Interrupts): Promise<void> {
  const { io } = cli;
  const client = createClient({ server: controller.url, token: controller.token });
  if (warning !== null) io.stderr.write(`windlass: ${warning}\n`);
  io.stdout.write(`windlass ${version} serves ${source.url}, branch ${source.branch}, at ${controller.url}\n`);
  await Promise.race([watch(), aborted(stop.first)]);
  await aborted(stop.first);
  io.stdout.write(`\nstopping: nothing new begins; ${graceMs / 1000} s for what runs. Ctrl-C again ends at once.\n`);
  const ended = await Promise.race([controller.stop(graceMs).then(() => true), stop.second.then(() => false)]);
  cli.exitCode = ended ? exitCodes.ok : exitCodes.interrupted;
  io.stdout.write(ended ? 'stopped; what still runs is adopted by the next `windlass up`\n' : 'ended\n');

  async function watch(): Promise<void> {
    try {
      const after = await lastEventId(client);
      await announce(io, client, { ...source, source: laptopSource }, stop.first);
      io.stdout.write(
        `\nAPI ${controller.url}/api/v1, its documentation ${controller.url}/docs. Ctrl-C stops; the next start goes on from there.\n\n`,
      );
      await followProgress(io, client, after, stop.first);
    } catch (error) {
      // The controller goes on; only these lines end.
      if (!stop.first.aborted) io.stderr.write(`windlass: progress is no longer shown: ${(error as Error).message}\n`);
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
