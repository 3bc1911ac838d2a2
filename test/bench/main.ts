import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startPostgres } from '../fixtures/postgres.ts';
import { conditions, growth, substitutions } from './core.ts';
import { type Figure, machine, table } from './figures.ts';
import { pushToActive, upToReady } from './laptop.ts';
import { handOff, processStep, throughput } from './runs.ts';
import { parallelProcesses, processOutput } from './processes.ts';
import { cacheLookUp, stateCommit } from './store.ts';
import { takeover } from './takeover.ts';
import { waitingRuns } from './waits.ts';

/**
 * `npm run bench [-- WORD…]`: every figure the project promises, or those whose name holds one of the words. Prints a
 * table and writes bench-results.json; judges nothing, and exits 1 only when something could not
 * be measured.
 */
const postgres = await startPostgres();
let databases = 0;
const database = async (): Promise<string> => (await postgres?.database(`bench${databases++}`)) ?? '';

const benches: [name: string, needsPostgres: boolean, measure: () => Figure | Promise<Figure>][] = [
  ['growth chain', false, () => growth('chain')],
  ['growth fan-out', false, () => growth('fan-out')],
  ['conditions', false, conditions],
  ['substitutions', false, substitutions],
  ['store commit postgres', true, async () => stateCommit(await database())],
  ['store commit pglite', false, () => stateCommit(null)],
  ['store cache postgres', true, async () => cacheLookUp(await database())],
  ['store cache pglite', false, () => cacheLookUp(null)],
  ['hand-off postgres', true, async () => handOff(await database())],
  ['hand-off pglite', false, () => handOff(null)],
  ['process postgres', true, async () => processStep(await database())],
  ['process pglite', false, () => processStep(null)],
  ['throughput postgres', true, async () => throughput(await database())],
  ['throughput pglite', false, () => throughput(null)],
  ['waits postgres', true, async () => waitingRuns(await database())],
  ['parallel postgres', true, async () => parallelProcesses(await database())],
  ['parallel pglite', false, () => parallelProcesses(null)],
  ['output postgres', true, async () => processOutput(await database())],
  ['output pglite', false, () => processOutput(null)],
  ['takeover', true, () => takeover(database)],
  ['up', false, upToReady],
  ['push', false, pushToActive],
];

const words = process.argv.slice(2);
const before = machine();
const figures: Figure[] = [];
for (const [name, needsPostgres, measure] of benches) {
  if (words.length > 0 && !words.some((word) => name.includes(word))) continue;
  if (needsPostgres && !postgres) process.stderr.write(`${name}: skipped, no PostgreSQL server binaries found\n`);
  else {
    process.stderr.write(`${name} …\n`);
    try {
      figures.push(await measure());
    } catch (error) {
      process.stderr.write(`${name} could not be measured: ${error instanceof Error ? error.stack : String(error)}\n`);
      process.exitCode = 1;
    }
  }
}
await postgres?.stop();

const { cpus, model, node } = before;
process.stdout.write(
  `${table(figures)}\n\n${cpus} cores (${model}), Node ${node}; load ${before.load.toFixed(1)} before, ${machine().load.toFixed(1)} after (the benches' own included)\n`,
);
const results = { at: new Date().toISOString(), machine: before, loadAfter: machine().load, figures };
writeFileSync(join(import.meta.dirname, '../../bench-results.json'), `${JSON.stringify(results, null, 2)}\n`);
