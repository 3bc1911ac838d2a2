import { spawn } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Engine, startEngine } from './engine.ts';
import { type Figure, median } from './figures.ts';

const branches = 20;

/** 20 branches that each run `sleep 1`, from the creation of the run to its end. */
export async function parallelProcesses(databaseUrl: string | null): Promise<Figure> {
  const engine = await startEngine(databaseUrl);
  try {
    const steps = Array.from({ length: branches }, (_, i) => ({ name: `s${i}`, run: 'sleep 1' }));
    await engine.apply('parallel', { steps });
    await engine.apply('warm', { steps: [{ name: 'only', run: 'true' }] });
    await engine.run('warm', 5);
    const samples: number[] = [];
    for (let i = 0; i < 5; i++) {
      const begun = performance.now();
      const [run] = await engine.run('parallel', 1);
      if (run?.phase !== 'Succeeded') throw new Error(`the bench's run ended ${run?.phase}`);
      samples.push((performance.now() - begun) / 1000);
    }
    const values = { p50: median(samples), max: Math.max(...samples) };
    return {
      name: `20 parallel 1 s process branches, ${engine.store.driver}`,
      values,
      unit: 's',
      bar: 'p50 ≤1.3 s',
      met: values.p50 <= 1.3,
    };
  } finally {
    await engine.stop();
  }
}

const seconds = 5;
const perSecond = 10 * 1024 * 1024;
const lineBytes = 128;

/** Writes numbered lines at 10 MB/s: by the clock, so that who cannot follow makes it late. */
const writer = `
const { writeSync } = require('node:fs');
const [seconds, perSecond, lineBytes] = process.argv.slice(2).map(Number);
const total = seconds * perSecond / lineBytes;
const pause = new Int32Array(new SharedArrayBuffer(4));
const begun = performance.now();
for (let line = 0; line < total; ) {
  const due = Math.min(total, Math.ceil((performance.now() - begun) / 1000 * perSecond / lineBytes));
  let text = '';
  for (const to = Math.min(due, line + 512); line < to; line++) text += String(line).padStart(lineBytes - 1, '.') + '\\n';
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
  if (line >= due) Atomics.wait(pause, 0, 0, 5);
}
`;

/** 10 MB/s for 5 s, by itself into a file and as a step in turn: how much longer it takes, and what of its log is kept. */
export async function processOutput(databaseUrl: string | null): Promise<Figure> {
  const engine = await startEngine(databaseUrl);
  const directory = await mkdtemp(join(tmpdir(), 'windlass-bench-'));
  try {
    const script = join(directory, 'writer.cjs');
    await writeFile(script, writer);
    const command = `${process.execPath} ${script} ${seconds} ${perSecond} ${lineBytes}`;
    await engine.apply('write', { steps: [{ name: 'only', run: command }] });
    const slowdowns: number[] = [];
    let stored = 0;
    for (let i = 0; i < 3; i++) {
      const alone = await bare(command, join(directory, 'log'));
      const [run] = await engine.run('write', 1);
      const [attempt] = await engine.store.runs.attempts(run?.id ?? '');
      if (run?.phase !== 'Succeeded' || !attempt?.finishedAt) throw new Error(`the bench's run ended ${run?.phase}`);
      slowdowns.push(((attempt.finishedAt - attempt.startedAt) / alone - 1) * 100);
      stored = await keptOf(engine, run.id, attempt.number);
    }
    const values = { slowdown: median(slowdowns), max: Math.max(...slowdowns), 'kept, MiB': stored / 1024 ** 2 };
    return {
      name: `10 MB/s of process output for ${seconds} s, ${engine.store.driver}`,
      values,
      unit: '(%)',
      bar: '≤5 % slower, every byte kept',
      met: values.slowdown <= 5 && stored === seconds * perSecond,
    };
  } finally {
    await engine.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

/** Milliseconds that a command takes with its output in a file. */
async function bare(command: string, log: string): Promise<number> {
  const file = openSync(log, 'w');
  const begun = performance.now();
  const code = await new Promise((resolve, reject) => {
    const child = spawn('sh', ['-ec', command], { stdio: ['ignore', file, file] });
    child.once('error', reject);
    child.once('exit', resolve);
  });
  closeSync(file);
  if (code !== 0) throw new Error(`the writer ended with ${String(code)}`);
  return performance.now() - begun;
}

/** How many bytes of the log can be read, counted up to the first that is not what was written. */
async function keptOf({ store, artifacts }: Engine, runId: string, attempt: number): Promise<number> {
  const key = { runId, step: 'only', item: -1, attempt };
  let position = 0;
  let line = 0;
  for (;;) {
    const pieces = await store.logs.read(key, position, 1024 ** 2, artifacts);
    if (pieces.length === 0) return position;
    for (const piece of pieces) {
      if (piece.text !== `${String(line).padStart(lineBytes - 1, '.')}\n`) return position;
      position = piece.position;
      line++;
    }
  }
}
