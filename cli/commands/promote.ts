import { Command } from 'commander';
import { connect, type ServerOptions } from '../connection.ts';
import type { Cli } from '../io.ts';
import { type Format, formatData, outputOption } from '../output/format.ts';

interface PromoteOptions extends ServerOptions {
  output: Format;
}

export function promoteCommand(cli: Cli): Command {
  return new Command('promote')
    .summary('ask for a ref to be promoted into an environment')
    .description(
      "Asks for a tag or commit to be promoted into an environment. It has no more power than an automatic promotion: the environment's gates hold it.",
    )
    .argument('<environment>', 'the environment')
    .argument('<ref>', 'a tag, or a commit by its full hash')
    .addOption(outputOption())
    .action(async (environment: string, ref: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<PromoteOptions>();
      const client = await connect(cli.io, options);
      const promotion = await client.promote({ environment, ref });
      if (options.output !== 'table') return cli.io.stdout.write(formatData(promotion, options.output));
      const { name } = promotion.metadata;
      return cli.io.stdout.write(
        `promotion ${name} created; see what holds it with: windlass describe promotion ${name}\n`,
      );
    });
}
