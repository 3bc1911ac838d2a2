import { expect, test } from 'vitest';
import { unitReason } from './steps.ts';

const refused = { type: 'http', message: 'the request failed', retryable: true };

test.each([
  ['Waiting', 'CircuitOpen', refused, 'CircuitOpen; http: the request failed'],
  ['Waiting', 'WaitingForApproval', null, 'WaitingForApproval'],
  ['Failed', null, refused, 'http: the request failed'],
  ['Retrying', 'Backoff', refused, 'http: the request failed'],
])('a step that is %s says why: %s', (phase, reason, error, said) => {
  expect(unitReason({ phase, reason, error, via: 'main', iteration: 1 })).toBe(said);
});
