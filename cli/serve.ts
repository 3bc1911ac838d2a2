import { join, resolve } from 'node:path';
import { createClient } from '../api/client.ts';
import { readConfig } from '../controller/config.ts';
import { type Laptop, laptopSource, startLaptop } from '../controller/start-laptop.ts';
import { readArtifactOptions } from './artifact-options.ts';
import { announce, followProgress } from './announce.ts';
import type { UpOptions } from './commands/up.ts';
import { CliError, exitCodes, usageError } from './exit.ts';
import type { Cli } from './io.ts';
import { createLog } from './log.ts';
import { lastEventId } from './resources/events.ts';
import { version } from './version.ts';

/** How long Ctrl-C waits for what runs. */
const graceMs = 10_000;

/** Runs a controller until Ctrl-C, and tells what happens. */
export async function serve(cli: Cli, options: UpOptions): Promise<void> {
  const { io } = cli;
  const { config, problems } = readConfig(io.env);
  if (problems.length > 0) throw usageError(problems.join('; '));
  const stop = catchInterrupts(cli);
  try {
    const level = options.logLevel ?? config.logLevel ?? (io.stderr.isTTY ? 'warn' : 'info');
    const dataDir = resolve(io.cwd, options.data);
    const artifacts = readArtifactOptions(options, config.s3Credentials, io.cwd, join(dataDir, 'artifacts'));
    const laptop = await startLaptop({
      repo: options.repo ?? null,
      branch: options.branch ?? null,
      path: options.path ?? null,
      cwd: io.cwd,
      dataDir,
      ...(artifacts ? { artifacts } : {}),
      databaseUrl: config.databaseUrl,
      listen: { host: options.host, port: options.port },
      ...(options.maxStepsPerNamespace === undefined ? {} : { maxStepsPerNamespace: options.maxStepsPerNamespace }),
      env: io.env,
      clock: io.clock,
      log: createLog(io.stderr, level),
      version,
    }).catch((cause: unknown) => {
      throw new CliError((cause as Error).message, exitCodes.failed, { cause });
    });
    await attend(cli, laptop, stop);
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

async function attend(cli: Cli, { controller, token, source, warning }: Laptop, stop: Interrupts): Promise<void> {
  const { io } = cli;
  const client = createClient({ server: controller.url, token });
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
