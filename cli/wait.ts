import { setTimeout as delay } from 'node:timers/promises';
import type { Client, ObjectKey, Run } from '../api/client.ts';
import { CliError, exitCodes } from './exit.ts';
import type { Cli, Output } from './io.ts';
import { createProgress, type WatchedRun } from './progress.ts';

/** Short runs are seen at once, long ones asked about less often. */
const firstPollMs = 100;
const longestPollMs = 1000;

/** Shows a run until it has ended. @throws CliError when `timeoutMs` is over first, the signal's reason when interrupted */
export async function waitForRun(
  cli: Cli,
  client: Client,
  key: ObjectKey,
  options: { timeoutMs: number | null; output: Output },
): Promise<Run> {
  const { io, signal } = cli;
  const progress = createProgress(io, options.output);
  const began = io.clock.monotonic();
  const told = new Set<string>();
  for (let pause = firstPollMs; ; pause = Math.min(pause * 1.2, longestPollMs)) {
    const run = await client.run(key);
    progress.show(watched(run));
    for (const step of run.steps) {
      if (step.reason !== 'WaitingForApproval' || told.has(step.name)) continue;
      told.add(step.name);
      progress.write(`to approve: windlass approve ${key.name} ${step.name} -n ${key.namespace}\n`);
    }
    if (isFinished(run.phase)) return run;
    const left = options.timeoutMs === null ? pause : options.timeoutMs - (io.clock.monotonic() - began);
    if (left <= 0) {
      throw new CliError(
        `run ${key.name} is still ${run.phase} after the time of --timeout; it goes on`,
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
