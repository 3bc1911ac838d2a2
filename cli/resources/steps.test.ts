import { expect, test } from 'vitest';
import type { Step } from '../../api/client.ts';
import { stepReason, unitReason } from './steps.ts';

const nested = {
  type: 'child',
  message: 'the run a-b-c failed: step inner: the run d-e-f timed out: step last: exit code 1: no such table',
  retryable: true,
};

test('the error of a child of a child begins with what went wrong, not with the names of the runs', () => {
  expect(unitReason({ phase: 'Failed', reason: null, error: nested, via: 'main', iteration: 1 })).toBe(
    'child: step inner: step last: exit code 1: no such table',
  );
});

const refused = { type: 'http', message: 'the request failed', retryable: true };

test.each([
  ['Waiting', 'CircuitOpen', refused, 'CircuitOpen; http: the request failed'],
  ['Waiting', 'WaitingForApproval', null, 'WaitingForApproval'],
  ['Failed', null, refused, 'http: the request failed'],
  ['Retrying', 'Backoff', refused, 'http: the request failed'],
])('a step that is %s says why: %s', (phase, reason, error, said) => {
  expect(unitReason({ phase, reason, error, via: 'main', iteration: 1 })).toBe(said);
});

test.each([
  [
    'Waiting',
    'WaitingForApproval',
    null,
    '1 more approval of groups editors',
    'WaitingForApproval; needs 1 more approval of groups editors',
  ],
  [
    'Running',
    null,
    { total: 3, phases: { Succeeded: 1, Waiting: 2 } },
    '1 more approval',
    '1/3 items; needs 1 more approval',
  ],
  ['Succeeded', null, null, null, ''],
])('an approval step that is %s says what is missing: %#', (phase, reason, items, missing, said) => {
  const approval = { groups: null, count: 1, missing };
  const step = { name: 'a', phase, reason, error: null, via: 'main', iteration: 0, items, approval };
  expect(stepReason(step as unknown as Step)).toBe(said);
});
