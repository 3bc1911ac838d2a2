import type { Io, Output } from './io.ts';
import { formatColumns } from './output/table.ts';
import { createPaint, formatSpan, oneLine, printable } from './output/text.ts';

/** A run as it is watched, from the API or from this process. */
export interface WatchedRun {
  name: string;
  phase: string;
  startedAt: number | null;
  finishedAt: number | null;
  steps: WatchedStep[];
}

export interface WatchedStep {
  name: string;
  phase: string;
  reason: string | null;
  error: string | null;
  attempts: number;
  startedAt: number | null;
  finishedAt: number | null;
}

/** Shows a run as it goes on: a list that is redrawn in place on a terminal, else a line for each change. */
export interface Progress {
  show(run: WatchedRun): void;
  /** A line of output from elsewhere, above the list. */
  write(text: string): void;
}

export function createProgress(io: Io, output: Output): Progress {
  return output.isTTY && io.env['TERM'] !== 'dumb' ? createList(io, output) : createLines(io, output);
}

function createLines(io: Io, output: Output): Progress {
  const said = new Map<string, string>();
  return {
    show(run) {
      for (const step of run.steps) {
        const word = `${step.phase} ${step.attempts}`;
        if (said.get(step.name) === word || step.phase === 'Pending') continue;
        said.set(step.name, word);
        output.write(
          `${new Date(io.clock.now()).toTimeString().slice(0, 8)} ${describe(step, io.clock.now(), (p) => p)
            .join(' ')
            .trimEnd()}\n`,
        );
      }
    },
    write: (text) => output.write(text),
  };
}

function createList(io: Io, output: Output): Progress {
  const paint = createPaint(io, output);
  let drawn = '';
  let run: WatchedRun | null = null;

  function redraw(above: string): void {
    const now = io.clock.now();
    const shown = run === null ? [] : visible(run.steps, output.rows - 3);
    const rows = shown.map((step) => describe(step, now, paint));
    const text = formatColumns(rows)
      .split('\n')
      .map((line) => fit(line, output.columns))
      .join('\n');
    if (text === drawn && above === '') return;
    const height = drawn.split('\n').length - 1;
    output.write(`${height > 0 ? `\u001b[${height}A` : ''}\u001b[J${above}${text}`);
    drawn = text;
  }

  return {
    show(next) {
      run = next;
      redraw('');
    },
    write: (text) => redraw(text),
  };
}

function describe(step: WatchedStep, now: number, paint: (phase: string) => string): string[] {
  const span = step.startedAt === null ? '' : formatSpan((step.finishedAt ?? now) - step.startedAt);
  const attempts = step.attempts > 1 ? `attempt ${step.attempts}` : '';
  const reason = step.phase === 'Succeeded' ? null : step.reason;
  const why = step.phase === 'Waiting' ? (reason ?? step.error) : (step.error ?? reason);
  return [
    step.name,
    paint(step.phase),
    span,
    [attempts, why === null ? '' : oneLine(printable(why), 100)].filter(Boolean).join(', '),
  ];
}

/** When not all fit: what has begun last, and what comes next. */
function visible(steps: WatchedStep[], rows: number): WatchedStep[] {
  if (steps.length <= rows) return steps;
  const firstOpen = steps.findIndex((s) => s.finishedAt === null && s.phase !== 'Skipped');
  const start = Math.min(Math.max(0, firstOpen - Math.floor(rows / 2)), steps.length - rows);
  return steps.slice(firstOpen === -1 ? steps.length - rows : start).slice(0, rows);
}

/** A line that wraps would be two lines to climb. */
function fit(line: string, columns: number): string {
  let width = 0;
  // oxlint-disable-next-line no-control-regex -- colours have no width
  return line.replace(/(\u001b\[[0-9;]*m)|([\s\S])/gu, (all, escape: string | undefined) =>
    escape !== undefined ? escape : width++ < columns - 1 ? all : '',
  );
}
