import { isIPv6 } from 'node:net';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type LogLevel, logLevels } from '../../controller/config.ts';
import { type ArtifactOptions, artifactOptions } from '../artifact-options.ts';
import { dataFolder } from '../connection.ts';
import type { Cli } from '../io.ts';

export interface UpOptions extends ArtifactOptions {
  repo?: string;
  branch?: string;
  path?: string;
  port: number;
  maxStepsPerNamespace?: number;
  host: string;
  data: string;
  logLevel?: LogLevel;
}

export function upCommand(cli: Cli): Command {
  const command = new Command('up')
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
    .addOption(hostOption('address to listen on; 0.0.0.0 or :: for every one of this machine', '127.0.0.1'))
    .addOption(
      new Option(
        '--max-steps-per-namespace <number>',
        'how many steps of one namespace run at once, those of all its runs together (default: any number)',
      ).argParser(readStepLimit),
    )
    .option('--data <folder>', 'the data directory', dataFolder);
  for (const option of artifactOptions('artifacts, in the data directory')) command.addOption(option);
  return command
    .addOption(
      new Option(
        '--log-level <level>',
        'what to log on stderr (default: $WINDLASS_LOG_LEVEL, else warn on a terminal and info elsewhere)',
      ).choices(logLevels),
    )
    .action(async (options: UpOptions) => {
      // Loaded only now: every other command, and --help, would wait for the whole controller to load.
      const { serve } = await import('../serve.ts');
      await serve(cli, options);
    });
}

/** Of an option. @throws InvalidArgumentError */
export function readStepLimit(text: string): number {
  if (!/^[1-9][0-9]{0,5}$/.test(text)) throw new InvalidArgumentError('It must be a number from 1 to 999999.');
  return Number(text);
}

/** --host, of commands that serve. */
export function hostOption(description: string, otherwise: string): Option {
  return new Option('--host <address>', description).default(otherwise).argParser(readHost);
}

function readHost(text: string): string {
  // Within a URL it is what others call it by; a zone (fe80::1%eth0) cannot be in one.
  const named = /^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$/i.test(text) && URL.canParse(`http://${text}/`);
  if (named || (isIPv6(text) && !text.includes('%'))) return text;
  throw new InvalidArgumentError('It must be an address or a name such as 127.0.0.1, 0.0.0.0 or ::1.');
}

/** Of an option. @throws InvalidArgumentError */
export function readPort(text: string): number {
  const port = Number(text);
  if (text === '' || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new InvalidArgumentError('It must be a number from 0 to 65535.');
  }
  return port;
}
