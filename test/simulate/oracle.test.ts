import { expect, test } from 'vitest';
import type { Body, Plan, PlanStep } from '../../controller/core/plan/types.ts';
import { decideRun } from '../../controller/core/run/decide.ts';
import type { RunObservation, RunTransition } from '../../controller/core/run/types.ts';
import type { WorldOptions } from '../fixtures/world.ts';
import { type Altered, judged } from './history.ts';

/** Histories within which each wrong engine is found out. */
const histories = 300;

function steps(change: (step: PlanStep) => Partial<PlanStep>): Altered {
  return { plan: (plan) => ({ ...plan, steps: plan.steps.map((step) => ({ ...step, ...change(step) })) }) };
}

/** Alters what a step does, its fallbacks and its compensation. */
function bodies(change: (body: Body) => Partial<Body>): Altered {
  const alter = (body: Body): Body => ({ ...body, ...change(body) });
  return steps(({ main, fallback, compensate }) => ({
    main: alter(main),
    fallback: fallback.map((one) => ('body' in one ? alter(one) : one)),
    compensate: compensate && alter(compensate),
  }));
}

function retries(change: (retry: Body['retry']) => Partial<Body['retry']>): Altered {
  return bodies(({ retry }) => ({ retry: { ...retry, ...change(retry) } }));
}

function run(change: (plan: Plan) => Partial<Plan>): Altered {
  return { plan: (plan) => ({ ...plan, ...change(plan) }) };
}

/** An engine that takes news for something else. */
function hears(change: (seen: RunObservation) => RunObservation): Altered {
  return {
    options: (given): WorldOptions => ({
      ...given,
      deliver: (batch) => (given.deliver?.(batch) ?? batch).map(change),
    }),
  };
}

/** An engine that records something else than it should. */
function records(change: (transition: RunTransition, plan: Plan) => RunTransition): Altered {
  return {
    options: (given): WorldOptions => ({
      ...given,
      decide: (plan, ...facts) => {
        const decision = decideRun(plan, ...facts);
        const { transition } = decision;
        return { ...decision, transition: transition && change(transition, plan) };
      },
    }),
  };
}

const wrongs: [string, Altered][] = [
  ['never retries', retries(() => ({ limit: 0 }))],
  ['retries once too often', retries(({ limit }) => ({ limit: limit + 1 }))],
  ['does not look at retry.if', retries(() => ({ condition: null }))],
  ['retries without a pause', retries(() => ({ initialMs: 0 }))],
  ['pauses too long', retries(({ initialMs, maxMs }) => ({ initialMs: 2 * initialMs, maxMs: 2 * maxMs }))],
  [
    'has no budget for what the infrastructure loses',
    hears((seen) => {
      if (seen.type !== 'AttemptEnded' || seen.result.outcome !== 'Failed') return seen;
      const { error } = seen.result;
      const retryable = error.retryable && !error.type.startsWith('infrastructure/');
      return { ...seen, result: { outcome: 'Failed', error: { ...error, retryable } } };
    }),
  ],
  [
    'ends until after the first time',
    steps(({ until }) => ({
      until: until && { ...until, condition: { ...until.condition, evaluate: () => true } },
    })),
  ],
  ['repeats until once too often', steps(({ until }) => ({ until: until && { ...until, limit: until.limit + 1 } }))],
  ['leaves out the pause between repetitions', steps(({ until }) => ({ until: until && { ...until, intervalMs: 0 } }))],
  ['never tries a fallback', steps(() => ({ fallback: [] }))],
  ['tries only the first fallback', steps(({ fallback }) => ({ fallback: fallback.slice(0, 1) }))],
  [
    'says that a collecting forEach with failures has succeeded',
    records((transition, plan) => ({
      ...transition,
      steps: transition.steps.map((row) => {
        const forEach = plan.steps[plan.byName.get(row.step) ?? -1]?.forEach ?? null;
        const collects = forEach !== null && !forEach.failFast && row.item < 0 && row.phase === 'Failed';
        return collects ? { ...row, phase: 'Succeeded', error: null } : row;
      }),
    })),
  ],
  [
    'goes on with a forEach that fails fast',
    steps(({ forEach }) => ({ forEach: forEach && { ...forEach, failFast: false } })),
  ],
  ['does items one by one', steps(({ forEach }) => ({ forEach: forEach && { ...forEach, parallelism: 1 } }))],
  ['does all items at once', steps(({ forEach }) => ({ forEach: forEach && { ...forEach, parallelism: null } }))],
  ["does not look at an attempt's timeout", bodies(() => ({ timeoutMs: null }))],
  ['does not look at deadlines', steps(() => ({ deadlineMs: null }))],
  ['does not look at the timeout of the run', run(() => ({ timeoutMs: null }))],
  ['does not look at the timeout of the queue', run(() => ({ queueTimeoutMs: null }))],
  [
    'uses less than the parallelism of the run',
    run(({ parallelism }) => ({ parallelism: parallelism && Math.max(1, parallelism - 1) })),
  ],
  ['runs what its own if leaves out', steps(() => ({ condition: null }))],
  [
    'takes low for a failure',
    steps(({ criticality }) => ({ criticality: criticality === 'low' ? 'high' : criticality })),
  ],
  [
    'lets pass what needs a medium failure',
    steps(({ criticality }) => ({ criticality: criticality === 'medium' ? 'low' : criticality })),
  ],
  [
    'goes on after a critical failure',
    steps(({ criticality }) => ({ criticality: criticality === 'critical' ? 'high' : criticality })),
  ],
  [
    'says Succeeded of what is Degraded',
    records((transition) => {
      const { run } = transition;
      return run.phase === 'Degraded' ? { ...transition, run: { ...run, phase: 'Succeeded' } } : transition;
    }),
  ],
  [
    'leaves out finally when it is cancelled',
    hears((seen) => (seen.type === 'SpecObserved' && seen.desired === 'Cancelled' ? { ...seen, force: true } : seen)),
  ],
  ['undoes nothing', steps(() => ({ compensate: null }))],
  [
    'tries a compensation only once',
    steps(({ compensate }) => ({
      compensate: compensate && { ...compensate, retry: { ...compensate.retry, limit: 0 } },
    })),
  ],
  [
    'takes a rejection for an approval',
    hears((seen) =>
      seen.type === 'SpecObserved'
        ? { ...seen, approvals: seen.approvals.map((entry) => ({ ...entry, decision: 'Approve' })) }
        : seen,
    ),
  ],
  ['does not look at circuits', hears((seen) => (seen.type === 'CircuitsObserved' ? { ...seen, open: [] } : seen))],
];

test('the engine as it is does what the oracle foretells', () => {
  for (let seed = 0; seed < histories; seed++) expect({ seed, problems: judged(seed) }).toEqual({ seed, problems: [] });
});

test.each(wrongs)('an engine is found out that %s', (_, altered) => {
  const found = Array.from({ length: histories }, (_, seed) => seed).find((seed) => judged(seed, altered).length > 0);
  expect(found).toBeDefined();
});
