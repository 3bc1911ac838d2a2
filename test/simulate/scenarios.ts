import type { Plan } from '../../controller/core/plan/types.ts';
import type { AttemptResult, RunObservation } from '../../controller/core/run/types.ts';
import { hashShare } from '../../controller/core/retry.ts';
import { createdAt, planOf } from '../fixtures/plans.ts';
import type { Crash, Fate, WorldOptions } from '../fixtures/world.ts';
import { unitId } from '../fixtures/world.ts';
import { type Random, randomOf } from './random.ts';
import { randomWorkflow } from './workflows.ts';
import type { Written } from './written.ts';

/** A workflow, and all that befalls a run of it. */
export interface Scenario {
  written: Written;
  plan: Plan;
  /** What the world does, whoever watches. */
  options: WorldOptions;
  /** What befalls those who watch: crashes, stalls, repeated and reordered news. */
  faults: Pick<WorldOptions, 'crash' | 'deliver'>;
  random: Random;
}

/** Histories that share a workflow: making it ready costs more than a run of it. */
const runsOfOne = 8;
let last: { seed: number; written: Written; plan: Plan } | null = null;

/** The scenario of a seed: always the same. */
export function scenarioOf(seed: number): Scenario {
  const random = randomOf(seed);
  return {
    ...workflowFor(Math.floor(seed / runsOfOne)),
    options: worldOf(seed, random),
    faults: faultsOf(seed),
    random,
  };
}

function workflowFor(seed: number): { written: Written; plan: Plan } {
  if (last?.seed !== seed) {
    const written = randomWorkflow(randomOf(seed * 7919 + 13));
    last = { seed, written, plan: planOf(written) };
  }
  return last;
}

/** What the world does to a run. */
export function worldOf(seed: number, random: Random): WorldOptions {
  const spec: NonNullable<WorldOptions['spec']> = Array.from({ length: random.below(4) }, () => ({
    at: createdAt + 1 + random.below(40_000),
    desired: random.pick(['Running', 'Running', 'Paused', 'Cancelled'] as const),
    force: random.chance(0.3),
    approvals: Array.from({ length: random.below(6) }, () => ({
      step: `s${random.below(8)}`,
      user: 'ada',
      groups: [],
      decision: random.pick(['Approve', 'Approve', 'Reject'] as const),
      comment: null,
      execution: 1,
    })),
  }));
  spec.sort((a, b) => a.at - b.at);
  // A run that stays paused need not end: in the end it is resumed.
  const end = spec.at(-1);
  spec.push({ at: createdAt + 90_000, desired: 'Running', force: false, approvals: end?.approvals ?? [] });
  const circuits = Array.from({ length: random.below(3) }, () => {
    const at = createdAt + random.below(20_000);
    return { at, open: random.chance(0.7) ? [{ host: 'one', until: at + random.below(20_000) }] : [] };
  });
  return {
    spec,
    circuits,
    limitedSlots: random.chance(0.3),
    fate: fates(seed),
    lockFate: ({ holder }, asked) => {
      const share = hashShare(`${seed}/lock/${holder.step === null ? '' : unitId(holder)}/${asked}`);
      return { afterMs: Math.floor(share * 6000), refused: share > 0.95 };
    },
  };
}

/** How attempts go is fixed by the seed and the key, so that a run can be lived through twice. */
function fates(seed: number): NonNullable<WorldOptions['fate']> {
  return (key, { body, artifacts }): Fate => {
    const share = (what: string) => hashShare(`${seed}/${unitId(key)}/${key.attempt}/${what}`);
    const times = { afterMs: 1 + Math.floor(share('after') * 7000), stopsAfterMs: Math.floor(share('stop') * 2000) };
    // Of some units the infrastructure loses all that they begin.
    const lost = hashShare(`${seed}/${unitId(key)}/lost`) < 0.02;
    return {
      ...times,
      result: resultOf(lost ? 0.7 : share('luck'), share('n'), body.kind, Object.keys(artifacts.out)),
    };
  };
}

function resultOf(luck: number, n: number, kind: string, kept: string[]): AttemptResult {
  if (luck < 0.65) {
    const reads = kind === 'run' || kind === 'container';
    const values = luck < 0.03 ? { n: 'not a number' } : reads ? { n: Math.floor(n * 4) } : {};
    const artifacts = Object.fromEntries(
      kept.map((name) => [name, { digest: `sha256:${name}`, bytes: 1, folder: false }]),
    );
    return { outcome: 'Succeeded', outputs: { values }, artifacts };
  }
  const type = luck < 0.75 ? 'infrastructure/lost' : 'exit';
  return { outcome: 'Failed', error: { type, message: 'no', retryable: luck < 0.93 } };
}

/** What befalls those who watch a run. */
export function faultsOf(seed: number): Scenario['faults'] {
  const often = hashShare(`${seed}/often`) * 0.6;
  const moments = ['beforeCommit', 'beforeActions', 'afterActions', 'stalled'] as const;
  const seen: RunObservation[] = [];
  return {
    crash: (decision): Crash => {
      if (decision > 2000 || hashShare(`${seed}/crashes/${decision}`) > often) return 'no';
      return moments[Math.floor(hashShare(`${seed}/moment/${decision}`) * 4)] ?? 'no';
    },
    deliver: (batch) => {
      const standing = batch.filter(isStanding);
      const news = batch.filter((one) => !isStanding(one));
      const old = seen.slice(-10);
      seen.push(...news);
      return [...standing, ...old, ...news.toReversed(), ...news];
    },
  };
}

/** These replace what was told before, so that their order is part of what they say. */
function isStanding({ type }: RunObservation): boolean {
  return type === 'SpecObserved' || type === 'CircuitsObserved';
}
