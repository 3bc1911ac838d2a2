import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { findKind, type Kind } from '../../crds/kinds.ts';
import type { Client, Item, PromotionSummary, RunArtifact, RunResourcePhase } from '../../api/client.ts';
import { connect, type ServerOptions } from '../connection.ts';
import { codeOfSignal, usageError } from '../exit.ts';
import type { Cli } from '../io.ts';
import { projectNamespace } from '../namespaces.ts';
import { namespaceOption } from '../options.ts';
import { type Format, formatData, outputOption } from '../output/format.ts';
import { formatTable } from '../output/table.ts';
import { createPaint } from '../output/text.ts';
import { findResource, type AnyResource, resourceWords } from '../resources/index.ts';
import { artifactColumns, artifactNames, listArtifacts } from '../resources/artifacts.ts';
import type { Column, Listing, ListOption, ListOptions, View } from '../resources/resource.ts';
import { itemColumns, itemNames, listItems } from '../resources/items.ts';
import { listSteps, stepColumns, stepNames } from '../resources/steps.ts';
import { watchRows } from '../watch.ts';

interface GetOptions extends ServerOptions, ListOptions {
  output: Format;
  watch?: boolean;
  object?: boolean;
}

const filters: readonly ListOption[] = [
  'namespace',
  'workflow',
  'environment',
  'phase',
  'failed',
  'since',
  'limit',
  'parent',
];

/** Written out, as the lists of the API would bring the server along; the compiler holds them equal. */
const phases: Record<RunResourcePhase | PromotionSummary['phase'], true> = {
  Pending: true,
  Queued: true,
  Running: true,
  Compensating: true,
  Finalizing: true,
  Succeeded: true,
  Degraded: true,
  Failed: true,
  Cancelled: true,
  TimedOut: true,
  Gating: true,
  Rejected: true,
  Superseded: true,
};

export function getCommand(cli: Cli): Command {
  return new Command('get')
    .summary('list things, or show one as a row')
    .description(
      `Lists things, or shows one: ${resourceWords.join(', ')}. Steps, items and artifacts are those of a run: \`get steps RUN\`, \`get items RUN STEP\`. The kinds' short names (wwf, wrun, wsrc, wenv, wpro) work too. Without -n, of every namespace.`,
    )
    .addArgument(new Argument('<kind>', 'what to list'))
    .argument('[name]', 'only this one')
    .argument('[step]', 'items: of this step')
    .addOption(namespaceOption('only in this namespace'))
    .addOption(outputOption())
    .option('-w, --watch', 'go on, and print what changes until Ctrl-C')
    .option('--object', 'with a name: the object itself, as `apply` takes it (YAML unless -o says json)')
    .option('--workflow <name>', 'runs, versions, dead-letters: only of this workflow')
    .option('--environment <name>', 'runs, promotions: only of this environment')
    .addOption(new Option('--phase <phase...>', 'runs, promotions: only in these phases').choices(Object.keys(phases)))
    .option('--failed', 'runs, items: only Failed and TimedOut')
    .option('--parent <run>', 'runs: only the child runs that steps of this run have started')
    .option('--since <time>', 'runs: only created since, a length of time such as 1d or an RFC 3339 instant')
    .option(
      '--limit <number>',
      'runs, items, artifacts, promotions, versions, events, dead-letters: at most so many, the newest (default 50; of artifacts all)',
      readLimit,
    )
    .action(async (kind: string, name: string | undefined, step: string | undefined, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<GetOptions>();
      if (itemNames.includes(kind.toLowerCase())) return await getItems(cli, name, step, options);
      if (step !== undefined) throw usageError(`only items are of a step: windlass get items ${name} ${step}`);
      await get(cli, kind, name, options);
    });
}

function readLimit(text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1) throw new InvalidArgumentError('It must be a whole number from 1 up.');
  return limit;
}

async function getItems(
  cli: Cli,
  run: string | undefined,
  step: string | undefined,
  options: GetOptions,
): Promise<void> {
  if (run === undefined || step === undefined) throw usageError('say of which step: windlass get items RUN STEP');
  const list = pick(options);
  refuse('items', ['namespace', 'failed', 'limit'], list);
  const client = await connect(cli.io, options);
  const rows = { columns: itemColumns, key: ({ item }: Item) => String(item) };
  await show(cli, client, rows, () => listItems(client, run, step, list), options);
}

