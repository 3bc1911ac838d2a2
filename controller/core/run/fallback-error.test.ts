import { expect, test } from 'vitest';
import { createdAt, planOf, queuedRun } from '../../../test/fixtures/plans.ts';
import { decideRun } from './decide.ts';
import { hydrate } from './hydrate.ts';
import { type AttemptRow, type RunAction, type RunRows, type StepRow, wholeStep } from './types.ts';

const plan = planOf({
  steps: [
    {
      name: 'a',
      fallback: [
        {
          run: 'other',
          env: { WHY: '${{ error.message }}' },
          retry: { limit: 1, backoff: { initial: '1s', jitter: 0 } },
        },
      ],
    },
  ],
});

/** Decides on rows alone, as after a crash, and gives the rows as they are then. */
function decide(rows: RunRows, at: number, failed?: string): { rows: RunRows; starts: RunAction[] } {
  const live = rows.attempts.find(({ phase }) => phase === 'Starting');
  const error = { type: 'exit', message: failed ?? '', retryable: true };
  const ended = { type: 'AttemptEnded', step: 'a', item: wholeStep, attempt: live?.number ?? 0, at } as const;
  const observations = failed === undefined ? [] : [{ ...ended, result: { outcome: 'Failed', error } as const }];
  const { transition, actions } = decideRun(plan, hydrate(plan, rows), observations, at);
  const steps = new Map([...rows.steps, ...(transition?.steps ?? [])].map((row): [string, StepRow] => [row.step, row]));
  const attempts = new Map(
    [...rows.attempts, ...(transition?.attempts ?? [])].map((row): [number, AttemptRow] => [row.number, row]),
  );
  return {
    rows: structuredClone({
      run: transition?.run ?? rows.run,
      steps: [...steps.values()],
      attempts: [...attempts.values()],
    }),
    starts: actions.filter(({ type }) => type === 'Start'),
  };
}

const why = (env: string) => [
  expect.objectContaining({ body: expect.objectContaining({ script: 'other', env: { WHY: env } }) }),
];

test('a fallback reads how the attempt before it failed, and the same when the run is hydrated', () => {
  const begun = decide({ run: queuedRun(plan), steps: [], attempts: [] }, createdAt);
  const first = decide(begun.rows, createdAt + 1000, 'out of paper');
  expect(first.starts).toEqual(why('out of paper'));
  expect(decide(first.rows, createdAt + 1001).starts).toEqual(why('out of paper'));
  const pause = decide(first.rows, createdAt + 2000, 'out of ink');
  expect(pause.starts).toEqual([]);
  const second = decide(pause.rows, createdAt + 3000);
  expect(second.starts).toEqual(why('out of ink'));
  expect(decide(second.rows, createdAt + 3001).starts).toEqual(why('out of ink'));
});
