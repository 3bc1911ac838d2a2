import { type Figure, median, quantile, round } from '../figures.ts';
import { type HandOff, handOffs, readAudit, requests } from './audit.ts';
import type { BenchCluster } from './clusters.ts';
import { type Round, workIn } from './work.ts';

/** Of each comparison; BENCH_ROUNDS=1 is for a look in between. */
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 5);
const chainLength = 10;
const together = 50;

/** A chain of Pod steps over the same bare Pods, and how long a step's end waits for the next Pod. */
export async function chain(cluster: BenchCluster): Promise<Figure[]> {
  const work = workIn(cluster);
  const ratios: number[] = [];
  const delays: HandOff[] = [];
  const seconds: number[] = [];
  await inTurn(
    async (i) => {
      const namespace = await cluster.namespace(`chain-${i}`);
      await work.apply(namespace, chainLength);
      const ours = await succeeded(work.runs(namespace, 1));
      await work.podsEnded(namespace, chainLength);
      if (i > 0 && cluster.auditLog !== null) delays.push(...handOffs(await readAudit(cluster.auditLog), namespace));
      return { seconds: ours, after: () => work.podsGone(namespace, false) };
    },
    async (i) => {
      const namespace = await cluster.namespace(`bare-chain-${i}`);
      const bare = await succeeded(work.bareChain(namespace, chainLength));
      return { seconds: bare, after: () => work.podsGone(namespace, false) };
    },
    (ours, bare) => {
      ratios.push(ours / bare);
      seconds.push(ours);
    },
  );
  const ratio = median(ratios);
  const figures: Figure[] = [
    {
      name: `chain of ${chainLength} Pod steps over bare Pods`,
      values: { ratio, max: Math.max(...ratios), seconds: median(seconds) },
      unit: '×',
      bar: '≤1.15×',
      met: ratio <= 1.15,
    },
  ];
  if (cluster.auditLog === null) return figures;
  const [fromSucceeded, fromEnd] = (['fromSucceeded', 'fromEnd'] as const).map((from) => delays.map((d) => d[from]));
  const values = quantiles(fromSucceeded ?? []);
  figures.push({
    name: 'Succeeded to the next Pod, by the audit log',
    values,
    unit: 'ms',
    bar: '25 / 100 ms',
    met: values.p50 <= 25 && values.p99 <= 100,
  });
  const known = quantiles(fromEnd ?? []);
  figures.push({
    name: "the first word of a Pod's end to the next Pod, by the audit log",
    values: known,
    unit: 'ms',
    bar: 'none',
    met: null,
  });
  return figures;
}

function quantiles(samples: number[]): { p50: number; p99: number } {
  return { p50: median(samples), p99: quantile(samples, 0.99) };
}

/** One-step runs at once over bare Pods at once. */
export async function manyAtOnce(cluster: BenchCluster): Promise<Figure[]> {
  const { ratios, rates, failed } = await compareAtOnce(cluster, together, rounds);
  const ratio = median(ratios.map((rate) => 1 / rate));
  return [
    {
      name: `${together} one-step runs at once over bare Pods`,
      values: { ratio, rate: median(rates), failed },
      unit: '×',
      bar: '≤1.25×',
      met: ratio <= 1.25 && failed === 0,
    },
  ];
}

/** The same where Pods only pretend to run, so that what is left is ours. */
export async function rateOnFakeNodes(cluster: BenchCluster): Promise<Figure[]> {
  const { ratios, rates, failed } = await compareAtOnce(cluster, 500, rounds);
  const ratio = median(ratios);
  return [
    {
      name: '500 one-step runs at once on fake nodes, rate over bare Pods',
      values: { ratio, rate: median(rates), failed },
      unit: '×',
      bar: '≥0.4×, none failed',
      met: ratio >= 0.4 && failed === 0,
    },
  ];
}

/** What a step costs the API server, from its run's creation until its Pod is gone. */
export async function requestsPerStep(cluster: BenchCluster): Promise<Figure[]> {
  if (cluster.auditLog === null) throw new Error('there is no audit log: set CLUSTER_AUDIT_LOG');
  const work = workIn(cluster);
  const [one, many] = [await cluster.namespace('one'), await cluster.namespace('many')];
  await work.apply(one, 1);
  await work.apply(many, chainLength);
  const runs = 5;
  for (const namespace of [one, many]) await succeeded(work.runs(namespace, namespace === one ? runs : 1));
  await Promise.all([one, many].map((namespace) => work.podsGone(namespace, true)));
  const audit = await readAudit(cluster.auditLog);
  const perRun = requests(audit, 'windlass', one).length / runs;
  const further = (requests(audit, 'windlass', many).length - perRun) / (chainLength - 1);
  return [
    {
      name: 'API requests of a one-step run, and of each further step',
      values: { run: perRun, step: further },
      unit: '',
      bar: '≤8 / ≤4',
      met: perRun <= 8 && further <= 4,
      note: counts(requests(audit, 'windlass', many)),
    },
  ];
}

async function compareAtOnce(cluster: BenchCluster, count: number, rounds: number) {
  const work = workIn(cluster);
  const ratios: number[] = [];
  const rates: number[] = [];
  let failed = 0;
  await inTurn(
    async (i) => {
      const namespace = await cluster.namespace(`runs-${i}`);
      await work.apply(namespace, 1);
      const ours = await work.runs(namespace, count);
      failed += ours.failed;
      return { seconds: ours.seconds, after: () => work.podsGone(namespace, false) };
    },
    async (i) => {
      const namespace = await cluster.namespace(`bare-${i}`);
      const bare = await succeeded(work.bareAtOnce(namespace, count));
      return { seconds: bare, after: () => work.podsGone(namespace, false) };
    },
    (ours, bare) => {
      ratios.push(bare / ours);
      rates.push(count / ours);
    },
    rounds,
  );
  return { ratios, rates, failed };
}

interface Side {
  seconds: number;
  /** Leaves nothing behind that the next side would have to work on. */
  after(): Promise<void>;
}

/** One uncounted round, then so many: both sides, by turns the first. */
async function inTurn(
  ours: (round: number) => Promise<Side>,
  bare: (round: number) => Promise<Side>,
  take: (ours: number, bare: number) => void,
  count = rounds,
): Promise<void> {
  for (let i = 0; i <= count; i++) {
    const seconds = { ours: 0, bare: 0 };
    for (const side of i % 2 === 0 ? (['bare', 'ours'] as const) : (['ours', 'bare'] as const)) {
      const { seconds: took, after } = await (side === 'ours' ? ours : bare)(i);
      seconds[side] = took;
      await after();
    }
    process.stderr.write(`  round ${i}: ${round(seconds.ours)} s over ${round(seconds.bare)} s\n`);
    if (i > 0) take(seconds.ours, seconds.bare);
  }
}

async function succeeded(round: Promise<Round>): Promise<number> {
  const { seconds, failed } = await round;
  if (failed > 0) throw new Error(`${failed} failed`);
  return seconds;
}

/** `create pods 10, patch workflowruns/status 9`: what was asked for, most often first. */
function counts(events: ReturnType<typeof requests>): string {
  const by = new Map<string, number>();
  for (const { verb, objectRef } of events) {
    const what = [objectRef?.resource, objectRef?.subresource].filter(Boolean).join('/');
    by.set(`${verb} ${what}`, (by.get(`${verb} ${what}`) ?? 0) + 1);
  }
  return [...by]
    .toSorted((a, b) => b[1] - a[1])
    .map(([what, count]) => `${what} ${count}`)
    .join(', ');
}
