import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { startEngine } from './engine.ts';
import type { Figure } from './figures.ts';

const warmUp = 500;
const count = 10_000;

/** What is alive on the heap and beside it, after everything else is collected; and the whole process. */
async function memory(): Promise<{ live: number; rss: number }> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What a first collection lets go of may hold more.
  for (let i = 0; i < 3; i++) {
    collect();
    await sleep(50);
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { live: heapUsed + external, rss };
}

/**
 * 10,000 runs that wait at once for the same instant, in one controller. Memory is heapUsed + external after a collection,
 * less what it was before them; the bench's own promises count as well.
 */
export async function waitingRuns(databaseUrl: string | null): Promise<Figure> {
  const engine = await startEngine(databaseUrl);
  try {
    await engine.apply('hold', {
      inputs: { until: { type: 'string' } },
      steps: [{ name: 'hold', wait: { until: '${{ inputs.until }}' } }],
    });
    const warming = performance.now();
    await engine.run('hold', warmUp, { until: new Date(Date.now()).toISOString() });
    const eachMs = (performance.now() - warming) / warmUp;
    const before = await memory();

    let waiting = 0;
    const allWait = Promise.withResolvers<void>();
    engine.onCommitted = ({ steps }) => {
      if (steps[0]?.phase === 'Waiting' && ++waiting === count) allWait.resolve();
    };
    // Long enough for all to be there before the first ends, however fast the machine is.
    const until = Date.now() + 5_000 + 2.5 * eachMs * count;
    const begun = performance.now();
    const ended = engine.run('hold', count, { until: new Date(until).toISOString() });
    await Promise.race([allWait.promise, ended]);
    const waitAfter = (performance.now() - begun) / 1000;
    const together = Date.now() < until;
    const during = await memory();
    const runs = await ended;
    const endAfter = (Date.now() - until) / 1000;
    const failed = runs.filter((run) => run.phase !== 'Succeeded').length;
    const kilobytes = (during.live - before.live) / count / 1024;
    return {
      name: `${count} runs in \`wait\` at once, ${engine.store.driver}`,
      values: {
        kilobytes,
        rss: (during.rss - before.rss) / count / 1024,
        failed,
        'all wait, s': waitAfter,
        'all end, s': endAfter,
      },
      unit: '(KB a run)',
      bar: '≤20 KB each, 0 failed',
      met: together && failed === 0 && kilobytes <= 20,
      ...(together ? {} : { note: 'the first ended before the last waited: measure again' }),
    };
  } finally {
    await engine.stop();
  }
}
