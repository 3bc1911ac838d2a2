import { describe, expect, test } from 'vitest';
import type { WorkflowRun, WorkflowRunStatus } from '../../../crds/workflow-run.ts';
import { newRun } from './create.ts';
import { endedRow, judgeHistory, lostMessage } from './history-lost.ts';

function status(revision: number | null, finished: 'True' | 'False' | null): WorkflowRunStatus {
  return {
    ...(revision === null ? {} : { revision, digest: 'sha256:1' }),
    ...(finished === null
      ? {}
      : {
          conditions: [
            {
              type: 'Finished',
              status: finished,
              reason: 'X',
              message: '',
              lastTransitionTime: '2026-01-01T00:00:00Z',
            },
          ],
        }),
  };
}

describe('what object and row say of each other', () => {
  test.each([
    ['neither status nor row', undefined, null, 'New'],
    ['a run that waits for its workflow', status(null, 'False'), null, 'New'],
    ['cancelled before anything was recorded', status(null, 'True'), null, 'Known'],
    ['recorded, nothing shown yet', undefined, 0, 'Known'],
    ['it waited when it was shown last', status(null, 'False'), 3, 'Known'],
    ['the status is behind', status(2, 'False'), 3, 'Known'],
    ['the status is as new', status(3, 'False'), 3, 'Known'],
    ['the end is in both', status(3, 'True'), 3, 'Known'],
    ['the status is ahead', status(4, 'False'), 3, 'Lost'],
    ['the status has seen the end, the row has not', status(4, 'True'), 3, 'Ended'],
    ['a run that was recorded has no row', status(0, 'False'), null, 'Lost'],
    ['a run that was under way has no row', status(4, 'False'), null, 'Lost'],
    ['a run that has ended has no row', status(4, 'True'), null, 'Ended'],
  ] as const)('%s', (_, seen, revision, verdict) => {
    expect(judgeHistory(seen, revision === null ? null : { revision })).toBe(verdict);
  });

  test('the message says what is missing and what to do', () => {
    expect(lostMessage(status(4, 'False'), null)).toContain('revision 4, but nothing of it is recorded');
    expect(lostMessage(status(4, 'False'), { revision: 2 })).toContain('only revision 2 is recorded');
    expect(lostMessage(status(4, 'False'), null)).toContain('Set spec.desired to Cancelled');
  });
});

describe('the row of a run that has ended, from its object', () => {
  const run: WorkflowRun = {
    apiVersion: 'windlass.dev/v1alpha1',
    kind: 'WorkflowRun',
    metadata: {
      name: 'a',
      namespace: 'dev',
      uid: 'u1',
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: '2026-01-02T03:04:05Z',
      labels: {},
      annotations: {},
    },
    spec: { workflow: 'report', inputs: { n: 1 } },
    status: {
      ...status(9, 'True'),
      phase: 'Succeeded',
      version: 'v1.2.0',
      environment: 'prod',
      startedAt: '2026-01-02T03:04:06.000Z',
      finishedAt: '2026-01-02T03:04:09.000Z',
      outputs: { url: 'x' },
    },
  };

  test('all that the object knows is kept', () => {
    expect(endedRow(run, null, 0)).toMatchObject({
      id: 'u1',
      namespace: 'dev',
      name: 'a',
      workflow: 'report',
      digest: 'sha256:1',
      version: 'v1.2.0',
      environment: 'prod',
      environmentUid: null,
      inputs: { n: 1 },
      phase: 'Succeeded',
      outcome: 'Succeeded',
      date: '2026-01-02',
      startedAt: Date.parse('2026-01-02T03:04:06Z'),
      finishedAt: Date.parse('2026-01-02T03:04:09Z'),
      outputs: { url: 'x' },
      error: null,
      revision: 9,
    });
  });

  test('the environment of its namespace is the one it ran for, if it has the name', () => {
    expect(endedRow(run, null, 0, { environment: 'prod', uid: 'u-prod' })).toMatchObject({ environmentUid: 'u-prod' });
    expect(endedRow(run, null, 0, { environment: 'dev', uid: 'u-dev' })).toMatchObject({ environmentUid: null });
  });

  test('what the row knows already stays, and it is raised above both', () => {
    const before = {
      ...newRun({ ...endedRow(run, null, 0), values: { bucket: 'b' }, inputs: { n: 1, more: 2 } }),
      revision: 12,
      startedAt: 7,
    };
    expect(endedRow(run, before, 0)).toMatchObject({
      values: { bucket: 'b' },
      inputs: { n: 1, more: 2 },
      startedAt: 7,
      phase: 'Succeeded',
      revision: 13,
    });
  });

  test('the execution is the last that either knows of', () => {
    expect(endedRow(run, null, 0).execution).toBe(1);
    const second = { ...run, status: { ...run.status, execution: 2 } };
    expect(endedRow(second, null, 0).execution).toBe(2);
    expect(endedRow(second, { ...endedRow(run, null, 0), execution: 3 }, 0).execution).toBe(3);
  });

  test.each(['Failed', 'TimedOut', 'Cancelled'])('%s has an error that says why, as far as it is known', (phase) => {
    const conditions = [
      {
        type: 'Succeeded',
        status: 'False' as const,
        reason: phase,
        message: 'step x: exit code 1',
        lastTransitionTime: '',
      },
    ];
    const ended = endedRow({ ...run, status: { ...run.status, phase, conditions } }, null, 0);
    expect(ended).toMatchObject({
      phase,
      outcome: phase,
      error: { type: 'historyLost', message: 'step x: exit code 1' },
    });
  });

  test('an end without an instant, or with one that is none, is now', () => {
    const { finishedAt: _, ...rest } = run.status ?? {};
    expect(endedRow({ ...run, status: rest }, null, 77).finishedAt).toBe(77);
    expect(endedRow({ ...run, status: { ...rest, finishedAt: 'soon' } }, null, 77).finishedAt).toBe(77);
  });
});
