import { Command, InvalidArgumentError } from 'commander';
import type { Client, Item, ObjectKey, Step } from '../../api/client.ts';
import { readItem } from './cache.ts';
import { connect, type ServerOptions } from '../connection.ts';
import { codeOfSignal, usageError } from '../exit.ts';
import type { Cli } from '../io.ts';
import { namespaceOption } from '../options.ts';
import { findRun } from '../namespaces.ts';
import { firstItems } from '../resources/paging.ts';
import { printable } from '../output/text.ts';
import { createLogWriter, type LogWriter } from '../output/logs.ts';

/** Items of one step whose output is printed unasked. */
const mostItems = 100;

interface LogsOptions extends ServerOptions {
  namespace?: string;
  follow?: boolean;
  attempt?: number;
  item?: number;
}

export function logsCommand(cli: Cli): Command {
  return new Command('logs')
    .summary('print the output of steps')
    .description(
      'Prints the output of a run, each line after the name of its step, or of one step alone, all attempts in order.',
    )
    .argument('<run>', 'the run')
    .argument('[step]', 'only this step')
    .addOption(namespaceOption('where the run is; needed only when several namespaces have one of this name'))
    .option('-f, --follow', 'go on as output grows, until the run (the step) has ended')
    .option('--item <number>', 'of a forEach step: only this item, from 0', readItem)
    .option('--attempt <number>', 'only this attempt of the step', readAttempt)
    .action(async (run: string, step: string | undefined, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<LogsOptions>();
      if (options.attempt !== undefined && step === undefined)
        throw usageError('--attempt belongs to a step: say which');
      if (options.item !== undefined && step === undefined) throw usageError('--item belongs to a step: say which');
      const client = await connect(cli.io, options);
      const key = await findRun(client, run, options.namespace);
      const writer = createLogWriter(cli.io.stdout, { prefix: step === undefined, raw: !cli.io.stdout.isTTY });
      const { item, attempt } = options;
      const only = {
        ...(step === undefined ? {} : { step }),
        ...(item === undefined ? {} : { item }),
        ...(attempt === undefined ? {} : { attempt }),
      };
      if (options.follow) await follow(cli, client, key, only, writer);
      else await print(cli, client, key, only, writer);
      await nameChildren(cli, client, key, only);
    });
}

function readAttempt(text: string): number {
  const attempt = Number(text);
  if (!Number.isInteger(attempt) || attempt < 1) throw new InvalidArgumentError('It must be a whole number from 1 up.');
  return attempt;
}

interface Selection {
  step?: string;
  item?: number;
  attempt?: number;
}

async function follow(cli: Cli, client: Client, key: ObjectKey, only: Selection, writer: LogWriter): Promise<void> {
  let printed = false;
  for await (const event of client.followLogs(key, { ...only, signal: cli.signal })) {
    if (event.event !== 'log') continue;
    printed = true;
    for (const { text } of event.lines) writer.write(nameOf(event.step, event.item), event.attempt, text);
  }
  writer.end();
  if (cli.signal.aborted) cli.exitCode = codeOfSignal(cli.signal);
  else if (!printed) await explainSilence(cli, client, key);
}

/** An item goes by its place, as `--item` takes it. */
function nameOf(step: string, item: number): string {
  return item < 0 ? step : `${step}[${item}]`;
}

/** What child runs print is in their own logs: says on stderr which these are. */
async function nameChildren({ io, signal }: Cli, client: Client, key: ObjectKey, only: Selection): Promise<void> {
  if (signal.aborted) return;
  const { items: steps } = await client.steps(key);
  const calls = (name: string) => steps.some((step) => step.name === name && step.kind === 'workflow');
  if (!steps.some(({ name }) => calls(name) && (only.step ?? name) === name)) return;
  const { id } = await client.run(key);
  const { items, more } = await firstItems((page) => client.runs({ parent: id, ...page }), mostItems);
  for (const { name, parent } of items.toReversed()) {
    if (parent === null || (only.step ?? parent.step) !== parent.step) continue;
    if ((only.item ?? parent.item) !== parent.item || (only.attempt ?? parent.attempt) !== parent.attempt) continue;
    const step = nameOf(parent.step, parent.item);
    io.stderr.write(`step ${step} is run ${name}; its output: windlass logs ${name} -n ${key.namespace}\n`);
  }
  if (more) io.stderr.write(`and more child runs: windlass get runs --parent ${key.name}\n`);
}

/** A run that failed before any step began has no output to say why. */
async function explainSilence({ io }: Cli, client: Client, key: ObjectKey): Promise<void> {
  const run = await client.run(key);
  if (run.error !== null) io.stderr.write(`run ${key.name} ${run.phase}: ${printable(run.error.message)}\n`);
}

async function print(cli: Cli, client: Client, key: ObjectKey, only: Selection, writer: LogWriter): Promise<void> {
  const units = await unitsOf(cli, client, key, only);
  for (const { step, item, attempts } of units) {
    for (const number of attempts) {
      if (attempts.length > 1 && only.step !== undefined) {
        cli.io.stderr.write(`${item < 0 ? '' : `item ${item}, `}attempt ${number}:\n`);
      }
      for (let position = 0; !cli.signal.aborted; ) {
        const of = { attempt: number, position, ...(item < 0 ? {} : { item }) };
        const page = await client.stepLogs(key, step, of);
        if (page.lines.length === 0) break;
        for (const { text } of page.lines) writer.write(nameOf(step, item), number, text);
        position = page.next;
      }
      writer.end();
    }
  }
}

/** Whose output is printed, in the order of their beginning. */
async function unitsOf(
  cli: Cli,
  client: Client,
  key: ObjectKey,
  only: Selection,
): Promise<{ step: string; item: number; attempts: number[] }[]> {
  const { items: all } = await client.steps(key);
  const steps = only.step === undefined ? all.filter(hasOutput) : all.filter((step) => step.name === only.step);
  // The server says what there is instead.
  if (only.step !== undefined && steps.length === 0) await client.stepLogs(key, only.step);
  const units: { step: string; item: number; attempts: number[] }[] = [];
  for (const step of steps.toSorted((a, b) => (a.startedAt ?? '').localeCompare(b.startedAt ?? ''))) {
    const numbers = (unit: Step | Item) =>
      only.attempt === undefined ? unit.attempts.map((attempt) => attempt.number) : [only.attempt];
    if (step.items === null) units.push({ step: step.name, item: -1, attempts: numbers(step) });
    else if (only.item !== undefined) {
      units.push({ step: step.name, item: only.item, attempts: await attemptsOf(client, key, step.name, only) });
    } else {
      const { items, more } = await firstItems((page) => client.items(key, step.name, page), mostItems);
      for (const item of items) units.push({ step: step.name, item: item.item, attempts: numbers(item) });
      if (more)
        cli.io.stderr.write(`of step ${step.name} only the first ${mostItems} items; ask by --item for another\n`);
    }
  }
  return units;
}

async function attemptsOf(
  client: Client,
  key: ObjectKey,
  step: string,
  { item, attempt }: Selection,
): Promise<number[]> {
  if (attempt !== undefined) return [attempt];
  const { attempt: last } = await client.stepLogs(key, step, item === undefined ? {} : { item });
  return Array.from({ length: last }, (_, i) => i + 1);
}

function hasOutput(step: Step): boolean {
  return step.attempts.length > 0 || step.items !== null;
}
