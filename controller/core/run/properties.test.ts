import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { StepSpec } from '../../../crds/workflow.ts';
import { liveThrough } from '../../../test/simulate/history.ts';
import { planOf, queuedRun, createdAt } from '../../../test/fixtures/plans.ts';
import { canonicalView } from '../../../test/fixtures/run-view.ts';
import { type Fate, runWorld, type WorldOptions } from '../../../test/fixtures/world.ts';
import type { Plan } from '../plan/types.ts';
import { hashShare, infrastructureBudget } from '../retry.ts';
import { decideRun } from './decide.ts';
import { hydrate } from './hydrate.ts';
import { hasEnded } from './units.ts';
import { type AttemptKey, isFinished, type RunObservation } from './types.ts';

interface Scenario {
  plan: Plan;
  options: WorldOptions;
}

type DraftStep = Partial<StepSpec> & { name: string };

const stepParts = fc.record({
  needs: fc.array(fc.nat(30), { maxLength: 3 }),
  kind: fc.constantFrom('run', 'run', 'run', 'template', 'http', 'assert', 'decide', 'wait', 'approval'),
  condition: fc.constantFrom(null, null, null, 'true', 'false', 'always()', 'failure()', 'previous', '1 / 0 == 1'),
  retries: fc.nat(3),
  timeout: fc.constantFrom(undefined, '2s', '10s'),
  deadline: fc.constantFrom(undefined, undefined, '15s'),
});

const workflow = fc
  .record({
    main: fc.array(stepParts, { minLength: 1, maxLength: 12 }),
    finally: fc.array(stepParts, { maxLength: 3 }),
    timeout: fc.constantFrom(undefined, undefined, '20s', '2m'),
  })
  .map(({ main, finally: last, timeout }) =>
    planOf({
      steps: main.map((parts, i) => draft(parts, i, 's')),
      finally: last.map((parts, i) => draft(parts, i, 'f')),
      ...(timeout === undefined ? {} : { timeout }),
      outputs: { first: '${{ steps.s0.phase }}' },
    }),
  );

type Parts = typeof stepParts extends fc.Arbitrary<infer T> ? T : never;

function draft(parts: Parts, i: number, prefix: string): DraftStep {
  const needs = i === 0 ? [] : [...new Set(parts.needs.map((n) => `${prefix}${n % i}`))];
  const condition =
    parts.condition === 'previous' ? (needs[0] ? `steps.${needs[0]}.phase == 'Succeeded'` : null) : parts.condition;
  const retry = { limit: parts.retries, backoff: { initial: '1s', max: '3s' } };
  const attempts = { retry, ...(parts.timeout === undefined ? {} : { timeout: parts.timeout }) };
  const step: DraftStep = { name: `${prefix}${i}`, needs };
  if (condition !== null) step.if = condition;
  if (parts.deadline !== undefined) step.deadline = parts.deadline;
  return { ...step, ...kindParts(parts, attempts) };
}

function kindParts(parts: Parts, attempts: Pick<DraftStep, 'retry' | 'timeout'>): Omit<DraftStep, 'name'> {
  switch (parts.kind) {
    case 'template':
      return { ...attempts, template: { text: 'hello' } };
    case 'http':
      return { ...attempts, http: { url: 'http://localhost/' } };
    case 'assert':
      return { assert: [{ that: parts.retries > 0 ? 'true' : 'false' }] };
    case 'decide':
      return { decide: { cases: [{ then: { lane: 'bulk' } }] } };
    case 'wait':
      return { wait: { for: `${parts.retries * 3}s` } };
    case 'approval':
      return { approval: { count: 1, timeout: '30s' } };
    default:
      return { ...attempts, run: 'true', outputs: { n: { type: 'integer' } } };
  }
}

