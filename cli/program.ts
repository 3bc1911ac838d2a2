import { Command } from 'commander';
import { applyCommand } from './commands/apply.ts';
import { approveCommand, rejectCommand } from './commands/approve.ts';
import { artifactCommand } from './commands/artifact.ts';
import { cacheCommand } from './commands/cache.ts';
import { cancelCommand } from './commands/cancel.ts';
import { completionCommand } from './commands/completion.ts';
import { controllerCommand } from './commands/controller.ts';
import { discardCommand, redriveCommand } from './commands/dead-letters.ts';
import { deleteCommand } from './commands/delete.ts';
import { describeCommand } from './commands/describe.ts';
import { getCommand } from './commands/get.ts';
import { lintCommand } from './commands/lint.ts';
import { logsCommand } from './commands/logs.ts';
import { pauseCommand, resumeCommand } from './commands/pause.ts';
import { promoteCommand } from './commands/promote.ts';
import { replayCommand, retryCommand } from './commands/retry.ts';
import { runCommand } from './commands/run.ts';
import { upCommand } from './commands/up.ts';
import { versionCommand } from './commands/version.ts';
import { exitCodeMeanings } from './exit.ts';
import type { Cli } from './io.ts';
import { version } from './version.ts';

/** In the order of --help: to begin with, to look, to run, to promote, and the rest. */
const commands = [
  upCommand,
  lintCommand,
  applyCommand,
  deleteCommand,
  getCommand,
  describeCommand,
  runCommand,
  logsCommand,
  artifactCommand,
  cancelCommand,
  pauseCommand,
  resumeCommand,
  retryCommand,
  replayCommand,
  redriveCommand,
  discardCommand,
  cacheCommand,
  promoteCommand,
  approveCommand,
  rejectCommand,
  controllerCommand,
  versionCommand,
  completionCommand,
];

/** The whole command tree: what --help, completion and docs/reference/cli.md are made from. */
export function buildProgram(cli: Cli): Command {
  const program = new Command('windlass')
    .description('Workflows as YAML: promoted from a merge to prod, run as steps, recorded in Postgres.')
    .option(
      '--server <url>',
      'the controller to speak to; default $WINDLASS_SERVER, else that of the nearest .windlass/ upward. ' +
        'Its token is $WINDLASS_TOKEN, or that of the .windlass/',
    )
    .option(
      '--context <name>',
      'the cluster of this context of the kubeconfig. Without it and --server, and with no .windlass/, that of $KUBECONFIG',
    )
    .option('--kubeconfig <file>', 'the kubeconfig; default $KUBECONFIG, else ~/.kube/config')
    .option(
      '--controller-namespace <name>',
      'in a cluster: where the controller is installed, to read history by; default $WINDLASS_NAMESPACE, else "windlass"',
    )
    .option(
      '--project <namespace>',
      'in a cluster: where sources, environments and promotions are; default: the only such namespace that you may see',
    )
    .version(version, '-V, --version', 'print the version of this program')
    .addHelpText('after', `\n${exitCodeHelp()}`)
    .helpCommand(false);
  for (const make of commands) program.addCommand(make(cli));
  prepare(program, cli);
  return program;
}

/** Streams and exits are the caller's matter, for every command of the tree. */
function prepare(command: Command, cli: Cli): void {
  const { io } = cli;
  command
    .exitOverride()
    .showHelpAfterError('(see --help)')
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => (io.stdout.isTTY ? io.stdout.columns : 100),
      getErrHelpWidth: () => (io.stderr.isTTY ? io.stderr.columns : 100),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  for (const below of command.commands) prepare(below, cli);
}

function exitCodeHelp(): string {
  return `Exit codes:\n${exitCodeMeanings.map(([code, meaning]) => `  ${String(code).padEnd(4)} ${meaning}\n`).join('')}`;
}
