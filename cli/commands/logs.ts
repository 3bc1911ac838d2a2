import { Command, InvalidArgumentError } from 'commander';
import type { Client, ObjectKey } from '../../api/client.ts';
import { connect, type ServerOptions } from '../connection.ts';
import { codeOfSignal, usageError } from '../exit.ts';
import type { Cli, Output } from '../io.ts';
import { namespaceOption } from '../options.ts';
import { findRun } from '../namespaces.ts';
import { printable } from '../output/text.ts';
import { createLogWriter, type LogWriter } from '../output/logs.ts';

interface LogsOptions extends ServerOptions {
  namespace?: string;
  follow?: boolean;
  attempt?: number;
}

export function logsCommand(cli: Cli): Command {
  return new Command('logs')
    .summary('print the output of steps')
    .description(
      'Prints the output of a run, each line after the name of its step, or of one step alone, all attempts in order.',
    )
    .argument('<run>', 'the run')
    .argument('[step]', 'only this step')
    .addOption(namespaceOption('where the run is; needed only when several namespaces have one of this name'))
    .option('-f, --follow', 'go on as output grows, until the run (the step) has ended')
    .option('--attempt <number>', 'only this attempt of the step', readAttempt)
    .action(async (run: string, step: string | undefined, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<LogsOptions>();
      if (options.attempt !== undefined && step === undefined)
        throw usageError('--attempt belongs to a step: say which');
      const client = await connect(cli.io, options);
      const key = await findRun(client, run, options.namespace);
      const writer = createLogWriter(cli.io.stdout, { prefix: step === undefined, raw: !cli.io.stdout.isTTY });
      if (options.follow) await follow(cli, client, key, step, options.attempt, writer);
      else await print(cli, client, key, step, options.attempt, writer, cli.io.stderr);
    });
}

function readAttempt(text: string): number {
  const attempt = Number(text);
  if (!Number.isInteger(attempt) || attempt < 1) throw new InvalidArgumentError('It must be a whole number from 1 up.');
  return attempt;
}

async function follow(
  cli: Cli,
  client: Client,
  key: ObjectKey,
  step: string | undefined,
  attempt: number | undefined,
  writer: LogWriter,
): Promise<void> {
  const only = { ...(step === undefined ? {} : { step }), ...(attempt === undefined ? {} : { attempt }) };
  let printed = false;
  for await (const event of client.followLogs(key, { ...only, signal: cli.signal })) {
    if (event.event !== 'log') continue;
    printed = true;
    for (const { text } of event.lines) writer.write(event.step, event.attempt, text);
  }
  writer.end();
  if (cli.signal.aborted) cli.exitCode = codeOfSignal(cli.signal);
  else if (!printed) await explainSilence(cli, client, key);
}

/** A run that failed before any step began has no output to say why. */
async function explainSilence({ io }: Cli, client: Client, key: ObjectKey): Promise<void> {
  const run = await client.run(key);
  if (run.error !== null) io.stderr.write(`run ${key.name} ${run.phase}: ${printable(run.error.message)}\n`);
}

async function print(
  cli: Cli,
  client: Client,
  key: ObjectKey,
  only: string | undefined,
  attempt: number | undefined,
  writer: LogWriter,
  notes: Output,
): Promise<void> {
  const { items } = await client.steps(key);
  const steps = only === undefined ? items.filter((s) => s.attempts.length > 0) : items.filter((s) => s.name === only);
  // The server says what there is instead.
  if (only !== undefined && steps.length === 0) await client.stepLogs(key, only);
  for (const step of steps.toSorted((a, b) => (a.startedAt ?? '').localeCompare(b.startedAt ?? ''))) {
    const attempts = attempt === undefined ? step.attempts.map((a) => a.number) : [attempt];
    for (const number of attempts) {
      if (attempts.length > 1 && only !== undefined) notes.write(`attempt ${number}:\n`);
      for (let position = 0; !cli.signal.aborted; ) {
        const page = await client.stepLogs(key, step.name, { attempt: number, position });
        if (page.lines.length === 0) break;
        for (const { text } of page.lines) writer.write(step.name, number, text);
        position = page.next;
      }
      writer.end();
    }
  }
}
