import type { decideAdmission } from '../../controller/core/admission/decide.ts';
import type { Plan } from '../../controller/core/plan/types.ts';
import type { RunRow } from '../../controller/core/run/types.ts';
import type { Instant } from '../../controller/core/time.ts';
import { createdAt, planOf, queuedRun } from '../fixtures/plans.ts';
import { beginLife, type Life, type WorldOptions } from '../fixtures/world.ts';
import { createAdmission } from '../fixtures/world-admission.ts';
import { judgeAdmission } from './admission-judge.ts';
import { newlyWatched, note } from './history.ts';
import { judge } from './judge.ts';
import { foretell } from './oracle.ts';
import { type Random, randomOf } from './random.ts';
import { faultsOf, worldOf } from './scenarios.ts';
import { randomWorkflow } from './workflows.ts';
import type { Written } from './written.ts';

type Decide = typeof decideAdmission;

/** A run among others, and how it is judged at its end. */
interface Neighbour {
  life: Life;
  createdAt: Instant;
  judge(): string[];
}

/** Workflows that many histories share: making one ready costs more than a run of it. */
const worldsOfOne = 20;
let last: { seed: number; workflows: { written: Written; plan: Plan }[] } | null = null;

/**
 * Lives through a history of three to six runs in one namespace, whose locks, groups and slots the core's own admission hands
 * out, and judges each of its decisions, and each run.
 * @param decide another admission, for those that judge the judge
 * @returns what is wrong, one line each
 */
export function liveTogether(seed: number, decide?: Decide): string[] {
  const random = randomOf(seed * 31 + 7);
  const problems: string[] = [];
  const slots = random.chance(0.5) ? 1 + random.below(4) : null;
  const admission = createAdmission({
    slots,
    ...(decide && { decide }),
    onDecision: (facts, decision) => problems.push(...judgeAdmission(facts, decision)),
  });
  const workflows = workflowsFor(Math.floor(seed / worldsOfOne));
  const neighbours = Array.from({ length: 3 + random.below(4) }, (_, i): Neighbour => {
    const { written, plan } = random.pick(workflows);
    const own = seed * 8 + i;
    const queued = runOf(plan, i, random);
    const watched = newlyWatched({ limitedSlots: slots !== null });
    const { fate, spec } = worldOf(own, randomOf(own));
    // Most are left alone: what befalls them is what their neighbours hold.
    const options: WorldOptions = {
      ...(fate && { fate }),
      spec: (random.chance(0.3) ? (spec ?? []) : []).map((one) => ({
        ...one,
        at: one.at + queued.createdAt - createdAt,
      })),
      limitedSlots: slots !== null,
    };
    const locks = admission.join({
      runId: queued.id,
      name: queued.name,
      supersede: (reason, now) => life.tell(now, { desired: 'Cancelled', reason }),
    });
    const life: Life = beginLife(plan, queued, {
      ...options,
      ...faultsOf(own),
      locks,
      onDecision: (seen) => note(watched, seen),
    });
    return {
      life,
      createdAt: queued.createdAt,
      judge() {
        const world = life.end();
        const said = { ...options, spec: world.told };
        const wrong = [...judge(plan, world, watched), ...foretell(written, world, said, watched.outcomeAt)];
        return wrong.map((problem) => `${queued.name}: ${problem}`);
      },
    };
  });
  liveOn(neighbours, admission.look);
  for (const claim of admission.claims()) problems.push(`in the end, ${claim}`);
  for (const one of neighbours) problems.push(...one.judge());
  return problems.map((problem) => `shared: ${problem}`);
}

/** Until nothing happens any more to anybody. */
function liveOn(neighbours: Neighbour[], look: (now: Instant) => void): void {
  const unborn = new Set(neighbours);
  const nextOf = (one: Neighbour) => {
    if (unborn.has(one)) return one.createdAt;
    return one.life.isOver() ? Number.POSITIVE_INFINITY : one.life.nextAt();
  };
  for (;;) {
    const now = Math.min(...neighbours.map(nextOf));
    if (!Number.isFinite(now)) return;
    for (const one of neighbours) {
      if (nextOf(one) > now) continue;
      unborn.delete(one);
      one.life.moveTo(now);
      one.life.turn();
      // One that has ended asks for nothing more, and may have said so to nobody.
      look(now);
    }
  }
}

function runOf(plan: Plan, i: number, random: Random): RunRow {
  const id = `7b0b4a52-7f1d-4e7f-9a52-6d1c1f0c000${i}`;
  const name = `run-${i}`;
  const at = createdAt + random.below(12_000);
  const priority = random.pick([-1, 0, 0, 0, 5]);
  return queuedRun(plan, { id, name, root: id, rootName: name, createdAt: at, queuedAt: at, priority });
}

/** Of few names, so that runs wait for each other, and for what their neighbours' steps hold. */
function workflowsFor(seed: number) {
  if (last?.seed !== seed) {
    const random = randomOf(seed * 104_729 + 5);
    const workflows = Array.from({ length: 3 }, () => {
      const { concurrency: _, locks: __, queueTimeout: ___, ...rest } = randomWorkflow(random);
      const written: Written = { ...rest };
      if (random.chance(0.4)) {
        const policy = random.pick(['Queue', 'Queue', 'CancelRunning', 'Reject'] as const);
        written.concurrency = { group: random.pick(['g', 'h']), policy };
      }
      if (random.chance(0.5)) {
        const [held = 'red', wanted = 'red'] = shuffled(['red', 'green'], random);
        written.locks = [{ name: held, limit: 1 }];
        // Its run holds one and it wants the other: of those that do it the other way round, one has to give way.
        if (random.chance(0.6)) written.steps = written.steps.map((step) => ({ ...step, locks: [{ name: wanted }] }));
      }
      if (random.chance(0.1)) written.queueTimeout = '30s';
      return { written, plan: planOf(written) };
    });
    last = { seed, workflows };
  }
  return last.workflows;
}

function shuffled<T>(all: readonly T[], random: Random): T[] {
  return random.chance(0.5) ? [...all] : all.toReversed();
}
