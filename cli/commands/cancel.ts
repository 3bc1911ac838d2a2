import { Command } from 'commander';
import { connect, type ServerOptions } from '../connection.ts';
import type { Cli } from '../io.ts';
import { findRun } from '../namespaces.ts';
import { namespaceOption } from '../options.ts';

interface CancelOptions extends ServerOptions {
  namespace?: string;
  reason?: string;
}

export function cancelCommand(cli: Cli): Command {
  return new Command('cancel')
    .summary('cancel a run')
    .description('Cancels a run: what runs is stopped, then its finally steps run. That cannot be taken back.')
    .argument('<run>', 'the run')
    .option('--reason <text>', 'why; it is recorded')
    .addOption(namespaceOption('where the run is; needed only when several namespaces have one of this name'))
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<CancelOptions>();
      const client = await connect(cli.io, options);
      const key = await findRun(client, name, options.namespace);
      await client.cancelRun(key, options.reason === undefined ? {} : { reason: options.reason });
      cli.io.stdout.write(`run ${key.name} in ${key.namespace} is being cancelled\n`);
    });
}
