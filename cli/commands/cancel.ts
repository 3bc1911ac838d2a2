import { Command } from 'commander';
import { connect, type ServerOptions } from '../connection.ts';
import type { Cli } from '../io.ts';
import { findRun } from '../namespaces.ts';
import { namespaceOption } from '../options.ts';

interface CancelOptions extends ServerOptions {
  namespace?: string;
  reason?: string;
  force?: boolean;
}

export function cancelCommand(cli: Cli): Command {
  return new Command('cancel')
    .summary('cancel a run')
    .description(
      'Cancels a run: what runs is stopped, what succeeded is compensated, then its finally steps run. That cannot be taken back, but an ended run can be retried.',
    )
    .argument('<run>', 'the run')
    .option('--reason <text>', 'why; it is recorded')
    .option('--force', 'neither compensate nor run finally steps; also when it does so already')
    .addOption(namespaceOption('where the run is; needed only when several namespaces have one of this name'))
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<CancelOptions>();
      const client = await connect(cli.io, options);
      const key = await findRun(client, name, options.namespace);
      const { reason, force } = options;
      await client.cancelRun(key, { ...(reason === undefined ? {} : { reason }), ...(force ? { force } : {}) });
      cli.io.stdout.write(`run ${key.name} in ${key.namespace} is being cancelled\n`);
    });
}
