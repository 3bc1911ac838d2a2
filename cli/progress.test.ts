import { expect, test } from 'vitest';
import { systemClock } from '../controller/runtime/clock.ts';
import type { Io, Output } from './io.ts';
import { createProgress, type WatchedRun } from './progress.ts';

const esc = '\u001b';

function terminal(size: { columns: number; rows: number } | null): { io: Io; output: Output; read(): string } {
  let text = '';
  const output: Output = {
    write: (more) => (text += more),
    isTTY: size !== null,
    columns: size?.columns ?? 80,
    rows: size?.rows ?? 24,
  };
  const io = { env: { NO_COLOR: '1' }, clock: { ...systemClock, now: () => 1000 } } as unknown as Io;
  return { io, output, read: () => text };
}

/** What a terminal shows after the sequences this writes: up, erase below, text. */
function screen(written: string): string[] {
  const lines = [''];
  let at = 0;
  for (const part of written.split(new RegExp(`(${esc}\\[\\d*[AJ]|\\n)`))) {
    const move = new RegExp(`^${esc}\\[(\\d*)([AJ])$`).exec(part);
    if (move?.[2] === 'A') at -= Number(move[1]);
    else if (move) lines.splice(at, lines.length - at, '');
    else if (part === '\n') lines[++at] ??= '';
    else lines[at] = (lines[at] ?? '') + part;
  }
  return lines.slice(0, -1);
}

const run = (phases: string[]): WatchedRun => ({
  name: 'r',
  phase: 'Running',
  startedAt: 0,
  finishedAt: null,
  steps: phases.map((phase, i) => ({
    name: `s${i}`,
    phase,
    reason: null,
    error: phase === 'Failed' ? 'exit code 3' : null,
    attempts: 1,
    startedAt: phase === 'Pending' ? null : 0,
    finishedAt: phase === 'Pending' || phase === 'Running' ? null : 500,
  })),
});

test('on a terminal the list is redrawn in place, and output scrolls above it', () => {
  const { io, output, read } = terminal({ columns: 80, rows: 24 });
  const progress = createProgress(io, output);
  progress.show(run(['Running', 'Pending']));
  progress.write('s0 | hello\n');
  progress.show(run(['Succeeded', 'Failed']));
  expect(screen(read())).toEqual(['s0 | hello', 's0   Succeeded   500ms', 's1   Failed      500ms   exit code 3']);
});

test('nothing is written when nothing changed', () => {
  const { io, output, read } = terminal({ columns: 80, rows: 24 });
  const progress = createProgress(io, output);
  progress.show(run(['Running']));
  const before = read();
  progress.show(run(['Running']));
  expect(read()).toBe(before);
});

test('a list longer than the screen, or a line longer than it is wide, is cut', () => {
  const { io, output, read } = terminal({ columns: 20, rows: 8 });
  const progress = createProgress(io, output);
  const phases = [...Array<string>(20).fill('Succeeded'), 'Running', ...Array<string>(20).fill('Pending')];
  progress.show(run(phases));
  const shown = screen(read());
  expect(shown).toHaveLength(5);
  expect(shown.join('\n')).toContain('s20');
  for (const line of shown) expect(line.length).toBeLessThan(20);
});

test('piped, there is one line for each change', () => {
  const { io, output, read } = terminal(null);
  const progress = createProgress(io, output);
  progress.show(run(['Running', 'Pending']));
  progress.show(run(['Running', 'Pending']));
  progress.show(run(['Failed', 'Skipped']));
  const lines = read().replace(/^\d\d:\d\d:\d\d /gm, '');
  expect(lines).toBe('s0 Running 1s\ns0 Failed 500ms exit code 3\ns1 Skipped 500ms\n');
});
