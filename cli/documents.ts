import { readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { formatDiagnostic, type Diagnostic, sortDiagnostics } from '../controller/core/diagnostic.ts';
import { checkFile } from '../controller/core/lint/index.ts';
import type { ParsedDocument } from '../controller/core/parse/documents.ts';
import { CliError, exitCodes } from './exit.ts';
import type { Io } from './io.ts';

/** Name of standard input in diagnostics. */
const stdinName = 'stdin';

/**
 * Every object of the given files: a file, all YAML files below a folder, or `-` for standard input; checked as the
 * controller would. @throws CliError with all diagnostics when one is an error, or when there is no object at all
 */
export async function readObjects(io: Io, paths: readonly string[]): Promise<ParsedDocument[]> {
  const documents: ParsedDocument[] = [];
  const diagnostics: Diagnostic[] = [];
  for (const path of paths) {
    for (const { file, bytes, named } of await readPath(io, path)) {
      const checked = checkFile(file, bytes, { named });
      documents.push(...checked.documents);
      diagnostics.push(...checked.diagnostics);
    }
  }
  const errors = diagnostics.filter((d) => d.severity === 'error');
  if (errors.length > 0) {
    const lines = sortDiagnostics(errors).map((d) => `\n  ${formatDiagnostic(d)}`);
    throw new CliError(`nothing was done, as there are mistakes:${lines.join('')}`, exitCodes.failed);
  }
  if (documents.length === 0) {
    throw new CliError(`there is no Windlass object in ${paths.join(', ')}`, exitCodes.notFound);
  }
  return documents;
}

async function readPath(io: Io, path: string): Promise<{ file: string; bytes: Uint8Array; named: boolean }[]> {
  if (path === '-') return [{ file: stdinName, bytes: await io.readStdin(), named: true }];
  const full = resolve(io.cwd, path);
  try {
    if (!(await stat(full)).isDirectory()) return [{ file: path, bytes: await readFile(full), named: true }];
    const names = (await readdir(full, { recursive: true })).filter((name) => /\.ya?ml$/.test(name)).sort();
    return await Promise.all(
      names.map(async (name) => ({ file: join(path, name), bytes: await readFile(join(full, name)), named: false })),
    );
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new CliError(`there is no file ${path}`, exitCodes.notFound, { cause });
    throw new CliError(`${path} cannot be read: ${message}`, exitCodes.failed, { cause });
  }
}
