import { CommanderError } from 'commander';
import { codeOfSignal, describeFailure, exitCodes } from './exit.ts';
import type { Cli, Io } from './io.ts';
import { buildProgram } from './program.ts';

/** Runs one command line. Never throws: what went wrong is a message on stderr and an exit code (see exit.ts). */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const abort = new AbortController();
  const stops = [
    io.onInterrupt(() => abort.abort(exitCodes.interrupted)),
    io.onStdoutClosed(() => abort.abort(exitCodes.ok)),
  ];
  const cli: Cli = { io, signal: abort.signal, exitCode: exitCodes.ok };
  try {
    await buildProgram(cli).parseAsync(withVersionOfReplay(argv), { from: 'user' });
    return cli.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (abort.signal.aborted) return codeOfSignal(abort.signal);
    const { message, exitCode } = describeFailure(error);
    io.stderr.write(`windlass: ${message}\n`);
    return exitCode;
  } finally {
    for (const stop of stops) stop();
  }
}

/** After `replay`, --version is the one to run; anywhere else it is the program's, which the parser would take it for here, too. */
function withVersionOfReplay(argv: readonly string[]): string[] {
  if (argv[0] !== 'replay') return [...argv];
  return argv.map((word) => word.replace(/^--version(?==|$)/, '--use-version'));
}
