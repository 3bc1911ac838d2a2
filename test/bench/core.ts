import { hydrate } from '../../controller/core/run/hydrate.ts';
import { decideRun } from '../../controller/core/run/decide.ts';
import type { Plan } from '../../controller/core/plan/types.ts';
import type { RunObservation } from '../../controller/core/run/types.ts';
import type { StepSpec } from '../../crds/workflow.ts';
import { createdAt, planOf, queuedRun } from '../fixtures/plans.ts';
import { type Figure, median } from './figures.ts';

type NamedStep = Partial<StepSpec> & { name: string };
const rounds = 7;

/** Runs a plan to its end in memory: every start is answered at once by a success. Returns CPU milliseconds. */
function runToEnd(plan: Plan): { startMs: number; stepsMs: number } {
  const begun = process.cpuUsage();
  let now = createdAt;
  let decision = decideRun(plan, hydrate(plan, { run: queuedRun(plan), steps: [], attempts: [] }), [], now);
  const started = process.cpuUsage(begun);
  const afterStart = process.cpuUsage();
  while (decision.actions.length > 0) {
    // One observation a decision, as they come when steps end one after the other.
    const actions = decision.actions.filter((action) => action.type === 'Start');
    const pending = [...actions];
    let next = pending.pop();
    const later: typeof actions = [];
    while (next) {
      now += 1;
      const seen: RunObservation = {
        type: 'AttemptEnded',
        step: next.key.step,
        item: next.key.item,
        attempt: next.key.attempt,
        at: now,
        result: { outcome: 'Succeeded', outputs: { values: { text: 'x' } } },
      };
      decision = decideRun(plan, decision.state, [seen], now);
      later.push(...decision.actions.filter((action) => action.type === 'Start'));
      next = pending.pop() ?? later.pop();
    }
  }
  if (decision.state.run.phase !== 'Succeeded') throw new Error(`the bench's run ended ${decision.state.run.phase}`);
  const ended = process.cpuUsage(afterStart);
  return { startMs: (started.user + started.system) / 1000, stepsMs: (ended.user + ended.system) / 1000 };
}

function chain(length: number): NamedStep[] {
  return Array.from({ length }, (_, i) => ({
    name: `s${i}`,
    template: { text: 'x' },
    ...(i > 0 ? { needs: [`s${i - 1}`] } : {}),
  }));
}

function fanOut(width: number): NamedStep[] {
  return [
    { name: 'first', template: { text: 'x' } },
    ...Array.from({ length: width - 2 }, (_, i) => ({ name: `s${i}`, needs: ['first'], template: { text: 'x' } })),
    { name: 'last', needs: Array.from({ length: width - 2 }, (_, i) => `s${i}`), template: { text: 'x' } },
  ];
}

/** CPU per step of a 10,000-step run over that of 100-step runs; the same number of steps is run on both sides. */
export function growth(shape: 'chain' | 'fan-out'): Figure {
  const steps = shape === 'chain' ? chain : fanOut;
  const small = planOf({ steps: steps(100) });
  const large = planOf({ steps: steps(10_000) });
  const perStep = { small: [] as number[], large: [] as number[] };
  for (let i = 0; i < rounds; i++) {
    let total = 0;
    for (let j = 0; j < 100; j++) total += runToEnd(small).stepsMs;
    perStep.small.push(total / 10_000);
    perStep.large.push(runToEnd(large).stepsMs / 10_000);
  }
  // The first round warms the compiler up.
  const [smallMs, largeMs] = [median(perStep.small.slice(1)), median(perStep.large.slice(1))];
  return {
    name: `CPU per step, 10,000-step over 100-step ${shape}`,
    values: { ratio: largeMs / smallMs, small: smallMs * 1000, large: largeMs * 1000 },
    unit: '× (µs per step)',
    bar: '≤1.3×',
    met: largeMs / smallMs <= 1.3,
  };
}

/** Conditions decided by `decideRun` alone: 50 steps, a condition each. */
export function conditions(): Figure {
  const steps: NamedStep[] = Array.from({ length: 50 }, (_, i) => ({
    name: `s${i}`,
    if: i === 0 ? "inputs.region == 'eu'" : `steps.s${i - 1}.outputs.n >= ${i - 1} && inputs.region != 'us'`,
    decide: { cases: [{ then: { n: i } }] },
  }));
  return rate(
    'conditions in decideRun, 50 steps',
    planOf({ inputs: { region: { type: 'string' } }, steps }),
    50,
    100_000,
  );
}

/** `${{ }}` substitutions in `decideRun` alone: 50 steps of four each. */
export function substitutions(): Figure {
  const steps: NamedStep[] = Array.from({ length: 50 }, (_, i) => {
    const before = i === 0 ? 'inputs.region' : `steps.s${i - 1}.outputs.a`;
    const value = `\${{ ${before} }}`;
    return { name: `s${i}`, decide: { cases: [{ then: { a: value, b: `b ${value}`, c: `${value} c`, d: value } }] } };
  });
  return rate(
    'substitutions in decideRun, 50 steps',
    planOf({ inputs: { region: { type: 'string' } }, steps }),
    200,
    200_000,
  );
}

function rate(name: string, plan: Plan, each: number, bar: number): Figure {
  const once = () => {
    const state = hydrate(plan, { run: queuedRun(plan, { inputs: { region: 'eu' } }), steps: [], attempts: [] });
    const begun = performance.now();
    const { state: ended } = decideRun(plan, state, [], createdAt);
    const spent = performance.now() - begun;
    if (ended.run.phase !== 'Succeeded') throw new Error(`the bench's run ended ${ended.run.phase}`);
    return spent;
  };
  for (let i = 0; i < 500; i++) once();
  const samples = Array.from({ length: 2000 }, once);
  const perSecond = (each * 1000) / median(samples);
  return { name, values: { rate: perSecond }, unit: 'per second', bar: `≥${bar}`, met: perSecond >= bar };
}
