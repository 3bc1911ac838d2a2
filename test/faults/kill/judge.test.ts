import { describe, expect, test } from 'vitest';
import type { SeenAttempt, SeenRun, SeenStep } from './history.ts';
import { type Evidence, judge } from './judge.ts';

const at = (second: number) => new Date(second * 1000);

function run(more: Partial<SeenRun> = {}): SeenRun {
  return {
    id: 'r',
    name: 'two-0',
    workflow: 'two',
    phase: 'Succeeded',
    depth: 0,
    execution: 1,
    parent: null,
    outputs: { n: 1 },
    error: null,
    finishedAt: at(9),
    ...more,
  };
}

function step(name: string, from: number, more: Partial<SeenStep> = {}): SeenStep {
  return {
    runId: 'r',
    step: name,
    item: -1,
    phase: 'Succeeded',
    reason: null,
    startedAt: at(from),
    finishedAt: at(from + 1),
    ...more,
  };
}

function attempt(name: string, more: Partial<SeenAttempt> = {}): SeenAttempt {
  return {
    runId: 'r',
    step: name,
    item: -1,
    number: 1,
    via: 'main',
    phase: 'Succeeded',
    startedAt: at(1),
    finishedAt: at(2),
    error: null,
    ...more,
  };
}

function evidence(more: Partial<Evidence> = {}): Evidence {
  return {
    scenarios: {
      two: {
        weight: 1,
        phases: ['Succeeded'],
        spec: {
          steps: [
            { name: 'a', run: 'true' },
            { name: 'b', run: 'true', needs: ['a'] },
          ],
        },
        outputs: (n) => ({ n }),
      },
    },
    asked: [{ name: 'two-0', workflow: 'two', n: 1, lane: 0 }],
    runs: [run()],
    steps: [step('a', 1), step('b', 3)],
    attempts: [attempt('a'), attempt('b')],
    effectOf: ({ step, number }) => `${step}${number}`,
    effects: ['a1', 'b1'],
    troubles: [],
    outlives: true,
    ...more,
  };
}

test('a run that went as it should', () => {
  expect(judge(evidence())).toMatchObject({ problems: [], attempts: 2, finished: 2, effects: 2, duplicates: 0 });
});

test.each<[string, Partial<Evidence>, string]>([
  ['happened twice', { effects: ['a1', 'b1', 'a1'] }, 'happened 2 times'],
  ['never happened', { effects: ['a1'] }, 'is recorded and never happened'],
  ['nobody recorded', { effects: ['a1', 'b1', 'b2'] }, 'b2 happened and is not recorded'],
  ['nothing is recorded of', { runs: [], steps: [], attempts: [], effects: [] }, 'nothing is recorded of it'],
  ['never ended', { runs: [run({ finishedAt: null, phase: 'Running' })] }, 'never ended: Running'],
  ['ended otherwise', { runs: [run({ phase: 'Failed' })] }, 'ended Failed'],
  ['yields something else', { runs: [run({ outputs: { n: 2 } })] }, 'yields {"n":2}, not {"n":1}'],
  ['skipped a step', { steps: [step('a', 1), step('b', 3, { phase: 'Skipped' })] }, 'step b is Skipped'],
  ['began too early', { steps: [step('a', 1), step('b', 1)] }, 'b began though a was Succeeded'],
  ['ended before its step', { steps: [step('a', 1), step('b', 30)] }, 'step b ended after its run'],
  [
    'left an attempt open',
    { attempts: [attempt('a'), attempt('b', { phase: 'Running', finishedAt: null })] },
    'attempt 1 of b[-1] never ended',
  ],
  [
    'has a child that outlived it',
    { runs: [run(), run({ id: 'c', name: 'c', depth: 1, parent: { runId: 'r' }, finishedAt: at(10) })] },
    'it outlived its parent',
  ],
])('what %s is told', (_, wrong, problem) => {
  expect(judge(evidence(wrong)).problems.join('\n')).toContain(problem);
});

test('what was undone in the order of doing is told', () => {
  const undone = { phase: 'Compensated' };
  const undo = (name: string, second: number) => attempt(name, { number: 2, via: 'compensate', startedAt: at(second) });
  const problems = judge(
    evidence({
      steps: [step('a', 1, undone), step('b', 3, undone)],
      attempts: [undo('a', 5), undo('b', 6)],
      effects: [],
    }),
  ).problems.join('\n');
  expect(problems).toContain('a was undone before b, which came later');
});

test('what is filled by two at once is told, one after the other not', () => {
  const { scenarios } = evidence();
  const two = scenarios['two'];
  if (!two) throw new Error('there is no workflow');
  const filled = (second: number) => ({
    scenarios: { two: { ...two, fills: 'a' } },
    runs: [run(), run({ id: 's', name: 'two-1' })],
    attempts: [attempt('a'), attempt('a', { runId: 's', startedAt: at(second), finishedAt: at(9) })],
    effectOf: ({ runId }: SeenAttempt) => runId,
    effects: ['r', 's'],
  });
  expect(judge(evidence(filled(1.5))).problems.join('\n')).toContain('two-1 and two-0 fill the cache');
  expect(judge(evidence(filled(3))).problems).toEqual([]);
});

describe('an attempt that is recorded as lost', () => {
  const error = { type: 'infrastructure/lost', message: 'its process is gone' };
  const lost = (number: number, more: Partial<SeenAttempt> = {}) =>
    attempt('a', { number, phase: 'Failed', error, ...more });
  const attempts = [lost(1), attempt('a', { number: 2 }), attempt('b')];
  const killed = { from: at(0), to: at(2) };
  const problems = (more: Partial<Evidence>) => judge(evidence({ attempts, troubles: [killed], ...more })).problems;

  test('may never have begun, when its controller was killed', () => {
    expect(problems({ effects: ['a2', 'b1'] })).toEqual([]);
  });

  test('has not begun where what begins outlives its controller', () => {
    expect(problems({ effects: ['a1', 'a2', 'b1'] }).join('\n')).toContain('a1) is recorded as lost, and had begun');
    expect(problems({ effects: ['a1', 'a2', 'b1'], outlives: false })).toEqual([]);
  });

  test('was not lost where nothing was done to anybody', () => {
    const said = 'nothing was killed, stalled or away meanwhile';
    expect(problems({ effects: ['a2', 'b1'], troubles: [] }).join('\n')).toContain(said);
    const long = { from: at(100), to: at(101) };
    expect(problems({ effects: ['a2', 'b1'], troubles: [long] }).join('\n')).toContain(said);
    const before = [lost(1, { startedAt: at(60), finishedAt: at(61) }), ...attempts.slice(1)];
    expect(problems({ effects: ['a2', 'b1'], attempts: before }).join('\n')).toContain(said);
  });

  test('and had its effect again and again is told each time', () => {
    const all = [1, 2, 3, 4, 5].map((number) => lost(number));
    const effects = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'b1'];
    const verdict = judge(
      evidence({ attempts: [...all, attempt('a', { number: 6 }), attempt('b')], effects, troubles: [killed] }),
    );
    expect(verdict).toMatchObject({ lost: { 'infrastructure/lost': 5 }, wronglyLost: 5, duplicates: 0 });
    expect(verdict.problems).toHaveLength(5);
  });
});
