import { Command, Option } from 'commander';
import { type Diagnostic, formatDiagnostic } from '../../controller/core/diagnostic.ts';
import { CliError, exitCodes } from '../exit.ts';
import type { Cli } from '../io.ts';
import { printable } from '../output/text.ts';

interface LintOptions {
  path: string;
  output: 'text' | 'json';
}

export function lintCommand(cli: Cli): Command {
  return new Command('lint')
    .summary('check files, without a controller')
    .description(
      'Checks workflows and other objects in files, as the controller would, and prints `file:line:column: severity: message [rule]`. ' +
        'A folder with workflows/ or environments/ in it is read as a repository is; any other folder whole. Ends with 1 when there is an error.',
    )
    .argument('[paths...]', 'files and folders; default: the working directory')
    .option('--path <folder>', 'folder of the workflows in a repository', 'workflows')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'))
    .action(async (paths: string[], options: LintOptions) => {
      const { io } = cli;
      // Loaded only now, as it brings the expression language along.
      const { readWorkingCopy } = await import('../../controller/working-copy.ts');
      const { uniqueDiagnostics } = await import('../../controller/core/parse/documents.ts');
      const diagnostics: Diagnostic[] = [];
      for (const path of paths.length > 0 ? paths : ['.']) {
        const read = await readWorkingCopy(path, { cwd: io.cwd, path: options.path }).catch(unreadable(path));
        if (read.objects === 0 && read.diagnostics.length === 0) {
          throw new CliError(`there is no Windlass object in ${path}`, exitCodes.notFound);
        }
        diagnostics.push(...read.diagnostics);
      }
      const found = uniqueDiagnostics(diagnostics);
      const errors = found.filter((d) => d.severity === 'error').length;
      if (options.output === 'json') io.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
      else {
        for (const diagnostic of found) io.stdout.write(`${printable(formatDiagnostic(diagnostic))}\n`);
        io.stderr.write(`${count(errors, 'error')}, ${count(found.length - errors, 'warning')}\n`);
      }
      cli.exitCode = errors > 0 ? exitCodes.failed : exitCodes.ok;
    });
}

function unreadable(path: string) {
  return (cause: NodeJS.ErrnoException): never => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') {
      throw new CliError(`there is no file ${path}`, exitCodes.notFound, { cause });
    }
    throw cause;
  };
}

function count(n: number, noun: string): string {
  return `${n === 0 ? 'no' : n} ${noun}${n === 1 ? '' : 's'}`;
}
