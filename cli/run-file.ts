import { join, resolve } from 'node:path';
import type { JsonObject } from '../crds/json.ts';
import { InputsRefused, type LocalRun, runLocally } from '../controller/start-local.ts';
import { readWorkingCopy } from '../controller/working-copy.ts';
import { formatDiagnostic } from '../controller/core/diagnostic.ts';
import type { Snapshot } from '../controller/core/snapshot.ts';
import type { WorkflowSpec } from '../crds/workflow.ts';
import { dataFolder } from './connection.ts';
import { CliError, codeOfSignal, exitCodes, usageError } from './exit.ts';
import { readInputs, readValue, splitPair } from './inputs.ts';
import type { Cli } from './io.ts';
import { type Format, formatData } from './output/format.ts';
import { createLogWriter } from './output/logs.ts';
import { describeEnd } from './output/run-end.ts';
import { createProgress, type WatchedRun } from './progress.ts';
import { hasEndedWell } from './wait.ts';

export interface FileRunOptions {
  namespace?: string;
  input?: string[];
  inputFile?: string;
  value?: string[];
  approve?: boolean;
  output: Format;
}

/** Runs the workflow of a file in this process and shows it; the exit code says how it ended. */
export async function runFile(cli: Cli, file: string, options: FileRunOptions): Promise<number> {
  const { io } = cli;
  const { snapshot, blobs } = await readWorkflowFile(cli, file);
  const spec = snapshot.spec as unknown as WorkflowSpec;
  const asking = [...spec.steps, ...(spec.finally ?? [])].filter((step) => step.approval !== undefined);
  if (asking.length > 0 && !options.approve) {
    throw usageError(
      `${asking.map((s) => s.name).join(', ')} asks for approval, and here nobody can give it; add --approve`,
    );
  }
  const inputs = await readInputs(io, options, (spec.inputs ?? {}) as JsonObject);
  const values = Object.fromEntries(
    (options.value ?? []).map((pair) => {
      const [name, text] = splitPair('--value', pair);
      return [name, readValue(`--value ${name}`, text, undefined)];
    }),
  );
  const table = options.output === 'table';
  const progress = createProgress(io, table ? io.stdout : io.stderr);
  let interrupted = false;
  const log = createLogWriter({ write: (text) => progress.write(text) }, { prefix: true, raw: false });
  const began = io.clock.now();
  const end = new AbortController();
  const release = io.onInterrupt(() => {
    if (interrupted) end.abort();
    else progress.write('cancelling; Ctrl-C again ends at once\n');
    interrupted = true;
  });
  const ended = await runLocally({
    snapshot,
    blobs,
    namespace: options.namespace ?? 'default',
    inputs,
    values,
    approve: options.approve ?? false,
    secretsDirectory: resolve(io.cwd, join(dataFolder, 'secrets')),
    env: io.env,
    clock: io.clock,
    onChange(run) {
      if (run.steps.every(({ row }) => row === null || row.finishedAt !== null)) log.end();
      progress.show(watched(run));
    },
    onOutput: (step, attempt, text) => log.write(step, attempt, text),
    cancel: cli.signal,
    end: end.signal,
    onLeft(attempts, directory) {
      const names = attempts.map(({ unit, attempt }) => `step ${unit}, attempt ${attempt}`).join('; ');
      io.stderr.write(`windlass: not seen to end, and left: ${names}; what it has is in ${directory}\n`);
    },
  }).catch((error: unknown) => {
    throw error instanceof InputsRefused ? new CliError(`inputs: ${error.message}`, exitCodes.usage) : error;
  });
  release();
  const { run } = ended;
  const result = { ...run, durationMs: (run.finishedAt ?? began) - (run.startedAt ?? began) };
  io.stdout.write(options.output === 'table' ? describeEnd(result) : formatData(resultOf(ended), options.output));
  if (cli.signal.aborted) return codeOfSignal(cli.signal);
  return hasEndedWell(run.phase) ? exitCodes.ok : exitCodes.failed;
}

async function readWorkflowFile(cli: Cli, file: string) {
  const { io } = cli;
  const copy = await readWorkingCopy(file, { cwd: io.cwd, path: 'workflows' }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') throw new CliError(`there is no file ${file}`, exitCodes.notFound, { cause });
    throw cause;
  });
  for (const diagnostic of copy.diagnostics) io.stderr.write(`${formatDiagnostic(diagnostic)}\n`);
  if (copy.diagnostics.some((d) => d.severity === 'error')) {
    throw new CliError(`${file} cannot be run as it is`, exitCodes.failed);
  }
  const [snapshot, ...others] = copy.snapshots;
  if (snapshot === undefined) throw new CliError(`there is no workflow in ${file}`, exitCodes.notFound);
  if (others.length > 0) {
    const names = copy.snapshots.map((s: Snapshot) => s.workflow).join(', ');
    throw usageError(`there are several workflows in ${file} (${names}); give a file with one`);
  }
  return { snapshot, blobs: copy.blobs };
}

function watched({ run, steps }: LocalRun): WatchedRun {
  return {
    name: run.name,
    phase: run.phase,
    startedAt: run.startedAt,
    finishedAt: run.finishedAt,
    steps: steps.map(({ name, row }) => ({
      name,
      phase: row?.phase ?? 'Pending',
      reason: row?.reason ?? null,
      error: row?.error?.message ?? null,
      attempts: row?.attempts ?? 0,
      startedAt: row?.startedAt ?? null,
      finishedAt: row?.finishedAt ?? null,
    })),
  };
}

/** The form of the API's Run, as far as there is one here. */
function resultOf({ run, steps }: LocalRun): JsonObject {
  return {
    name: run.name,
    workflow: run.workflow,
    digest: run.digest,
    phase: run.phase,
    startedAt: time(run.startedAt),
    finishedAt: time(run.finishedAt),
    error: run.error === null ? null : { ...run.error },
    inputs: run.inputs,
    outputs: run.outputs,
    steps: steps.map(({ name, row }) => ({
      name,
      phase: row?.phase ?? 'Pending',
      reason: row?.reason ?? null,
      startedAt: time(row?.startedAt ?? null),
      finishedAt: time(row?.finishedAt ?? null),
      outputs: row?.outputs ?? null,
      error: row?.error ? { ...row.error } : null,
    })),
  };
}

function time(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
