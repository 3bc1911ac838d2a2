import type { Command } from 'commander';
import { exitCodeMeanings } from './exit.ts';
import type { Io, Output } from './io.ts';
import { buildProgram } from './program.ts';

/** docs/reference/cli.md, from the command tree. */
export function cliReference(): string {
  const program = buildProgram({ io: inertIo, signal: new AbortController().signal, exitCode: 0 });
  const help = program.createHelp();
  return [
    '# Command line\n\nGenerated from the commands by `npm run generate`; do not edit.\n',
    `${program.description()}\n`,
    `\`\`\`\n${help.commandUsage(program)}\n\`\`\`\n`,
    `Options that go with every command:\n\n${optionTable(program)}`,
    `## Exit codes\n\n| code | meaning |\n|---|---|\n${exitCodeMeanings.map(([code, meaning]) => `| ${code} | ${cell(meaning)} |\n`).join('')}`,
    fixedText,
    ...program.commands.flatMap((command) => [command, ...command.commands]).map(commandSection),
  ].join('\n');
}

const fixedText = `## Output

\`-o table\` is for people: columns are aligned, nothing is coloured when it is piped or \`NO_COLOR\` is set, and columns may be
added. \`-o json\` and \`-o yaml\` are for programs: the API's answer, a list as \`{"items": […]}\`; with \`--watch\` one JSON line or
YAML document for each thing that changed. Messages go to standard error.

## Which controller

\`--server\`; else the cluster of \`--context\` or \`--kubeconfig\`; else \`$WINDLASS_SERVER\`; else the running controller whose
\`.windlass/\` is nearest, from the working directory upward; else the cluster of \`$KUBECONFIG\`. \`~/.kube/config\` is used with
\`--context\` only. The token of a server is \`$WINDLASS_TOKEN\`, else the one in that \`.windlass/\`, which is sent to that
controller only. It is never printed.

## Which namespace

A run is found by its name; \`-n\` is needed only when several namespaces have one of that name. \`run WORKFLOW\` without \`-n\` takes
the only namespace that has the workflow, or that of the one environment that comes after no other (such as dev). \`get\` without
\`-n\` shows every namespace. In a cluster \`apply\` and \`delete\` take the context's namespace, as kubectl does; for sources,
environments and promotions \`--project\`, when it is given, comes before it and before \`-n\`.
`;

function commandSection(command: Command): string {
  const help = command.createHelp();
  const parts = [
    `## windlass ${fullName(command)}\n`,
    `${command.description()}\n`,
    `\`\`\`\nwindlass ${fullName(command)} ${command.usage()}\n\`\`\`\n`,
  ];
  const rows = help
    .visibleArguments(command)
    .map((a) => `| \`${a.name()}\` | ${cell(help.argumentDescription(a))} |\n`);
  if (rows.length > 0) parts.push(`| argument | |\n|---|---|\n${rows.join('')}`);
  return [...parts, optionTable(command)].join('\n');
}

/** `artifact download` for a command of a command. */
function fullName(command: Command): string {
  const { parent } = command;
  return parent?.parent ? `${fullName(parent)} ${command.name()}` : command.name();
}

function optionTable(command: Command): string {
  const help = command.createHelp();
  const rows = help.visibleOptions(command).map((o) => `| \`${o.flags}\` | ${cell(help.optionDescription(o))} |\n`);
  return `| option | |\n|---|---|\n${rows.join('')}`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replace(/<([a-z-]+)>/g, '`<$1>`');
}

const nowhere: Output = { write() {}, isTTY: false, columns: 80, rows: 24 };
const nothing = () => () => {};
/** Describing the commands uses nothing of the process. */
const inertIo: Io = {
  stdout: nowhere,
  stderr: nowhere,
  writeBytes: () => Promise.resolve(),
  readStdin: () => Promise.resolve(new Uint8Array()),
  env: {},
  cwd: '/',
  clock: { now: () => 0, monotonic: () => 0, at: () => () => {} },
  onInterrupt: nothing,
  onStdoutClosed: nothing,
};
