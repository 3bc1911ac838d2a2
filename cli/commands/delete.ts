import { Command, Option } from 'commander';
import type { Client } from '../../api/client.ts';
import { findKind, type Kind, kinds } from '../../crds/kinds.ts';
import { connect, type ServerOptions } from '../connection.ts';
import { usageError } from '../exit.ts';
import type { Cli } from '../io.ts';
import { findRun, objectNamespace } from '../namespaces.ts';
import { collect, namespaceOption } from '../options.ts';
import { findResource } from '../resources/index.ts';

interface DeleteOptions extends ServerOptions {
  namespace?: string;
  filename?: string[];
}

export function deleteCommand(cli: Cli): Command {
  return new Command('delete')
    .summary('delete objects; history stays')
    .description(
      'Deletes an object by kind and name, or the objects of YAML files. Deleting a run cancels it; what happened is kept.',
    )
    .argument(
      '[kind]',
      `one of ${Object.values(kinds)
        .map((k) => k.plural)
        .join(', ')}; short names work too`,
    )
    .argument('[names...]', 'one or more')
    .addOption(
      new Option(
        '-f, --filename <path>',
        'the objects of a file, a folder or - (standard input); repeatable',
      ).argParser(collect),
    )
    .addOption(namespaceOption('where it is; default: as for apply; a run is found by its name'))
    .action(async (kind: string | undefined, names: string[], _: unknown, command: Command) => {
      const options = command.optsWithGlobals<DeleteOptions>();
      if ((kind === undefined) === (options.filename === undefined)) throw usageError('give KIND and NAME, or -f FILE');
      if (kind !== undefined && names.length === 0) throw usageError(`say which of ${kind}`);
      const wanted = options.filename
        ? await readWanted(cli, options.filename)
        : names.map((name) => ({ kind: readKind(kind ?? ''), name, written: undefined }));
      const client = await connect(cli.io, options);
      for (const { kind, name, written } of wanted) {
        const namespace = await locate(client, kind, name, written, options);
        await client.delete(kind, { namespace, name });
        cli.io.stdout.write(`${kinds[kind].singular}/${name} deleted from ${namespace}\n`);
      }
    });
}

interface Wanted {
  kind: Kind;
  name: string;
  written: string | undefined;
}

async function readWanted(cli: Cli, paths: readonly string[]): Promise<Wanted[]> {
  // Loaded only now, as it brings the expression language along.
  const { readObjects } = await import('../documents.ts');
  return (await readObjects(cli.io, paths)).map(({ kind, name, object }) => {
    if (name === '') throw usageError(`a ${kind} of the file has no metadata.name`);
    return { kind, name, written: object.metadata.namespace };
  });
}

function readKind(word: string): Kind {
  const kind =
    findKind(word) ??
    findResource(word)
      .names.map(findKind)
      .find((found) => found !== undefined);
  if (kind === undefined) throw usageError(`${word} cannot be deleted: they are history`);
  return kind;
}

async function locate(
  client: Client,
  kind: Kind,
  name: string,
  written: string | undefined,
  options: DeleteOptions,
): Promise<string> {
  if (kind === 'WorkflowRun' && written === undefined)
    return (await findRun(client, name, options.namespace)).namespace;
  return await objectNamespace(client, kind, written, options.namespace);
}
