import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startPostgres } from '../../fixtures/postgres.ts';
import { type Random, randomOf } from '../../simulate/random.ts';
import { Fleet } from './fleet.ts';
import { History } from './history.ts';
import { judge, type Trouble } from './judge.ts';
import { People } from './people.ts';
import { openPodHome } from './pod-home.ts';
import { openProcessHome } from './process-home.ts';
import { lanes } from './scenarios.ts';

/**
 * `npm run test:faults -- [--faults 100] [--restarts 5] [--in-flight 500] [--controllers 3] [--gap MS] [--hold MS]
 * [--seed N] [--keep] [--pods]`: keeps so many runs in flight over several controllers of one home and a real Postgres, kills
 * and stalls controllers and restarts the database at random, and judges what is recorded and what has happened. With `--pods` in
 * the cluster of KUBECONFIG, whose nodes must be of kwok.
 */
const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '100' },
    restarts: { type: 'string', default: '5' },
    'in-flight': { type: 'string', default: '500' },
    controllers: { type: 'string', default: '3' },
    gap: { type: 'string', default: '2500' },
    hold: { type: 'string', default: '180000' },
    drain: { type: 'string', default: '360000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    keep: { type: 'boolean', default: false },
    pods: { type: 'boolean', default: false },
  },
});
const options = {
  faults: Number(values.faults),
  restarts: Number(values.restarts),
  inFlight: Number(values['in-flight']),
  controllers: Number(values.controllers),
  gapMs: Number(values.gap),
  holdMs: Number(values.hold),
  /** Every run has ended this long after the last fault. */
  drainMs: Number(values.drain),
  seed: Number(values.seed),
};
const namespace = 'faults';
const begun = Date.now();

function say(text: string): void {
  process.stdout.write(`${((Date.now() - begun) / 1000).toFixed(1).padStart(7)} s  ${text}\n`);
}

async function main(): Promise<number> {
  const server = await startPostgres();
  if (!server) {
    process.stderr.write(
      'no PostgreSQL on this machine: initdb and pg_ctl, and as root a user `postgres`, are needed\n',
    );
    return 2;
  }
  const directory = await mkdtemp(join(tmpdir(), 'windlass-faults-'));
  const databaseUrl = await server.database('faults');
  const home = await (values.pods ? openPodHome : openProcessHome)({ directory, databaseUrl, namespace });
  if (!home) {
    await server.stop();
    process.stderr.write('no cluster: set KUBECONFIG to one whose nodes are of kwok\n');
    return 2;
  }
  const { scenarios } = home;
  const history = new History(databaseUrl);
  const fleet = new Fleet(home.command, options.controllers, directory);
  const random = randomOf(options.seed);
  const people = new People({
    fleet,
    history,
    random: randomOf(options.seed + 1),
    scenarios,
    namespace,
    rooms: home.rooms,
    holdMs: options.holdMs,
  });
  const problems: string[] = [];
  say(`seed ${options.seed}; ${options.controllers} controllers; ${directory}`);
  try {
    await fleet.start();
    for (const [name, { spec }] of Object.entries(scenarios)) {
      const workflow = { kind: 'Workflow', metadata: { name, namespace }, spec } as const;
      await fleet.call((client) => client.apply(workflow), Date.now() + 60_000);
    }
    const chaos = new AbortController();
    const filling = keepInFlight(people, history, chaos.signal);
    await history.until(async () => (await history.counts()).open >= options.inFlight * 0.9, 500);
    say(`${(await history.counts()).open} runs in flight: the faults begin; load ${loadavg()[0]?.toFixed(1)}`);
    const away: Trouble[] = [];
    const restarts = await makeTrouble(fleet, server, random, away);
    chaos.abort();
    await filling;
    const calm = Date.now();
    say(`${JSON.stringify({ ...fleet.counts, restarts })}; ${people.asked.length} runs asked for: the drain begins`);
    // What a lost release has left behind must keep nobody from a lock.
    for (let i = 0; i < lanes * 2; i++) {
      for (const locker of home.lockers) await people.ask(locker, false);
    }
    const late = () => Date.now() - calm > options.drainMs;
    await history.until(async () => (await history.counts()).open === 0 || late());
    await Promise.race([
      people.rest(),
      sleep(Math.max(1, calm + options.drainMs - Date.now()), undefined, { ref: false }),
    ]);
    await history.until(async () => (await history.counts()).open === 0 || late());
    await history.until(async () => (await history.locks()).length === 0 || late());
    for (const { runId, step, state } of await history.locks())
      problems.push(`lock of ${runId} ${step} stays ${state}`);
    // The last attempts' processes end with their folders, just after their end was committed.
    const settled = Date.now() + 10_000;
    await history.until(async () => (await home.living()).length === 0 || Date.now() > settled);
    for (const one of await home.living()) problems.push(`${one} is left`);

    if ((await history.counts()).open > 0) {
      await writeFile(join(directory, 'stuck.json'), JSON.stringify(await history.stuck(), null, 1));
      problems.push(`what is stuck: ${join(directory, 'stuck.json')}`);
    }

    const verdict = judge({
      scenarios,
      asked: people.asked,
      runs: await history.runs(),
      steps: await history.steps(),
      attempts: await history.attempts(),
      effectOf: home.effectOf,
      effects: await home.effects(),
      troubles: [...fleet.troubles, ...away],
      outlives: home.outlives,
    });
    problems.push(...people.problems, ...verdict.problems);
    if (fleet.counts.ownEnds > 0) problems.push(`${fleet.counts.ownEnds} controllers ended by themselves`);
    const { problems: _, ...counts } = verdict;
    for (const problem of problems.slice(0, 50)) say(problem);
    say(
      JSON.stringify({
        seed: options.seed,
        seconds: Math.round((Date.now() - begun) / 1000),
        load: loadavg().map((one) => Number(one.toFixed(1))),
        runs: people.asked.length,
        ...fleet.counts,
        restarts,
        ...counts,
        problems: problems.length,
      }),
    );
  } finally {
    await fleet.stop();
    await history.close();
    await home.close();
    await server.stop();
    if (!values.keep && problems.length === 0) await rm(directory, { recursive: true, force: true });
  }
  return problems.length === 0 ? 0 : 1;
}

async function keepInFlight(people: People, history: History, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    const { ended } = await history.counts();
    const wanted = options.inFlight - (people.asked.length - ended);
    for (let i = 0; i < wanted && !over.aborted; i += 8) {
      await Promise.all(Array.from({ length: Math.min(8, wanted - i) }, () => people.ask()));
    }
    await sleep(500);
  }
}

/** Faults at random instants, restarts of the database evenly among them; resolves with their number once all is back. */
async function makeTrouble(
  fleet: Fleet,
  server: { restart(whileDown: () => Promise<void>): Promise<void> },
  random: Random,
  away: Trouble[],
): Promise<number> {
  const background = new Set<Promise<void>>();
  let restarts = 0;
  for (let i = 1; i <= options.faults; i++) {
    await sleep(2 * options.gapMs * random.next());
    await fleet.harm(random, (work) => void background.add(work));
    if (restarts < Math.floor((i * options.restarts) / options.faults)) {
      const downMs = 200 + random.below(3000);
      const from = new Date();
      await server.restart(() => sleep(downMs));
      away.push({ from, to: new Date() });
      restarts++;
    }
    if (i % 10 === 0) say(`${i} faults, ${restarts} restarts; load ${loadavg()[0]?.toFixed(1)}`);
  }
  await Promise.all(background);
  return restarts;
}

process.exitCode = await main();
