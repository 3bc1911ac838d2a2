import { randomUUID } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { connect, type ServerOptions } from '../connection.ts';
import { CliError, exitCodes, usageError } from '../exit.ts';
import type { Cli } from '../io.ts';
import { findRun } from '../namespaces.ts';
import { namespaceOption } from '../options.ts';

interface DownloadOptions extends ServerOptions {
  namespace?: string;
  output?: string;
  item?: number;
}

export function artifactCommand(cli: Cli): Command {
  return new Command('artifact')
    .summary('download what a step has kept')
    .description('What the steps of a run have kept: `get artifacts RUN` lists it.')
    .addCommand(downloadCommand(cli))
    .helpCommand(false);
}

function downloadCommand(cli: Cli): Command {
  return new Command('download')
    .summary('write an artifact into a file')
    .description('Writes an artifact into a file: of a folder, its tar archive. The file appears when it is whole.')
    .argument('<run>', 'the run')
    .argument('<step>', 'the step that has kept it')
    .argument('<name>', 'its name')
    .addOption(namespaceOption('where the run is; needed only when several namespaces have one of this name'))
    .option(
      '-o, --output <path>',
      'the file, a folder to put it into, or - for standard output (default: named as it is)',
    )
    .option('--item <number>', 'of a forEach: which item, from 0', readItem)
    .action(async (run: string, step: string, name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<DownloadOptions>();
      await download(cli, { run, step, name }, options);
    });
}

function readItem(text: string): number {
  if (!/^[0-9]{1,4}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0 up.');
  return Number(text);
}

async function download(
  cli: Cli,
  { run, step, name }: { run: string; step: string; name: string },
  { namespace, output, item, ...server }: DownloadOptions,
): Promise<void> {
  const { io, signal } = cli;
  const client = await connect(io, server);
  const key = await findRun(client, run, namespace);
  const found = await client.artifact(key, step, name, { signal, ...(item === undefined ? {} : { item }) });
  if (output === '-') {
    for await (const chunk of found.content) await io.writeBytes(chunk);
    return;
  }
  const path = await placeFor(io.cwd, output, found.fileName ?? name).catch(async (error: unknown) => {
    await found.content.cancel();
    throw error;
  });
  const bytes = await save(found.content, path);
  io.stderr.write(`${bytes} bytes written to ${path}\n`);
}

async function placeFor(cwd: string, output: string | undefined, fileName: string): Promise<string> {
  const asked = resolve(cwd, output ?? '.');
  const stats = await stat(asked).catch(() => null);
  if (!stats?.isDirectory()) return asked;
  const path = join(asked, fileName);
  // Nobody has named this file: it may be anything.
  if ((await stat(path).catch(() => null)) !== null) throw usageError(`${path} is there already; name a file with -o`);
  return path;
}

async function save(content: AsyncIterable<Uint8Array>, path: string): Promise<number> {
  const there = await stat(path).catch(() => null);
  // A device or a pipe takes what is written to it, and must not give its place to a file.
  const direct = there !== null && !there.isFile();
  const unfinished = direct ? path : `${path}.${randomUUID().slice(0, 8)}.part`;
  let bytes = 0;
  try {
    const file = await open(unfinished, direct ? 'w' : 'wx');
    try {
      for await (const chunk of content) {
        await file.writeFile(chunk);
        bytes += chunk.byteLength;
      }
    } finally {
      await file.close();
    }
    if (!direct) await rename(unfinished, path);
  } catch (error) {
    if (!direct) await rm(unfinished, { force: true });
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    throw new CliError(`${path} cannot be written (${code})`, exitCodes.failed, { cause: error });
  }
  return bytes;
}
