import type { CompletedCommand, CompletedFlag } from './tree.ts';

/** A completion script for zsh, to be sourced or put into a folder of $fpath as _windlass. */
export function zshCompletion(program: readonly CompletedFlag[], commands: readonly CompletedCommand[]): string {
  const list = commands.map(({ name, summary }) => `        ${quote(`${name}:${summary.replaceAll(':', '\\:')}`)}\n`);
  const cases = commands.map(({ name, flags, words }) => {
    const specs = [
      ...flags.map(flagSpec),
      words.length > 0 ? quote(`1:what:(${words.join(' ')})`) : quote('*:file:_files'),
    ];
    return `        ${name})\n          _arguments ${specs.join(' \\\n            ')}\n          ;;\n`;
  });
  return `#compdef windlass
# zsh completion of windlass; in ~/.zshrc, after compinit: source <(windlass completion zsh)
_windlass() {
  local context state line
  typeset -A opt_args
  _arguments -C ${program.map(flagSpec).join(' \\\n    ')} \\
    '1: :->command' '*:: :->arguments'
  case $state in
    command)
      local -a commands
      commands=(
${list.join('')}      )
      _describe command commands
      ;;
    arguments)
      case $words[1] in
${cases.join('')}      esac
      ;;
  esac
}
if [[ $funcstack[1] == _windlass ]]; then _windlass "$@"; else compdef _windlass windlass; fi
`;
}

function flagSpec({ short, long, description, value }: CompletedFlag): string {
  const text = `[${description.replace(/[[\]:\\]/g, '\\$&')}]${valueSpec(value)}`;
  if (short === null) return quote(long + text);
  return `${quote(`(${short} ${long})`)}{${short},${long}}${quote(text)}`;
}

function valueSpec(value: CompletedFlag['value']): string {
  if (value === 'none') return '';
  if (value === 'any') return ':value:';
  return value === 'file' ? ':file:_files' : `:value:(${value.join(' ')})`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
