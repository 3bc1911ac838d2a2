import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import { liveThrough } from './history.ts';
import { liveTogether } from './shared.ts';

/** A share of the histories, for one worker. */
interface Share {
  from: number;
  to: number;
}

type Report = { done: number } | { seed: number; problems: string[] };

const reportEvery = 500;
/** With every so many histories goes one of several runs that share a namespace. */
const sharedEvery = 5;

/**
 * `npm run test:simulate -- [--histories N] [--from SEED] [--seed SEED] [--workers N]`: lives through histories, one a seed,
 * and says which seeds show something wrong. `--seed` lives through that one alone.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      histories: { type: 'string', default: '1000000' },
      from: { type: 'string' },
      seed: { type: 'string' },
      workers: { type: 'string', default: String(availableParallelism()) },
    },
  });
  if (values.seed !== undefined) return liveThroughOne(Number(values.seed));
  const from = values.from === undefined ? Date.now() % 1_000_000_000 : Number(values.from);
  const total = Number(values.histories);
  const workers = Math.max(1, Math.min(Number(values.workers), total));
  say(`${total} histories from seed ${from}, ${workers} workers`);
  const begun = performance.now();
  let done = 0;
  let wrong = 0;
  const each = Math.ceil(total / workers);
  const shares = Array.from(
    { length: workers },
    (_, i): Share => ({ from: from + i * each, to: from + Math.min(total, (i + 1) * each) }),
  );
  const listen = (report: Report) => {
    if ('done' in report) {
      const before = done;
      done += report.done;
      if (Math.floor(before / 50_000) !== Math.floor(done / 50_000)) say(`${done} of ${total}`);
    } else if (++wrong <= 20) {
      say(`seed ${report.seed}:\n  ${report.problems.slice(0, 10).join('\n  ')}`);
    }
  };
  await Promise.all(shares.map((share) => work(share, listen)));
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  say(`${done} histories in ${seconds} s, ${wrong} wrong`);
  if (wrong > 0) say('live through one again: npm run test:simulate -- --seed SEED');
  return wrong > 0 || done !== total ? 1 : 0;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function work(share: Share, listen: (report: Report) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: share });
    worker.on('message', listen);
    worker.on('error', reject);
    worker.on('exit', () => resolve());
  });
}

function liveThroughOne(seed: number): number {
  const problems = judged(seed);
  say(problems.length === 0 ? `seed ${seed}: nothing wrong` : `seed ${seed}:\n  ${problems.join('\n  ')}`);
  return problems.length === 0 ? 0 : 1;
}

/** A history that throws is as wrong as one that ends badly. */
function judged(seed: number): string[] {
  try {
    return [...liveThrough(seed), ...(seed % sharedEvery === 0 ? liveTogether(seed) : [])];
  } catch (error) {
    return [error instanceof Error ? (error.stack ?? error.message) : String(error)];
  }
}

function workThrough({ from, to }: Share, port: MessagePort): void {
  // A port between threads has no origin to name.
  const report = (one: Report) => port.postMessage(one, []);
  for (let seed = from; seed < to; seed++) {
    const problems = judged(seed);
    if (problems.length > 0) report({ seed, problems });
    const count = seed - from + 1;
    if (count % reportEvery === 0 || seed === to - 1) report({ done: count % reportEvery || reportEvery });
  }
}

if (isMainThread) process.exitCode = await main();
else workThrough(workerData as Share, parentPort as MessagePort);
