import { Command } from 'commander';
import { connect, type ServerOptions } from '../connection.ts';
import { CliError, exitCodes } from '../exit.ts';
import type { Cli } from '../io.ts';
import { type Format, formatData, outputOption } from '../output/format.ts';
import { version } from '../version.ts';

interface VersionOptions extends ServerOptions {
  output: Format;
}

export function versionCommand(cli: Cli): Command {
  return new Command('version')
    .summary('print the versions of this program and of the controller')
    .description('Prints the version of this program, and that of the controller when one answers.')
    .addOption(outputOption())
    .action(async (_: unknown, command: Command) => {
      const { io } = cli;
      const options = command.optsWithGlobals<VersionOptions>();
      const server = await connect(io, options)
        .then((client) => client.server())
        .catch((error: unknown) => {
          // Nobody asked for a controller, unless by name.
          if (options.server === undefined && error instanceof CliError && error.exitCode === exitCodes.unreachable)
            return null;
          throw error;
        });
      if (options.output !== 'table') io.stdout.write(formatData({ client: { version }, server }, options.output));
      else {
        io.stdout.write(`windlass ${version}\n`);
        if (server !== null) io.stdout.write(`controller ${server.version}, history in ${server.database}\n`);
      }
    });
}
