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

const exit = { type: 'exit', message: 'exit code 3', retryable: true };

test.each([
  ['Compensated', null, null, ''],
  ['Succeeded', 'Compensating', null, 'Compensating'],
  ['Succeeded', 'Compensating', exit, 'Compensating; exit: exit code 3'],
  ['Succeeded', 'CompensationWaitingForLocks', null, 'CompensationWaitingForLocks'],
  ['Succeeded', 'CompensationFailed', exit, 'compensation failed: exit: exit code 3'],
])('a step that is or was to be undone says how far that is: %s %s', (phase, reason, error, said) => {
  expect(unitReason({ phase, reason, error, via: 'compensate', iteration: 0 })).toBe(said);
});

test.each([
  [{ Compensated: 3 }, '3/3 items undone'],
  [{ Compensated: 1, Succeeded: 2 }, '1/3 items undone'],
  [{ Compensated: 2, Failed: 1 }, '2/3 items undone, 1 failed'],
  [{ Succeeded: 1, Skipped: 1, TimedOut: 1 }, '2/3 items, 1 failed'],
])('a fan-out says how many of its items were undone: %j', (phases, said) => {
  const step = { phase: 'Succeeded', reason: null, error: null, via: 'main', iteration: 0, approval: null };
  expect(stepReason({ ...step, items: { total: 3, phases } } as unknown as Step)).toBe(said);
});
