import { Command } from 'commander';
import { connect, type ServerOptions } from '../connection.ts';
import type { Cli } from '../io.ts';
import { findRun } from '../namespaces.ts';
import { namespaceOption } from '../options.ts';

interface PauseOptions extends ServerOptions {
  namespace?: string;
  reason?: string;
}

export function pauseCommand(cli: Cli): Command {
  return make(cli, {
    name: 'pause',
    summary: 'pause a run',
    description: 'Pauses a run: no step begins, those that run may end. The run’s clock stands meanwhile.',
    done: 'is being paused',
    act: 'pauseRun',
  });
}

export function resumeCommand(cli: Cli): Command {
  return make(cli, {
    name: 'resume',
    summary: 'let a paused run go on',
    description: 'Lets a paused run go on.',
    done: 'goes on',
    act: 'resumeRun',
  });
}

interface Verb {
  name: string;
  summary: string;
  description: string;
  done: string;
  act: 'pauseRun' | 'resumeRun';
}

function make(cli: Cli, { name, summary, description, done, act }: Verb): Command {
  return new Command(name)
    .summary(summary)
    .description(description)
    .argument('<run>', 'the run')
    .option('--reason <text>', 'why; it is recorded')
    .addOption(namespaceOption('where the run is; needed only when several namespaces have one of this name'))
    .action(async (run: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<PauseOptions>();
      const client = await connect(cli.io, options);
      const key = await findRun(client, run, options.namespace);
      await client[act](key, options.reason === undefined ? {} : { reason: options.reason });
      cli.io.stdout.write(`run ${key.name} in ${key.namespace} ${done}\n`);
    });
}
