import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../controller/runtime/clock.ts';
import { openStore } from '../../controller/store/open.ts';
import type { WorkflowSpec } from '../../crds/workflow.ts';
import { startEngine } from './engine.ts';
import { type Figure, median } from './figures.ts';

const runs = 50;
const rounds = 3;
const killed = fileURLToPath(new URL('../fixtures/engine-process.ts', import.meta.url));

/** Each step is a decision: without one for longer than that, nobody owns the run. */
const ticking: WorkflowSpec = {
  steps: Array.from({ length: 200 }, (_, i) => ({
    name: `s${i}`,
    wait: { for: '200ms' },
    ...(i > 0 ? { needs: [`s${i - 1}`] } : {}),
  })),
};

/** Two replicas of one home: from the kill of the one that owns 50 runs to the other's first decision on the first and the last of them. */
export async function takeover(database: () => Promise<string>): Promise<Figure> {
  const first: number[] = [];
  const all: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const seconds = await takenOverOnce(await database());
    first.push(Math.min(...seconds));
    all.push(Math.max(...seconds));
  }
  const values = { first: median(first), all: median(all), max: Math.max(...all) };
  return {
    name: `takeover of ${runs} runs after kill -9, postgres`,
    values,
    unit: 's',
    bar: '≤6 s',
    met: values.max <= 6,
  };
}

/** Seconds from the kill to the first decision, for each run. */
async function takenOverOnce(databaseUrl: string): Promise<number[]> {
  const owner = spawn(process.execPath, [killed, databaseUrl], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    await once(owner.stdout, 'data');
    await beginRuns(databaseUrl);
    const other = await startEngine(databaseUrl);
    try {
      const seen = new Map<string, number>();
      const taken = Promise.withResolvers<void>();
      other.onCommitted = ({ run }) => {
        if (!seen.has(run.id)) seen.set(run.id, performance.now());
        if (seen.size === runs) taken.resolve();
      };
      // It has its lease and has looked for runs by then.
      await sleep(1500);
      if (seen.size > 0) throw new Error('the owner lost runs before it was killed');
      const ended = once(owner, 'exit');
      const begun = performance.now();
      owner.kill('SIGKILL');
      await ended;
      await taken.promise;
      return Array.from(seen.values(), (at) => (at - begun) / 1000);
    } finally {
      await other.stop();
    }
  } finally {
    owner.kill('SIGKILL');
  }
}

/** Creates the runs and waits until their owner has begun all of them. */
async function beginRuns(databaseUrl: string): Promise<void> {
  const store = await openStore({ databaseUrl }, { clock: systemClock, home: 'bench' });
  try {
    const running = new Set<string>();
    const begun = Promise.withResolvers<void>();
    await store.objects.watch('WorkflowRun', ({ object }) => {
      if (object.status?.phase === 'Running') running.add(object.metadata.uid);
      if (running.size === runs) begun.resolve();
    });
    const namespace = 'bench';
    await store.objects.apply({ kind: 'Workflow', metadata: { name: 'ticking', namespace }, spec: ticking });
    for (let i = 0; i < runs; i++) {
      const metadata = { name: `ticking-${i}`, namespace };
      await store.objects.create({ kind: 'WorkflowRun', metadata, spec: { workflow: 'ticking' } });
    }
    await begun.promise;
  } finally {
    await store.close();
  }
}
