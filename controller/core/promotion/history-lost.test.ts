import { expect, test } from 'vitest';
import type { Environment } from '../../../crds/environment.ts';
import { lostHistory } from './history-lost.ts';

function environment(revision: number | null): Environment {
  return {
    apiVersion: 'windlass.dev/v1alpha1',
    kind: 'Environment',
    metadata: {
      name: 'prod',
      namespace: 'team',
      uid: 'u',
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: {},
      annotations: {},
    },
    spec: { source: { name: 'repo' }, track: { branch: 'main' } },
    ...(revision === null ? {} : { status: { revision } }),
  };
}

test.each([
  ['nothing shown, nothing recorded', null, 0, false],
  ['nothing shown yet', null, 4, false],
  ['shown as recorded', 4, 4, false],
  ['the status is behind', 3, 4, false],
  ['the status is ahead', 5, 4, true],
  ['a status, and nothing recorded', 1, 0, true],
])('%s', (_, seen, recorded, lost) => {
  expect(lostHistory(environment(seen), recorded) !== null).toBe(lost);
});

test('it says how far it is behind, and how to go on', () => {
  const { reason, message } = lostHistory(environment(5), 4) ?? {};
  expect(reason).toBe('HistoryLost');
  expect(message).toContain('come to revision 5, but only 4 is recorded');
  expect(message).toContain(`kubectl patch environment prod -n team --subresource=status`);
});
