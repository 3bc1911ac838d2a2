import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startPostgres } from '../../fixtures/postgres.ts';
import { type Figure, machine, table } from '../figures.ts';
import { type BenchCluster, type ClusterMode, openCluster } from './clusters.ts';
import { startController } from './controller.ts';
import { finishedRuns } from './finished.ts';
import { chain, manyAtOnce, rateOnFakeNodes, requestsPerStep } from './pods.ts';

/**
 * `npm run bench:cluster [-- WORD…]`: every figure promised for a cluster, or those whose name holds one of the words.
 * Each kind of cluster is started when the first bench needs it and stopped before the next kind is; the controller is a
 * process of its own. Prints a table and writes bench-cluster-results.json; judges nothing, and exits 1 only when something
 * could not be measured.
 */
const postgres = await startPostgres();
let databases = 0;

async function database(): Promise<string> {
  if (!postgres) throw new Error('there is no Postgres');
  return postgres.database(`cluster${databases++}`);
}

/** With a controller that has been there for a while, as it mostly is. */
function served(measure: (cluster: BenchCluster) => Promise<Figure[]>) {
  return async (cluster: BenchCluster): Promise<Figure[]> => {
    const controller = await startController(cluster, await database());
    try {
      return await measure(cluster);
    } finally {
      await controller.stop();
    }
  };
}

const benches: [name: string, mode: ClusterMode, measure: (cluster: BenchCluster) => Promise<Figure[]>][] = [
  ['requests', 'pods', served(requestsPerStep)],
  ['chain delay', 'pods', served(chain)],
  ['fifty at once', 'pods', served(manyAtOnce)],
  ['kwok', 'kwok', served(rateOnFakeNodes)],
  ['finished memory ready', 'api', async (cluster) => finishedRuns(cluster, await database())],
];

const words = process.argv.slice(2);
const wanted = benches.filter(([name]) => words.length === 0 || words.some((word) => name.includes(word)));
const before = machine();
const figures: Figure[] = [];
const complain = (name: string, error: unknown) => {
  process.stderr.write(`${name} could not be measured: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
};

let open: BenchCluster | null = null;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void closeAll().finally(() => process.exit(1)));
}
try {
  if (!postgres) process.stderr.write('everything is skipped: no PostgreSQL server binaries found\n');
  else for (const mode of ['pods', 'kwok', 'api'] as const) await measureOn(mode);
} finally {
  await closeAll();
}
report();

async function measureOn(mode: ClusterMode): Promise<void> {
  const here = wanted.filter((bench) => bench[1] === mode);
  const names = here.map(([name]) => name).join(', ');
  if (here.length === 0) return;
  try {
    const cluster = await openCluster(mode);
    if (typeof cluster === 'string') {
      process.stderr.write(`${names}: skipped, ${cluster}\n`);
      return;
    }
    open = cluster;
  } catch (error) {
    return complain(names, error);
  }
  for (const [name, , measure] of here) {
    process.stderr.write(`${name} …\n`);
    try {
      figures.push(...(await measure(open)));
    } catch (error) {
      complain(name, error);
    }
  }
  await open.stop();
  open = null;
}

async function closeAll(): Promise<void> {
  await open?.stop();
  open = null;
  await postgres?.stop();
}

function report(): void {
  const { cpus, model, node } = before;
  process.stdout.write(
    `${table(figures)}\n\n${cpus} cores (${model}), Node ${node}; load ${before.load.toFixed(1)} before, ${machine().load.toFixed(1)} after (the benches' own included)\n`,
  );
  const results = { at: new Date().toISOString(), machine: before, loadAfter: machine().load, figures };
  const file = join(import.meta.dirname, '../../../bench-cluster-results.json');
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}
