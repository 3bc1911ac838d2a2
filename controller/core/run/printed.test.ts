import { expect, test } from 'vitest';
import type { Condition } from '../../../crds/metadata.ts';
import { asPrinted } from './printed.ts';

const condition = (type: string, reason: string, status: Condition['status'] = 'True') => ({
  type,
  status,
  reason,
  message: '',
  lastTransitionTime: '2026-01-01T00:00:00Z',
});
const running = [condition('Succeeded', 'Running', 'Unknown'), condition('Reconciling', 'Running')];
const approval = condition('WaitingForApproval', 'WaitingForApproval');
const ended = (phase: string) => [condition('Succeeded', phase, 'False'), condition('Finished', phase)];

test.each([
  ['Running', 'it runs', running],
  ['StepHeld', 'a quota holds a step', [condition('Succeeded', 'StepHeld', 'Unknown')]],
  ['WorkflowNotFound', 'it waits for its workflow', [condition('Succeeded', 'WorkflowNotFound', 'Unknown')]],
  ['WaitingForApproval', 'a step waits for approval', [...running, approval]],
  ['Paused', 'it is paused, before all else that waits', [...running, approval, condition('Paused', 'Paused')]],
  ['Parked', 'nothing goes on until a person looks', [...running, condition('Stalled', 'Parked')]],
  ['Failed', 'it failed', [...ended('Failed'), condition('Stalled', 'Failed')]],
  ['ExecutionRefused', 'it does not go on', [...ended('Cancelled'), condition('ExecutionRefused', 'ExecutionRefused')]],
])('the reason is %s when %s', (reason, _, conditions) => {
  expect(asPrinted({ conditions }).reason).toBe(reason);
});

test.each([
  ['3f9c2ab1d4e5', '3f9c2ab1d4e5f60718293a4b5c6d7e8f90a1b2c3'],
  ['v1.4.0', 'v1.4.0'],
  ['sha256:0db7aaaaaaaa', undefined],
])('the version is %s', (shown, version) => {
  const digest = `sha256:0db7${'a'.repeat(60)}`;
  expect(asPrinted({ digest, ...(version === undefined ? {} : { version }) }).shortVersion).toBe(shown);
});

test('a run of which nothing is known yet says nothing', () => {
  expect(asPrinted({})).toEqual({});
});
