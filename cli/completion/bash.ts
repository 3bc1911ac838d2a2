import type { CompletedCommand, CompletedFlag } from './tree.ts';

/** A completion script for bash 3.2 and later, without the bash-completion package. */
export function bashCompletion(program: readonly CompletedFlag[], commands: readonly CompletedCommand[]): string {
  const cases = commands.map(
    ({ name, flags, words }) =>
      `    ${name}) flags='${spellings(flags)}' words='${words.join(' ')}' valued='${valued(flags)}' ;;\n`,
  );
  const values = commands.flatMap(({ name, flags }) =>
    flags.flatMap(({ short, long, value }) => {
      if (typeof value === 'string') return [];
      const patterns = [short, long].filter((flag) => flag !== null).map((flag) => `'${name} ${flag}'`);
      return [`    ${patterns.join(' | ')}) COMPREPLY=($(compgen -W '${value.join(' ')}' -- "$cur")); return ;;\n`];
    }),
  );
  return `# bash completion of windlass; in ~/.bashrc: source <(windlass completion bash)
_windlass() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}
  local command='' flags='${spellings(program)}' words='${commands.map((c) => c.name).join(' ')}' valued='${valued(program)}'
  local i given=0
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      --server) i=$((i + 1)) ;;
      -*) ;;
      *) command=\${COMP_WORDS[i]}; break ;;
    esac
  done
  case $command in
${cases.join('')}  esac
  case "$command $prev" in
${values.join('')}  esac
  # after any other flag that takes a value: files
  case " $valued --server " in
    *" $prev "*) return ;;
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    return
  fi
  if [[ -n $command ]]; then
    for ((i = i + 1; i < COMP_CWORD; i++)); do
      case " $valued --server " in
        *" \${COMP_WORDS[i]} "*) i=$((i + 1)) ;;
        *) [[ \${COMP_WORDS[i]} == -* ]] || given=1 ;;
      esac
    done
  fi
  if [[ $given == 0 ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
  fi
}
complete -o default -F _windlass windlass
`;
}

function spellings(flags: readonly CompletedFlag[]): string {
  return flags.flatMap(({ short, long }) => (short === null ? [long] : [short, long])).join(' ');
}

function valued(flags: readonly CompletedFlag[]): string {
  return spellings(flags.filter(({ value }) => value !== 'none'));
}