/** How attempts go is fixed by the seed and the key, so that a run can be lived through twice. */
function fates(seed: number): (key: AttemptKey) => Fate {
  return ({ step, attempt }) => {
    const share = (what: string) => hashShare(`${seed}/${step}/${attempt}/${what}`);
    const afterMs = Math.floor(share('after') * 15_000);
    const stopsAfterMs = Math.floor(share('stop') * 2_000);
    const luck = share('luck');
    if (luck < 0.55) {
      const outputs = { values: luck < 0.05 ? { n: 'undeclared or of another type' } : {} };
      return { afterMs, stopsAfterMs, result: { outcome: 'Succeeded', outputs } };
    }
    const type = luck < 0.7 ? 'infrastructure/lost' : 'exit';
    return {
      afterMs,
      stopsAfterMs,
      result: { outcome: 'Failed', error: { type, message: 'no', retryable: luck < 0.9 } },
    };
  };
}

const scenario: fc.Arbitrary<Scenario> = fc
  .record({
    plan: workflow,
    seed: fc.nat(),
    changes: fc.array(
      fc.record({
        after: fc.nat(60_000),
        desired: fc.constantFrom('Running', 'Running', 'Paused', 'Cancelled'),
        approves: fc.array(fc.nat(12), { maxLength: 4 }),
        decision: fc.constantFrom('Approve', 'Approve', 'Reject'),
      }),
      { maxLength: 4 },
    ),
  })
  .map(({ plan, seed, changes }): Scenario => {
    const spec = changes.map(({ after, desired, approves, decision }) => ({
      at: createdAt + after,
      desired,
      approvals: approves.map((n) => ({
        step: `s${n}`,
        user: 'ada',
        groups: [],
        decision,
        comment: null,
        execution: 1,
      })),
    }));
    // A run that stays paused need not end: in the end it is resumed.
    spec.push({ at: createdAt + 90_000, desired: 'Running', approvals: spec.at(-1)?.approvals ?? [] });
    return { plan, options: { spec, fate: fates(seed) } };
  });

const runs = { numRuns: 300 };

