import type { CompletedCommand, CompletedFlag } from './tree.ts';

/** A completion script for fish, to be put into ~/.config/fish/completions/windlass.fish. */
export function fishCompletion(program: readonly CompletedFlag[], commands: readonly CompletedCommand[]): string {
  const lines = [
    '# fish completion of windlass; windlass completion fish > ~/.config/fish/completions/windlass.fish',
    ...program.map((flag) => `complete -c windlass ${flagSpec(flag)}`),
  ];
  for (const { name, summary, flags, words } of commands) {
    lines.push(`complete -c windlass -f -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`);
    const here = `complete -c windlass -n '__fish_seen_subcommand_from ${name}'`;
    if (words.length > 0) lines.push(`${here} -f -a ${quote(words.join(' '))}`);
    lines.push(...flags.map((flag) => `${here} ${flagSpec(flag)}`));
  }
  return `${lines.join('\n')}\n`;
}

function flagSpec({ short, long, description, value }: CompletedFlag): string {
  const name = `${short === null ? '' : `-s ${short.slice(1)} `}-l ${long.slice(2)}`;
  return `${name}${valueSpec(value)} -d ${quote(description)}`;
}

function valueSpec(value: CompletedFlag['value']): string {
  if (value === 'none') return '';
  if (value === 'any') return ' -x';
  return value === 'file' ? ' -r -F' : ` -x -a ${quote(value.join(' '))}`;
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
