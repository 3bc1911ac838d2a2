import { Command } from 'commander';
import type { Client } from '../../api/client.ts';
import { connect, type ServerOptions } from '../connection.ts';
import { describeEnvironment } from '../descriptions/environment.ts';
import { describePromotion } from '../descriptions/promotion.ts';
import { describeRun } from '../descriptions/run.ts';
import { describeSource } from '../descriptions/source.ts';
import { describeWorkflow } from '../descriptions/workflow.ts';
import { usageError } from '../exit.ts';
import type { Cli } from '../io.ts';
import { namespaceOption } from '../options.ts';
import { createPaint } from '../output/text.ts';
import { findResource } from '../resources/index.ts';
import type { View } from '../resources/resource.ts';

interface DescribeOptions extends ServerOptions {
  namespace?: string;
}

type Describe = (client: Client, name: string, namespace: string | undefined, view: View) => Promise<string>;

const descriptions: Record<string, Describe> = {
  runs: describeRun,
  workflows: describeWorkflow,
  environments: (client, name, _, view) => describeEnvironment(client, name, view),
  promotions: (client, name, _, view) => describePromotion(client, name, view),
  sources: (client, name, _, view) => describeSource(client, name, view),
};
const namespaced = ['runs', 'workflows'];

export function describeCommand(cli: Cli): Command {
  return new Command('describe')
    .summary('tell everything about one thing')
    .description(
      'Tells everything about a run (steps, attempts, errors, conditions, events), a promotion (changes, gates with their evidence, diagnostics), an environment, a workflow or a source.',
    )
    .argument('<kind>', `one of ${Object.keys(descriptions).join(', ')}`)
    .argument('<name>', 'its name')
    .addOption(
      namespaceOption('runs, workflows: where it is; needed only when several namespaces have one of this name'),
    )
    .action(async (kind: string, name: string, _: unknown, command: Command) => {
      const { io } = cli;
      const options = command.optsWithGlobals<DescribeOptions>();
      const word = findResource(kind).names[0] ?? kind;
      const describe = descriptions[word];
      if (!describe) throw usageError(`${word} cannot be described; see \`windlass get ${word}\``);
      if (options.namespace !== undefined && !namespaced.includes(word)) {
        throw usageError(`--namespace means nothing for ${word}`);
      }
      const client = await connect(io, options);
      const view = { now: io.clock.now(), paint: createPaint(io, io.stdout) };
      io.stdout.write(await describe(client, name, options.namespace, view));
    });
}
