import { Command, Option } from 'commander';
import { ApiProblem, type Client, type ObjectDraft } from '../../api/client.ts';
import { connect, type ServerOptions } from '../connection.ts';
import type { ParsedDocument } from '../../controller/core/parse/documents.ts';
import { kinds } from '../../crds/kinds.ts';
import { usageError } from '../exit.ts';
import type { Cli } from '../io.ts';
import { collect, namespaceOption } from '../options.ts';
import { objectNamespace } from '../namespaces.ts';

interface ApplyOptions extends ServerOptions {
  filename: string[];
  namespace?: string;
}

export function applyCommand(cli: Cli): Command {
  return new Command('apply')
    .summary('create or change objects from files')
    .description(
      'Creates the objects of YAML files, or replaces their spec, labels and annotations. Every file is checked first; one mistake and nothing is done. ' +
        "A run with generateName is created. What a repository's environments own is changed by a merge or a tag, not by this.",
    )
    .addOption(filenameOption('a file, a folder with all YAML files below it, or - for standard input; repeatable'))
    .addOption(
      namespaceOption(
        'for objects that name none; default: in a cluster the context\'s namespace, else "default"; sources, environments and promotions: --project',
      ),
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ApplyOptions>();
      // Loaded only now, as it brings the expression language along.
      const { readObjects } = await import('../documents.ts');
      const documents = await readObjects(cli.io, options.filename);
      const client = await connect(cli.io, options);
      for (const document of documents) cli.io.stdout.write(`${await applyOne(client, document, options)}\n`);
    });
}

export function filenameOption(description: string): Option {
  return new Option('-f, --filename <path>', description).argParser(collect).makeOptionMandatory();
}

async function applyOne(
  client: Client,
  { kind, name, object }: ParsedDocument,
  options: ApplyOptions,
): Promise<string> {
  const { apiVersion, metadata, spec } = object;
  const namespace = await objectNamespace(client, kind, metadata.namespace, options.namespace);
  const said = (what: string, word: string) => `${kinds[kind].singular}/${what} ${word} in ${namespace}`;
  if (name === '') {
    if (kind !== 'WorkflowRun' || metadata.generateName === undefined)
      throw usageError(`a ${kind} needs metadata.name`);
    const { workflow, inputs, ...rest } = object.spec as { workflow: string; inputs?: Record<string, never> };
    if (Object.keys(rest).length > 0) {
      throw usageError(
        `a run with generateName is created with workflow and inputs only, not ${Object.keys(rest).join(', ')}`,
      );
    }
    const { generateName, labels } = metadata;
    const body = { workflow, generateName, ...(inputs ? { inputs } : {}), ...(labels ? { labels } : {}) };
    return said((await client.createRun(namespace, body)).metadata.name, 'created');
  }
  const before = await client.get(kind, { namespace, name }).catch(absent);
  const { labels, annotations } = metadata;
  const draft: ObjectDraft = {
    apiVersion,
    kind,
    metadata: { name, namespace, ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}) },
    spec,
  };
  const after = await client.apply(draft);
  const same = before?.metadata.generation === after.metadata.generation && sameLabels(before.metadata, after.metadata);
  return said(name, before === null ? 'created' : same ? 'unchanged' : 'configured');
}

type Labelled = { labels: Record<string, string>; annotations: Record<string, string> };

function sameLabels(a: Labelled, b: Labelled): boolean {
  return (['labels', 'annotations'] as const).every((field) => {
    const [was, is] = [a[field], b[field]];
    const names = Object.keys(was);
    return names.length === Object.keys(is).length && names.every((name) => was[name] === is[name]);
  });
}

function absent(error: unknown): null {
  if (error instanceof ApiProblem && error.status === 404) return null;
  throw error;
}
