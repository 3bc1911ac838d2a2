import { Command, InvalidArgumentError } from 'commander';
import type { JsonObject } from '../../crds/json.ts';
import { connect, type ServerOptions } from '../connection.ts';
import { usageError } from '../exit.ts';
import { inputHelp, readInputs } from '../inputs.ts';
import type { Cli } from '../io.ts';
import { chooseNamespace } from '../namespaces.ts';
import { collect, namespaceOption } from '../options.ts';
import { type Format, formatData, outputOption } from '../output/format.ts';
import { demandWait, showUntilEnd, timeoutOption, type WaitOptions, waitOption } from '../wait.ts';

interface RunOptions extends ServerOptions, WaitOptions {
  namespace?: string;
  input?: string[];
  inputFile?: string;
  name?: string;
  priority?: number;
  local?: boolean;
  value?: string[];
  approve?: boolean;
  output: Format;
}

export function runCommand(cli: Cli): Command {
  return new Command('run')
    .summary('run a workflow')
    .description(
      'Runs a workflow. Without -n: in the only namespace that has it, or in that of the one environment that comes after no other (such as dev). ' +
        'With --local, WORKFLOW is a file, which is run in this process with the files beside it: no controller, no git, nothing kept. ' +
        'With --wait and --local the exit code says how it ended.',
    )
    .argument('<workflow>', 'the workflow; with --local its file')
    .addOption(namespaceOption('where to run it; with --local, whose secrets it gets (default "default")'))
    .option('-i, --input <name=value>', inputHelp, collect)
    .option('--input-file <file>', 'inputs as a YAML or JSON map; - for standard input')
    .option('--name <name>', 'name of the run; default: generated')
    .option('--priority <number>', 'of runs that wait for the same, the higher goes first (default 0)', readPriority)
    .addOption(waitOption())
    .addOption(timeoutOption())
    .option('--local', 'run a file, without a controller; secrets come from ./.windlass/secrets')
    .option('--value <name=value>', 'with --local: what environment.NAME is; repeatable, read as YAML', collect)
    .option('--approve', 'with --local: approve every step that asks for approval')
    .addOption(outputOption())
    .action(async (workflow: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<RunOptions>();
      if (options.local) await local(cli, workflow, options);
      else await remote(cli, workflow, options);
    });
}

function readPriority(text: string): number {
  const priority = Number(text);
  if (!Number.isInteger(priority) || Math.abs(priority) > 1000) {
    throw new InvalidArgumentError('It must be a whole number from -1000 to 1000.');
  }
  return priority;
}

async function remote(cli: Cli, workflow: string, options: RunOptions): Promise<void> {
  const { io } = cli;
  demandAbsent(options, ['value', 'approve'], 'needs --local');
  demandWait(options);
  const client = await connect(io, options);
  const namespace = options.namespace ?? (await chooseNamespace(client, workflow));
  const { spec } = await client.get('Workflow', { namespace, name: workflow });
  const inputs = await readInputs(io, options, (spec.inputs ?? {}) as JsonObject);
  const created = await client.createRun(namespace, {
    workflow,
    ...(Object.keys(inputs).length > 0 ? { inputs } : {}),
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.priority === undefined ? {} : { priority: options.priority }),
  });
  const key = { namespace, name: created.metadata.name };
  if (options.wait) {
    return await showUntilEnd(cli, client, key, {
      format: options.output,
      timeoutMs: options.timeout ?? null,
      execution: 1,
    });
  }
  if (options.output === 'table') {
    io.stdout.write(
      `run ${key.name} created in ${namespace}; follow it with: windlass logs -f ${key.name} -n ${namespace}\n`,
    );
  } else io.stdout.write(formatData(created, options.output));
}

async function local(cli: Cli, file: string, options: RunOptions): Promise<void> {
  demandAbsent(options, ['name', 'priority', 'wait', 'timeout', 'server'], 'does not go with --local');
  // Loaded only now, as it brings the executors along.
  const { runFile } = await import('../run-file.ts');
  cli.exitCode = await runFile(cli, file, options);
}

function demandAbsent(options: RunOptions, names: readonly (keyof RunOptions)[], why: string): void {
  const wrong = names.filter((name) => options[name] !== undefined);
  if (wrong.length > 0) throw usageError(`${wrong.map((name) => `--${name}`).join(', ')} ${why}`);
}
