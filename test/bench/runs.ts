import { spawn } from 'node:child_process';
import { startEngine, templateChain } from './engine.ts';
import { type Figure, median, quantile } from './figures.ts';

const rounds = 5;

/** In-controller step hand-off in a chain of 100: from the executor's report to the next start. */
export async function handOff(databaseUrl: string | null): Promise<Figure> {
  const [p50, p99] = databaseUrl ? [2, 15] : [4, 30];
  const engine = await startEngine(databaseUrl);
  try {
    await engine.apply('chain', templateChain(100));
    await engine.run('chain', 1);
    engine.handOffs.length = 0;
    for (let i = 0; i < rounds; i++) await engine.run('chain', 1);
    const values = { p50: median(engine.handOffs), p99: quantile(engine.handOffs, 0.99) };
    return {
      name: `hand-off, chain of 100 template steps, ${engine.store.driver}`,
      values,
      unit: 'ms',
      bar: `${p50} / ${p99} ms`,
      met: values.p50 <= p50 && values.p99 <= p99,
    };
  } finally {
    await engine.stop();
  }
}

/** 1,000 runs of 10 in-controller steps, created and run at once. */
export async function throughput(databaseUrl: string | null): Promise<Figure> {
  const engine = await startEngine(databaseUrl);
  try {
    await engine.apply('ten', templateChain(10));
    await engine.run('ten', 50);
    const begun = performance.now();
    const runs = await engine.run('ten', 1000);
    const seconds = (performance.now() - begun) / 1000;
    const failed = runs.filter((run) => run.phase !== 'Succeeded').length;
    const rate = 10_000 / seconds;
    return {
      name: `1,000 runs × 10 template steps at once, ${engine.store.driver}`,
      values: { rate, failed, seconds },
      unit: 'steps/s',
      bar: 'all succeed, ≥1,500 steps/s',
      met: databaseUrl === null ? null : failed === 0 && rate >= 1500,
    };
  } finally {
    await engine.stop();
  }
}

/** What a process step costs beyond its bare process: step and process measured in turn. */
export async function processStep(databaseUrl: string | null): Promise<Figure> {
  const engine = await startEngine(databaseUrl);
  try {
    await engine.apply('process', { steps: [{ name: 'only', run: 'true' }] });
    await engine.run('process', 3);
    const beyond: number[] = [];
    for (let i = 0; i < 40; i++) {
      const bare = await bareProcess();
      const [run] = await engine.run('process', 1);
      const [attempt] = await engine.store.runs.attempts(run?.id ?? '');
      // Not the attempt's end, which is when its command ended: what it takes to notice that counts as well.
      const ended = engine.reported.get(run?.id ?? '');
      if (attempt && ended !== undefined) beyond.push(ended - attempt.startedAt - bare);
    }
    const values = { p50: median(beyond), p99: quantile(beyond, 0.99) };
    return {
      name: `process step beyond bare \`sh -c true\`, ${engine.store.driver}`,
      values,
      unit: 'ms',
      bar: 'p50 10 ms',
      met: values.p50 <= 10,
    };
  } finally {
    await engine.stop();
  }
}

function bareProcess(): Promise<number> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const child = spawn('sh', ['-c', 'true'], { stdio: 'ignore' });
    child.once('error', reject);
    child.once('exit', () => resolve(performance.now() - begun));
  });
}
