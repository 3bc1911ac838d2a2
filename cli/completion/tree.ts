import type { Command, Option } from 'commander';
import { kinds } from '../../crds/kinds.ts';
import { resourceWords } from '../resources/index.ts';

/** What a shell needs to know of a command. */
export interface CompletedCommand {
  name: string;
  summary: string;
  flags: CompletedFlag[];
  /** What its first argument may be; empty when that is a name or a file. */
  words: readonly string[];
}

export interface CompletedFlag {
  /** `-n`, or null. */
  short: string | null;
  /** `--namespace`. */
  long: string;
  description: string;
  /** What comes after it: nothing, one of these words, a file, or anything. */
  value: 'none' | 'file' | 'any' | readonly string[];
}

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

const described = ['runs', 'workflows', 'environments', 'promotions', 'sources'];
const firstWords: Record<string, readonly string[]> = {
  get: resourceWords,
  describe: described,
  delete: Object.values(kinds).map((kind) => kind.plural),
  completion: shells,
};

export function completedCommands(program: Command): CompletedCommand[] {
  return program.commands.map((command) => ({
    name: command.name(),
    summary: command.summary(),
    flags: completedFlags(command),
    words: firstWords[command.name()] ?? command.commands.map((below) => below.name()),
  }));
}

/** Its own flags and --help. */
export function completedFlags(command: Command): CompletedFlag[] {
  return command.createHelp().visibleOptions(command).map(completedFlag);
}

function completedFlag(option: Option): CompletedFlag {
  const takesFile = /<(file|path|folder|path-or-url)>/.test(option.flags);
  const takesValue = option.required || option.optional;
  return {
    short: option.short ?? null,
    long: option.long ?? '',
    description: option.description,
    value: !takesValue ? 'none' : (option.argChoices ?? (takesFile ? 'file' : 'any')),
  };
}
