import { Command } from 'commander';
import { ApiProblem, type Client } from '../../api/client.ts';
import { connect, type ServerOptions } from '../connection.ts';
import { CliError, exitCodes, usageError } from '../exit.ts';
import type { Cli } from '../io.ts';
import { findRun } from '../namespaces.ts';
import { namespaceOption } from '../options.ts';

interface DecisionOptions extends ServerOptions {
  namespace?: string;
  comment?: string;
  as?: string;
}

export function approveCommand(cli: Cli): Command {
  return make(cli, {
    name: 'approve',
    summary: 'approve a promotion, or a step of a run',
    done: 'approved',
    promotion: 'approvePromotion',
    step: 'approveStep',
  });
}

export function rejectCommand(cli: Cli): Command {
  return make(cli, {
    name: 'reject',
    summary: 'reject a promotion, or a step of a run',
    done: 'rejected',
    promotion: 'rejectPromotion',
    step: 'rejectStep',
  });
}

/** Whoever names a run without its step is told which of its steps wait. */
function explainRun(client: Client, name: string, verb: string) {
  return async (error: unknown): Promise<never> => {
    if (!(error instanceof ApiProblem && error.status === 404)) throw error;
    const { items } = await client.runs({ name });
    const commands: string[] = [];
    for (const run of items) {
      const { items: steps } = await client.steps(run);
      for (const step of steps) {
        if (step.reason === 'WaitingForApproval')
          commands.push(`windlass ${verb} ${name} ${step.name} -n ${run.namespace}`);
      }
    }
    if (items.length === 0) throw error;
    const message =
      commands.length === 0
        ? `${name} is a run, and none of its steps waits for approval`
        : `${name} is a run: say which step. These wait:\n  ${commands.join('\n  ')}`;
    throw new CliError(message, commands.length === 0 ? exitCodes.refused : exitCodes.usage, { cause: error });
  };
}

interface Verb {
  name: string;
  summary: string;
  done: string;
  promotion: 'approvePromotion' | 'rejectPromotion';
  step: 'approveStep' | 'rejectStep';
}

function make(cli: Cli, { name, summary, done, promotion, step: decideStep }: Verb): Command {
  return new Command(name)
    .summary(summary)
    .description(
      `${summary[0]?.toUpperCase()}${summary.slice(1)} that waits for approval. One decision a person; a new one takes the old one's place.`,
    )
    .argument('<promotion-or-run>', 'the promotion, or with STEP the run')
    .argument('[step]', 'the step of the run')
    .addOption(namespaceOption('where the run is; needed only when several namespaces have one of this name'))
    .option('--comment <text>', 'why; it is recorded')
    .option('--as <name>', 'decide under this name, to rehearse gates that count people (on a laptop)')
    .action(async (target: string, step: string | undefined, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<DecisionOptions>();
      const decision = {
        ...(options.comment === undefined ? {} : { comment: options.comment }),
        ...(options.as === undefined ? {} : { as: options.as }),
      };
      if (step === undefined && options.namespace !== undefined) throw usageError('--namespace is for a step of a run');
      const client = await connect(cli.io, options);
      if (step === undefined) {
        await client[promotion](target, decision).catch(explainRun(client, target, name));
        cli.io.stdout.write(`promotion ${target} ${done}\n`);
        return;
      }
      const key = await findRun(client, target, options.namespace);
      await client[decideStep](key, step, decision);
      cli.io.stdout.write(`step ${step} of run ${key.name} in ${key.namespace} ${done}\n`);
    });
}
