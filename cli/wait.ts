import { setTimeout as delay } from 'node:timers/promises';
import { Option } from 'commander';
import type { Client, ObjectKey, Run } from '../api/client.ts';
import { CliError, exitCodes, usageError } from './exit.ts';
import type { Cli, Output } from './io.ts';
import { readDuration } from './options.ts';
import { type Format, formatData } from './output/format.ts';
import { describeEnd } from './output/run-end.ts';
import { createProgress, type WatchedRun } from './progress.ts';

/** Short runs are seen at once, long ones asked about less often. */
const firstPollMs = 100;
const longestPollMs = 1000;

/** What commands that start a run take. */
export interface WaitOptions {
  wait?: boolean;
  timeout?: number;
}

export function waitOption(): Option {
  return new Option('-w, --wait', 'show its steps until it has ended');
}

export function timeoutOption(): Option {
  return new Option(
    '--timeout <time>',
    'with --wait: give up waiting after this time, such as 10m; the run goes on',
  ).argParser(readDuration);
}

/** @throws CliError for a `--timeout` of which nothing would come */
export function demandWait({ wait, timeout }: WaitOptions): void {
  if (timeout !== undefined && !wait) throw usageError('--timeout needs --wait');
}

/**
 * Does what `--wait` asks for: shows the run until it has ended and prints how; the exit code says so, too.
 * @throws what `waitForRun` throws
 */
export async function showUntilEnd(
  cli: Cli,
  client: Client,
  key: ObjectKey,
  { format, timeoutMs, execution }: { format: Format; timeoutMs: number | null; execution: number },
): Promise<void> {
  const { io } = cli;
  const table = format === 'table';
  if (table) io.stdout.write(`run ${key.name} in ${key.namespace}\n`);
  try {
    const output = table ? io.stdout : io.stderr;
    const run = await waitForRun(cli, client, key, { timeoutMs, output, execution });
    io.stdout.write(format === 'table' ? describeEnd(run) : formatData(run, format));
    cli.exitCode = hasEndedWell(run.phase) ? exitCodes.ok : exitCodes.failed;
  } catch (error) {
    if (cli.signal.aborted) {
      io.stderr.write(`run ${key.name} goes on; end it with: windlass cancel ${key.name} -n ${key.namespace}\n`);
    }
    throw error;
  }
}

/**
 * Shows a run until it has ended. What is there of executions before `execution` is not shown: a retry is asked for a moment before
 * it begins. @throws CliError when `timeoutMs` is over first, the signal's reason when interrupted
 */
async function waitForRun(
  cli: Cli,
  client: Client,
  key: ObjectKey,
  options: { timeoutMs: number | null; output: Output; execution: number },
): Promise<Run> {
  const { io, signal } = cli;
  const progress = createProgress(io, options.output);
  const began = io.clock.monotonic();
  const told = new Set<string>();
  for (let pause = firstPollMs; ; pause = Math.min(pause * 1.2, longestPollMs)) {
    const run = await client.run(key);
    const begun = run.execution >= options.execution;
    if (begun) progress.show(watched(run));
    for (const step of begun ? run.steps : []) {
      if (step.reason !== 'WaitingForApproval' || told.has(step.name)) continue;
      told.add(step.name);
      progress.write(`to approve: windlass approve ${key.name} ${step.name} -n ${key.namespace}\n`);
    }
    if (begun && isFinished(run.phase)) return run;
    const left = options.timeoutMs === null ? pause : options.timeoutMs - (io.clock.monotonic() - began);
    if (left <= 0) {
      throw new CliError(
        `run ${key.name} is still ${begun ? run.phase : 'to begin again'} after the time of --timeout; it goes on`,
        exitCodes.timedOut,
      );
    }
    await delay(Math.min(pause, left), undefined, { signal });
  }
}

export function isFinished(phase: string): boolean {
  return hasEndedWell(phase) || phase === 'Failed' || phase === 'Cancelled' || phase === 'TimedOut';
}

/** What the exit code says of a phase. Degraded is a success. */
export function hasEndedWell(phase: string): boolean {
  return phase === 'Succeeded' || phase === 'Degraded';
}

function watched(run: Run): WatchedRun {
  return {
    name: run.name,
    phase: run.phase,
    startedAt: instant(run.startedAt),
    finishedAt: instant(run.finishedAt),
    steps: run.steps.map((step) => ({
      name: step.name,
      phase: step.phase,
      reason: step.reason,
      error: step.error?.message ?? null,
      attempts: step.attempts.length,
      startedAt: instant(step.startedAt),
      finishedAt: instant(step.finishedAt),
    })),
  };
}

function instant(at: string | null): number | null {
  return at === null ? null : Date.parse(at);
}
