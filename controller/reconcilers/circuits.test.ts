import { expect, test } from 'vitest';
import { firstOpenMs, threshold } from '../core/circuit.ts';
import type { AttemptKey, AttemptResult, RunAction } from '../core/run/types.ts';
import { createCircuits } from './circuits.ts';

const nothing = () => {};
const now = { at: 1000 };
const clock = { now: () => now.at, monotonic: () => now.at, at: () => () => {} };
const host = 'api.example:8080';
const down: AttemptResult = {
  outcome: 'Failed',
  error: { type: 'http', message: 'refused', retryable: true, unreachable: true },
};

let attempt = 0;
function start(url = `http://${host}/x`): { key: AttemptKey; action: RunAction } {
  const key = { runId: 'r', step: 's', item: -1, attempt: ++attempt };
  const body = { kind: 'http', url } as Extract<RunAction, { type: 'Start' }>['body'];
  return { key, action: { type: 'Start', key, body } as RunAction };
}

function request(circuits: ReturnType<typeof createCircuits>, result: AttemptResult, url?: string): void {
  const { key, action } = start(url);
  circuits.sending([action]);
  circuits.ended(key, result);
}

test('a host that does not answer is held back, then probed once, then free again', () => {
  let closed = 0;
  const circuits = createCircuits(clock, () => closed++);
  for (let i = 0; i < threshold; i++) request(circuits, down);
  expect(circuits.held()).toEqual([{ host, until: 1000 + firstOpenMs }]);
  expect(circuits.list()).toEqual([{ host, state: 'Open', failures: threshold, openUntil: 1000 + firstOpenMs }]);

  now.at += firstOpenMs;
  expect(circuits.held()).toEqual([]);
  const probe = start();
  circuits.sending([probe.action]);
  expect(circuits.held()).toHaveLength(1);
  expect(closed).toBe(0);
  circuits.ended(probe.key, { outcome: 'Succeeded', outputs: { values: {} } });
  expect(closed).toBe(1);
  expect(circuits.held()).toEqual([]);
  expect(circuits.list()).toEqual([]);
});

test.each<[string, AttemptResult]>([
  [
    'an answer that was not expected',
    { outcome: 'Failed', error: { type: 'http', message: '', retryable: false, status: 404 } },
  ],
  ['a request that was refused here', { outcome: 'Failed', error: { type: 'http', message: '', retryable: false } }],
  ['an attempt that was stopped', { outcome: 'Stopped' }],
])('%s says nothing against the host', (_, result) => {
  const circuits = createCircuits(clock, nothing);
  for (let i = 0; i < 2 * threshold; i++) request(circuits, result);
  expect(circuits.held()).toEqual([]);
});

test('hosts are told apart by port, and one is not held back for another', () => {
  const circuits = createCircuits(clock, nothing);
  for (let i = 0; i < threshold; i++) request(circuits, down);
  request(circuits, down, 'http://api.example:9090/x');
  expect(circuits.held().map((one) => one.host)).toEqual([host]);
});
