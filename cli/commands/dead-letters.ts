import { Command, InvalidArgumentError } from 'commander';
import type { Client } from '../../api/client.ts';
import { connect, type ServerOptions } from '../connection.ts';
import { exitCodes, usageError } from '../exit.ts';
import type { Cli } from '../io.ts';
import { namespaceOption } from '../options.ts';
import { firstItems } from '../resources/paging.ts';

/** As many as the API takes at a time. */
const atOnce = 100;

interface RedriveOptions extends ServerOptions {
  namespace?: string;
  workflow?: string;
  all?: boolean;
  perSecond?: number;
}

export function redriveCommand(cli: Cli): Command {
  return new Command('redrive')
    .summary('start again what failed for good')
    .description(
      'Starts dead letters again: a run whose object is still there goes on, keeping what succeeded; of one that is gone a new run ' +
        'is created. Those that wait are listed by `windlass get dead-letters`.',
    )
    .argument('[id...]', 'which', collectIds)
    .option('--all', 'all that wait, or of them those that --workflow and -n name')
    .option('--workflow <name>', 'with --all: only of this workflow')
    .addOption(namespaceOption('with --all: only in this namespace'))
    .option('--per-second <number>', 'start at most so many each second (default 10)', readRate)
    .action(async (ids: number[], _: unknown, command: Command) => {
      const options = command.optsWithGlobals<RedriveOptions>();
      if ((options.all ?? false) === ids.length > 0) throw usageError('say which, by their numbers, or --all');
      if (!options.all && (options.workflow ?? options.namespace) !== undefined) {
        throw usageError('--workflow and --namespace go with --all');
      }
      const client = await connect(cli.io, options);
      await redrive(cli, client, options.all ? await waiting(client, options) : ids, options.perSecond);
    });
}

interface DiscardOptions extends ServerOptions {
  reason: string;
}

export function discardCommand(cli: Cli): Command {
  return new Command('discard')
    .summary('put aside what failed for good')
    .description('Puts dead letters aside. They stay on record, with who did it and why.')
    .argument('<id...>', 'which', collectIds)
    .requiredOption('--reason <text>', 'why; it is recorded')
    .action(async (ids: number[], _: unknown, command: Command) => {
      const options = command.optsWithGlobals<DiscardOptions>();
      const client = await connect(cli.io, options);
      for (const id of ids) {
        const { name, namespace } = await client.discardDeadLetter(id, { reason: options.reason });
        cli.io.stdout.write(`dead letter ${id} (run ${name} in ${namespace}) discarded\n`);
      }
    });
}

async function waiting(client: Client, { namespace, workflow }: RedriveOptions): Promise<number[]> {
  const which = { ...(namespace === undefined ? {} : { namespace }), ...(workflow === undefined ? {} : { workflow }) };
  const { items } = await firstItems((page) => client.deadLetters({ ...which, state: ['Waiting'], ...page }));
  // The oldest first, as they failed.
  return items.map(({ id }) => id).toReversed();
}

async function redrive(cli: Cli, client: Client, ids: number[], perSecond: number | undefined): Promise<void> {
  if (ids.length === 0) cli.io.stderr.write('none waits\n');
  for (let from = 0; from < ids.length && !cli.signal.aborted; from += atOnce) {
    const some = ids.slice(from, from + atOnce);
    const { items } = await client.redrive({ ids: some, ...(perSecond === undefined ? {} : { perSecond }) });
    for (const { id, run, namespace, problem } of items) {
      if (problem === null) cli.io.stdout.write(`dead letter ${id}: run ${run} in ${namespace} started again\n`);
      else {
        cli.io.stderr.write(`dead letter ${id}: ${problem}\n`);
        cli.exitCode = exitCodes.refused;
      }
    }
  }
}

function collectIds(text: string, before: number[] | undefined): number[] {
  const id = Number(text);
  if (!Number.isSafeInteger(id) || id < 1) throw new InvalidArgumentError('It must be the number of a dead letter.');
  return [...(before ?? []), id];
}

function readRate(text: string): number {
  const rate = Number(text);
  if (!Number.isInteger(rate) || rate < 1 || rate > 50) throw new InvalidArgumentError('It must be from 1 to 50.');
  return rate;
}
