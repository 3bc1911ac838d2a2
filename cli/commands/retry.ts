import { Command } from 'commander';
import type { Client, ObjectKey, PlannedUnits } from '../../api/client.ts';
import type { JsonObject } from '../../crds/json.ts';
import { connect, type ServerOptions } from '../connection.ts';
import { CliError, exitCodes, usageError } from '../exit.ts';
import { inputHelp, readInputs } from '../inputs.ts';
import type { Cli } from '../io.ts';
import { findRun } from '../namespaces.ts';
import { collect, namespaceOption } from '../options.ts';
import { type Format, formatData, outputOption } from '../output/format.ts';
import { formatTable } from '../output/table.ts';
import { firstItems } from '../resources/paging.ts';
import { demandWait, showUntilEnd, timeoutOption, type WaitOptions, waitOption } from '../wait.ts';

interface RetryOptions extends ServerOptions, WaitOptions {
  namespace?: string;
  from?: string;
  onlyFailed?: boolean;
  dryRun?: boolean;
  output: Format;
}

export function retryCommand(cli: Cli): Command {
  return new Command('retry')
    .summary('let a run that has ended go on')
    .description(
      'Lets a run that has ended go on as its next execution. What succeeded is kept; what did not, and everything that comes ' +
        'after it, runs again, and so do finally steps.',
    )
    .argument('<run>', 'the run')
    .addOption(namespaceOption('where the run is; needed only when several namespaces have one of this name'))
    .option('--from <step>', 'run this step, and all that come after it, again')
    .option('--only-failed', 'run only what failed again, not what came after it and succeeded')
    .option('--dry-run', 'only say what would become of each step, and why')
    .addOption(waitOption())
    .addOption(timeoutOption())
    .addOption(outputOption())
    .action(async (run: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<RetryOptions>();
      demandSense(options);
      const client = await connect(cli.io, options);
      const key = await findRun(client, run, options.namespace);
      const { from, onlyFailed } = options;
      const which = { ...(from === undefined ? {} : { from }), ...(onlyFailed ? { onlyFailed } : {}) };
      if (options.dryRun) return printPlan(cli, await client.planRetry(key, which), options);
      const { execution } = await client.run(key);
      const object = await client.retryRun(key, which);
      if (options.wait) return await show(cli, client, key, options, execution + 1);
      print(cli, options.output, object, `run ${key.name} in ${key.namespace} goes on`);
    });
}

interface ReplayOptions extends ServerOptions, WaitOptions {
  namespace?: string;
  from?: string;
  useVersion?: string;
  input?: string[];
  inputFile?: string;
  name?: string;
  dryRun?: boolean;
  output: Format;
}

export function replayCommand(cli: Cli): Command {
  return new Command('replay')
    .summary('run again what was recorded, as a new run')
    .description(
      'Creates a run with the recorded inputs of another. With --from, steps that do not come after that one are not run: their ' +
        'recorded outputs are taken.',
    )
    .argument('<run>', 'the recorded run')
    .addOption(namespaceOption('where the run is; needed only when several namespaces have one of this name'))
    .option('--from <step>', 'begin here, with what was recorded before')
    .option(
      '--use-version <version>',
      "run this version: a digest, tag or commit; --version does, too. Default: the recorded run's",
    )
    .option('-i, --input <name=value>', inputHelp, collect)
    .option('--input-file <file>', 'inputs as a YAML or JSON map; - for standard input')
    .option('--name <name>', 'name of the new run; default: generated')
    .option('--dry-run', 'only say what would become of each step, and why')
    .addOption(waitOption())
    .addOption(timeoutOption())
    .addOption(outputOption())
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ReplayOptions>();
      demandSense(options);
      const client = await connect(cli.io, options);
      const key = await findRun(client, name, options.namespace);
      const run = await client.run(key);
      const version = await findVersion(client, run.workflow, options.useVersion);
      const which = {
        ...(options.from === undefined ? {} : { from: options.from }),
        ...(version === undefined ? {} : { version }),
      };
      const digest = version ?? run.digest;
      // Of one that has not begun nothing is known yet: that is what the answer says.
      const declared = digest === null ? {} : (await client.version(digest)).spec['inputs'];
      const inputs = await readInputs(cli.io, options, (declared ?? {}) as JsonObject);
      const asked = { ...which, ...(Object.keys(inputs).length > 0 ? { inputs } : {}) };
      if (options.dryRun) return printPlan(cli, await client.planReplay(key, asked), options);
      const created = await client.replayRun(key, {
        ...asked,
        ...(options.name === undefined ? {} : { name: options.name }),
      });
      const made = { namespace: key.namespace, name: created.metadata.name };
      if (options.wait) return await show(cli, client, made, options, 1);
      print(cli, options.output, created, `run ${made.name} created in ${key.namespace}`);
    });
}

function demandSense(options: WaitOptions & { dryRun?: boolean }): void {
  demandWait(options);
  if (options.wait && options.dryRun) throw usageError('--wait does not go with --dry-run: nothing runs');
}

function show(
  cli: Cli,
  client: Client,
  key: ObjectKey,
  { timeout, output: format }: WaitOptions & { output: Format },
  execution: number,
): Promise<void> {
  return showUntilEnd(cli, client, key, { format, timeoutMs: timeout ?? null, execution });
}

function printPlan(cli: Cli, plan: PlannedUnits, { output }: { output: Format }): void {
  cli.io.stdout.write(output === 'table' ? planTable(plan) : formatData(plan, output));
}

/** The object as the API answered with it, or a sentence for people. */
function print(cli: Cli, output: Format, object: object, said: string): void {
  cli.io.stdout.write(output === 'table' ? `${said}\n` : formatData(object, output));
}

/** The digest that is meant by one, or by a tag or commit. @throws CliError for a name that no version has */
async function findVersion(client: Client, workflow: string, name: string | undefined): Promise<string | undefined> {
  if (name === undefined || name.startsWith('sha256:')) return name;
  const { items } = await firstItems((page) => client.versions({ workflow, ...page }));
  const found = items.find(({ ref, commit }) => ref === name || (name.length >= 7 && commit.startsWith(name)));
  if (found) return found.digest;
  throw new CliError(`workflow ${workflow} has no version ${name}; see \`windlass get versions\``, exitCodes.notFound);
}

/** Each step and each item that runs; the items that do not, of which there may be thousands, by their number. */
function planTable({ items }: PlannedUnits): string {
  const rows: string[][] = [];
  const alike = new Map<string, { row: string[]; items: number }>();
  for (const { step, item, label, action, why } of items) {
    if (item < 0 || action === 'run') {
      const name = item < 0 ? step : `${step}[${item}]${label === null ? '' : ` (${label})`}`;
      rows.push([name, action, why]);
      continue;
    }
    const key = `${step} ${action} ${why}`;
    const known = alike.get(key) ?? { row: ['', action, why], items: 0 };
    if (known.items === 0) rows.push(known.row);
    known.items++;
    known.row[0] = `${step}: ${known.items} ${known.items === 1 ? 'item' : 'items'}`;
    alike.set(key, known);
  }
  return formatTable(['STEP', 'ACTION', 'WHY'], rows);
}