async function get(cli: Cli, word: string, name: string | undefined, options: GetOptions): Promise<void> {
  const list = pick(options);
  if (stepNames.includes(word.toLowerCase())) {
    if (name === undefined) throw usageError('say of which run: windlass get steps RUN');
    refuse('steps', ['namespace'], list);
    const client = await connect(cli.io, options);
    const rows = { columns: stepColumns, key: (step: { name: string }) => step.name };
    return await show(cli, client, rows, () => listSteps(client, name, list.namespace), options);
  }
  if (artifactNames.includes(word.toLowerCase())) {
    if (name === undefined) throw usageError('say of which run: windlass get artifacts RUN');
    refuse('artifacts', ['namespace', 'limit'], list);
    const client = await connect(cli.io, options);
    const rows = {
      columns: artifactColumns,
      key: (a: RunArtifact) => `${a.step} ${a.item} ${a.name}`,
    };
    return await show(cli, client, rows, () => listArtifacts(client, name, list), options);
  }
  const resource = findResource(word);
  if (name === undefined) {
    refuse(resource.names[0] ?? word, resource.options, list);
    if (options.object) throw usageError('--object needs a name');
    const client = await connect(cli.io, options);
    return await show(cli, client, resource, () => resource.list(client, list), options);
  }
  const { get: getOne } = resource;
  if (!getOne) throw usageError(`${resource.names[0]} have no names to get them by; list them`);
  refuse(`one of ${resource.names[0]}`, resource.options.includes('namespace') ? ['namespace'] : [], list);
  const client = await connect(cli.io, options);
  if (options.object) return await showObject(cli, client, resource, name, options);
  const one = async () => ({ items: [await getOne(client, name, list)], more: false });
  if (options.output === 'table' || options.watch) return await show(cli, client, resource, one, options);
  cli.io.stdout.write(formatData((await one()).items[0], options.output));
}

function pick(options: GetOptions): ListOptions {
  return Object.fromEntries(filters.filter((f) => options[f] !== undefined).map((f) => [f, options[f]]));
}

/** A filter that means nothing here would be ignored, and the list be taken for something it is not. */
function refuse(what: string, allowed: readonly ListOption[], given: ListOptions): void {
  const wrong = (Object.keys(given) as ListOption[]).filter((option) => !allowed.includes(option));
  if (wrong.length === 0) return;
  const ofProject = wrong.includes('namespace') && projectKinds.some((kind) => what.endsWith(kind));
  const instead = ofProject ? `; they live in a project: --project ${given.namespace}` : '';
  throw usageError(`${wrong.map((w) => `--${w}`).join(', ')} means nothing for ${what}${instead}`);
}

/** What lives together in a project's namespace. */
const projectKinds = ['sources', 'environments', 'promotions'];

interface Rows<T> {
  columns: readonly Column<T>[];
  key(item: T): string;
}

async function show<T>(
  cli: Cli,
  client: Client,
  rows: Rows<T>,
  list: () => Promise<Listing<T>>,
  options: GetOptions,
): Promise<void> {
  const { io } = cli;
  const view = (): View => ({ now: io.clock.now(), paint: createPaint(io, io.stdout) });
  const { items, more, namespaces } = await list();
  if (namespaces) {
    io.stderr.write(
      `only of namespaces ${namespaces.join(', ')}: in the others, your login may list nothing of this kind\n`,
    );
  }
  if (options.output === 'table') {
    if (items.length === 0 && !options.watch) io.stderr.write('nothing found\n');
    else io.stdout.write(table(rows, items, view()));
    if (more) io.stderr.write(`there is more than these ${items.length}; ask for it with --limit\n`);
  } else if (!options.watch) {
    io.stdout.write(formatData({ items }, options.output));
  } else {
    for (const item of items) io.stdout.write(document(item, options.output));
  }
  if (!options.watch) return;
  for await (const changed of watchRows({ client, signal: cli.signal, items, key: rows.key, list })) {
    if (options.output !== 'table') for (const item of changed) io.stdout.write(document(item, options.output));
    else io.stdout.write(rowsBelow(rows, items, changed, view()));
  }
  if (cli.signal.aborted) cli.exitCode = codeOfSignal(cli.signal);
}

function table<T>({ columns }: Rows<T>, items: T[], view: View): string {
  return formatTable(
    columns.map((column) => column.head),
    items.map((item) => columns.map((column) => column.value(item, view))),
  );
}

/** Rows to follow a table, in its columns. */
function rowsBelow<T>(rows: Rows<T>, above: T[], items: T[], view: View): string {
  const lines = table(rows, [...above, ...items], view).split('\n');
  return lines.slice(above.length + 1).join('\n');
}

/** One of a stream: a line of JSON, or a YAML document. */
function document(item: unknown, format: 'json' | 'yaml'): string {
  return format === 'json' ? `${JSON.stringify(item)}\n` : `---\n${formatData(item, 'yaml')}`;
}

async function showObject(
  cli: Cli,
  client: Client,
  resource: AnyResource,
  name: string,
  options: GetOptions,
): Promise<void> {
  const kind = resource.names.map(findKind).find((found): found is Kind => found !== undefined);
  if (kind === undefined) throw usageError(`${resource.names[0]} are no objects`);
  const { namespace } = ((await resource.get?.(client, name, pick(options))) ?? {}) as { namespace?: string };
  const inProject = kind === 'Environment' || namespace === undefined;
  const home = inProject ? await projectNamespace(client) : namespace;
  const object = await client.get(kind, { namespace: home, name });
  cli.io.stdout.write(formatData(object, options.output === 'json' ? 'json' : 'yaml'));
}
