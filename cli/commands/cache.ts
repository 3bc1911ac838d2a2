import { Command, InvalidArgumentError } from 'commander';
import type { CacheExplanation } from '../../api/client.ts';
import { connect, type ServerOptions } from '../connection.ts';
import type { Cli } from '../io.ts';
import { findRun } from '../namespaces.ts';
import { namespaceOption } from '../options.ts';
import { type Format, formatData, outputOption } from '../output/format.ts';
import { formatTable } from '../output/table.ts';
import { formatAge, formatBytes, none, oneLine, printable } from '../output/text.ts';

interface ExplainOptions extends ServerOptions {
  namespace?: string;
  item?: number;
  output: Format;
}

/** Entries beyond this one are only counted: the most alike says what has changed. */
const shownEntries = 3;

export function cacheCommand(cli: Cli): Command {
  const explain = new Command('explain')
    .summary('say why a step was, or was not, taken from the cache')
    .description(
      'Compares the key of a step with those of the entries that there are, and prints the parts that differ.',
    )
    .argument('<run>', 'the run')
    .argument('<step>', 'the step')
    .option('--item <number>', 'of a forEach: which item, from 0', readItem)
    .addOption(namespaceOption('where the run is; needed only when several namespaces have one of this name'))
    .addOption(outputOption())
    .action(async (run: string, step: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ExplainOptions>();
      const client = await connect(cli.io, options);
      const key = await findRun(client, run, options.namespace);
      const answer = await client.explainCache(key, step, options.item === undefined ? {} : { item: options.item });
      const text =
        options.output === 'table' ? describe(answer, cli.io.clock.now()) : formatData(answer, options.output);
      cli.io.stdout.write(text);
    });
  return new Command('cache').summary('the step cache').description('The step cache.').addCommand(explain);
}

/** The place of an item of a forEach. */
export function readItem(text: string): number {
  const item = Number(text);
  if (!Number.isInteger(item) || item < 0) throw new InvalidArgumentError('It must be a whole number from 0 up.');
  return item;
}

function describe({ step, phase, key, parts, entries }: CacheExplanation, now: number): string {
  if (key === null)
    return `step ${step} is ${phase} and did not ask the cache: it has no \`cache\`, or has not begun\n`;
  const same = entries.find(({ changed }) => changed.length === 0);
  // What was not taken from the cache has mostly filled an entry itself: what it is to be compared with are the others.
  const others = phase === 'Cached' ? [] : entries.filter((entry) => entry !== same);
  const lines = [`step ${step} is ${phase}; its key is ${key}\n`];
  if (phase === 'Cached') lines.push('an entry of this key was taken\n');
  else if (same)
    lines.push(
      `an entry of this key is there, filled ${formatAge(same.filledAt, now)} ago: the next that asks takes it\n`,
    );
  else if (entries.length === 0) lines.push('there is no entry of this step\n');
  for (const entry of others.slice(0, shownEntries)) {
    lines.push(`\nentry filled ${formatAge(entry.filledAt, now)} ago, ${formatBytes(entry.bytes)}; what differs:\n`);
    const rows = entry.changed.map((part) => [part.part, shown(part.there), shown(part.here)]);
    lines.push(formatTable(['PART', 'THEN', 'NOW'], rows));
  }
  if (others.length > shownEntries) lines.push(`and ${others.length - shownEntries} older or less alike\n`);
  const rows = Object.entries(parts).map(([part, value]) => [part, shown(value)]);
  lines.push(`\nThe key is made of:\n${formatTable(['PART', 'VALUE'], rows)}`);
  return lines.join('');
}

function shown(value: string | null): string {
  return value === null ? none : oneLine(printable(value), 60);
}
