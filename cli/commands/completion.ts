import { Argument, Command } from 'commander';
import { bashCompletion } from '../completion/bash.ts';
import { fishCompletion } from '../completion/fish.ts';
import { completedCommands, completedFlags, type Shell, shells } from '../completion/tree.ts';
import { zshCompletion } from '../completion/zsh.ts';
import type { Cli } from '../io.ts';

const scripts = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

export function completionCommand(cli: Cli): Command {
  return new Command('completion')
    .summary('print a completion script for a shell')
    .description(
      'Prints a script that completes commands, flags and kinds. bash: `source <(windlass completion bash)` in ~/.bashrc; zsh: the same with zsh in ~/.zshrc, after compinit; fish: write it to ~/.config/fish/completions/windlass.fish.',
    )
    .addArgument(new Argument('<shell>', 'which one').choices(shells))
    .action((shell: Shell, _: unknown, command: Command) => {
      const program = command.parent ?? command;
      cli.io.stdout.write(scripts[shell](completedFlags(program), completedCommands(program)));
    });
}