describe('a run, whatever happens to it', () => {
  test('ends, with every step ended and no attempt left open', () => {
    fc.assert(
      fc.property(scenario, ({ plan, options }) => {
        const world = runWorld(plan, queuedRun(plan), options);
        expect(isFinished(world.run.phase)).toBe(true);
        expect([...world.steps.values()].filter((row) => !hasEnded(row.phase))).toEqual([]);
        expect(world.steps.size).toBe(plan.steps.length);
        expect([...world.attempts.values()].filter((row) => row.finishedAt === null)).toEqual([]);
      }),
      runs,
    );
  });

  test('has nothing wrong with it, with everything that the engine has and all faults; by seed', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        // Live through it again: npm run test:simulate -- --seed SEED
        expect(liveThrough(seed)).toEqual([]);
      }),
      runs,
    );
  });

  test('starts no step before its needs have ended, and no finally before all of the main steps', () => {
    fc.assert(
      fc.property(scenario, ({ plan, options }) => {
        const world = runWorld(plan, queuedRun(plan), {
          ...options,
          onDecision: ({ state, transition }) => {
            for (const row of transition?.steps ?? []) {
              const step = plan.steps[plan.byName.get(row.step) ?? -1];
              if (!step || row.startedAt === null) continue;
              const before = step.section === 'finally' ? plan.steps.slice(0, plan.mainCount) : [];
              for (const need of [...step.needs, ...before.map((main) => main.index)]) {
                expect(state.steps[need]?.row?.finishedAt).not.toBeNull();
                expect(state.steps[need]?.row?.finishedAt).toBeLessThanOrEqual(row.startedAt);
              }
            }
          },
        });
        expect(isFinished(world.run.phase)).toBe(true);
      }),
      runs,
    );
  });

  test('never has more attempts than its retries and the budget of the infrastructure allow, numbered without gaps', () => {
    fc.assert(
      fc.property(scenario, ({ plan, options }) => {
        const world = runWorld(plan, queuedRun(plan), options);
        for (const step of plan.steps) {
          const attempts = [...world.attempts.values()].filter((row) => row.step === step.name);
          expect(attempts.map((row) => row.number)).toEqual(attempts.map((_, i) => i + 1));
          const lost = attempts.filter((row) => row.error?.type.startsWith('infrastructure/')).length;
          expect(lost).toBeLessThanOrEqual(infrastructureBudget + 1);
          expect(attempts.length - lost).toBeLessThanOrEqual(step.main.retry.limit + 1);
          expect(world.steps.get(step.name)?.attempts ?? 0).toBe(attempts.length);
        }
      }),
      runs,
    );
  });

  test('is decided once: deciding again with nothing new changes nothing and says nothing', () => {
    fc.assert(
      fc.property(scenario, ({ plan, options }) => {
        runWorld(plan, queuedRun(plan), {
          ...options,
          onDecision: ({ state, now, standing }) => {
            for (const seen of [[], standing] as RunObservation[][]) {
              const again = decideRun(plan, state, seen, now);
              expect(again.transition).toBeNull();
              expect(again.actions).toEqual([]);
            }
          },
        });
      }),
      runs,
    );
  });

  test('folding what was observed equals hydrating the rows it left', () => {
    fc.assert(
      fc.property(scenario, ({ plan, options }) => {
        runWorld(plan, queuedRun(plan), {
          ...options,
          onDecision: ({ state, now, rows: left, standing }) => {
            const rows = left();
            const rebuilt = decideRun(plan, hydrate(plan, rows), standing, now);
            expect(rebuilt.transition).toBeNull();
            expect(canonicalView(plan, rebuilt.state, now)).toEqual(canonicalView(plan, state, now));
            expect(rebuilt.wakeAt).toBe(decideRun(plan, state, [], now).wakeAt);
            const live = rows.attempts.map(
              ({ step, number, phase }) => `${phase === 'Starting' ? 'Start' : 'Stop'} ${step}/${number}`,
            );
            const said = rebuilt.actions.flatMap((action) =>
              'key' in action && typeof action.key !== 'string'
                ? [`${action.type} ${action.key.step}/${action.key.attempt}`]
                : [],
            );
            expect(said.toSorted()).toEqual(isFinished(rows.run.phase) ? [] : live.toSorted());
          },
        });
      }),
      runs,
    );
  });

  test('ends the same when what is observed comes twice, late and in another order', () => {
    fc.assert(
      fc.property(scenario, ({ plan, options }) => {
        const straight = runWorld(plan, queuedRun(plan), options);
        const seen: RunObservation[] = [];
        const deliver = (batch: RunObservation[]) => {
          const ends = batch.filter((one) => one.type === 'AttemptEnded');
          const old = seen.slice(-20);
          seen.push(...ends);
          return [...batch.filter((one) => one.type === 'SpecObserved'), ...old, ...ends.toReversed(), ...ends];
        };
        const noisy = runWorld(plan, queuedRun(plan), { ...options, deliver });
        expect(noisy.run).toEqual(straight.run);
        expect(noisy.steps).toEqual(straight.steps);
        expect(noisy.attempts).toEqual(straight.attempts);
      }),
      runs,
    );
  });

  test('ends the same though the replica dies again and again, at any moment', () => {
    fc.assert(
      fc.property(scenario, fc.nat(), ({ plan, options }, seed) => {
        const straight = runWorld(plan, queuedRun(plan), options);
        const moments = ['no', 'beforeCommit', 'beforeActions', 'afterActions'] as const;
        const crash = (decision: number) => moments[Math.floor(hashShare(`${seed}/${decision}`) * 4)] ?? 'no';
        const crashed = runWorld(plan, queuedRun(plan), { ...options, crash });
        expect(crashed.run.phase).toBe(straight.run.phase);
        expect(
          [...crashed.steps.values()].map(({ step, phase, reason }) => `${step} ${phase} ${reason}`).toSorted(),
        ).toEqual(
          [...straight.steps.values()].map(({ step, phase, reason }) => `${step} ${phase} ${reason}`).toSorted(),
        );
      }),
      runs,
    );
  });
});
