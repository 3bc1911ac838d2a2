import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Pod } from './pod.ts';
import { goneProgress, patience, podProgress } from './status.ts';

/** As a kubelet 1.35 (and kwok, for what needs several nodes) wrote them. */
const pods = JSON.parse(
  readFileSync(new URL('../../../test/fixtures/pods/statuses.json', import.meta.url), 'utf8'),
) as Record<string, Pod>;
const now = Date.parse('2026-11-20T23:42:00Z');

function pod(name: string, change: Partial<Pod['metadata']> = {}): Pod {
  const found = pods[name];
  if (!found) throw new Error(`no Pod ${name}`);
  return { ...found, metadata: { ...found.metadata, ...change } };
}

function failed(reason: string, message: string, more: Partial<Pod['status']> = {}): Pod {
  return { ...pod('running'), status: { phase: 'Failed', reason, message, ...more } };
}

function terminated(state: object): Partial<Pod['status']> {
  return { containerStatuses: [{ name: 'step', state: { terminated: { exitCode: 137, ...state } } }] };
}

describe('how a Pod ended', () => {
  test.each([
    ['ok', { is: 'exited', exitCode: 0, message: 'ta=1', outOfMemory: false, at: Date.parse('2026-11-20T23:41:17Z') }],
    ['exit', { is: 'exited', exitCode: 3, message: '', outOfMemory: false }],
    ['oom', { is: 'exited', exitCode: 137, outOfMemory: true }],
    ['deadline', { is: 'broken', error: { type: 'deadline', retryable: true }, ran: true }],
    ['nostart', { is: 'broken', error: { type: 'configError', retryable: false }, ran: false }],
    ['initfail', { is: 'broken', error: { type: 'initContainer', retryable: true }, ran: false }],
    ['deleted', { is: 'broken', error: { type: 'podDeleted', retryable: true } }],
  ])('%s', (name, expected) => {
    expect(podProgress(pod(name), now, null)).toMatchObject(expected);
  });

  test.each([
    ['The node was low on resource: memory.', 'infrastructure/evicted'],
    ['Pod ephemeral local storage usage exceeds the total limit of containers 1Mi.', 'evicted'],
    ['Usage of EmptyDir volume "work" exceeds the limit "1Mi".', 'evicted'],
  ])('evicted by its node: %s', (message, type) => {
    for (const status of [{}, terminated({ reason: 'Error' }), terminated({ reason: 'ContainerStatusUnknown' })]) {
      const progress = podProgress(failed('Evicted', message, status), now, null);
      expect(progress).toMatchObject({ is: 'broken', error: { type, retryable: true } });
    }
  });

  test.each([
    ['OutOfcpu', "Node didn't have enough resource: cpu", 'infrastructure/nodeRefused'],
    ['UnexpectedAdmissionError', 'Allocate failed', 'infrastructure/nodeRefused'],
    ['NodeShutdown', 'Pod was rejected as the node is shutting down.', 'infrastructure/nodeLost'],
    ['Terminated', 'Pod was terminated in response to imminent node shutdown.', 'infrastructure/nodeLost'],
    ['Preempting', 'Preempted in order to admit critical pod', 'infrastructure/preempted'],
    ['', '', 'infrastructure/podFailed'],
  ])('failed without its container: %s', (reason, message, type) => {
    expect(podProgress(failed(reason, message), now, null)).toMatchObject({
      is: 'broken',
      error: { type, retryable: true },
    });
  });

  test('a container whose end its node has forgotten is lost', () => {
    const unknown = failed('', '', terminated({ reason: 'ContainerStatusUnknown' }));
    expect(podProgress(unknown, now, null)).toMatchObject({ error: { type: 'infrastructure/lost' } });
  });

  test('a script that ends well while its Pod is deleted has ended well', () => {
    const deletionTimestamp = '2026-11-20T23:41:47Z';
    const late = pod('ok', { deletionTimestamp, deletionGracePeriodSeconds: 30 });
    expect(podProgress(late, now, null)).toMatchObject({ is: 'exited', exitCode: 0 });
  });

  test.each([
    // asked for at 23:41:10, ended at 23:41:17 by the signal
    ['2026-11-20T23:41:40Z', 30, 'broken'],
    // asked for at 23:41:20, three seconds after it had failed by itself
    ['2026-11-20T23:41:50Z', 30, 'exited'],
    // the node's last word, which does not say any more when it was asked for
    ['2026-11-20T23:41:20Z', 0, 'exited'],
  ])('a script that failed, its Pod to be gone by %s (grace %i s): %s', (deletionTimestamp, grace, is) => {
    const dying = pod('exit', { deletionTimestamp, deletionGracePeriodSeconds: grace });
    expect(podProgress(dying, now, null).is).toBe(is);
  });
});

describe('what becomes of a Pod that is gone', () => {
  test.each([
    ['victim', 'infrastructure/preempted'],
    ['drained', 'infrastructure/evicted'],
    ['tainted', 'infrastructure/nodeLost'],
    ['running', 'podDeleted'],
    ['deleted', 'podDeleted'],
  ])('%s: %s', (name, type) => {
    expect(goneProgress(pod(name))).toMatchObject({ is: 'broken', error: { type, retryable: true } });
  });

  test('one whose container ended by itself keeps that end', () => {
    expect(goneProgress(pod('ok'))).toMatchObject({ is: 'exited', exitCode: 0 });
    expect(goneProgress(pod('exit'))).toMatchObject({ is: 'exited', exitCode: 3 });
  });

  test('one that nobody ever saw', () => {
    expect(goneProgress(null)).toMatchObject({ is: 'broken', error: { type: 'podDeleted' }, ran: false });
  });
});

describe('what runs, ends or waits', () => {
  test('a Pod that runs', () => {
    expect(podProgress(pod('running'), now, null)).toEqual({ is: 'running' });
  });

  test('one that is to end has its grace, and half a minute more', () => {
    const graceOver = Date.parse('2026-11-20T23:42:46Z');
    const judgeAt = graceOver + patience.unansweredMs;
    expect(podProgress(pod('taintedEnding'), now, null)).toEqual({ is: 'ending', judgeAt });
    expect(podProgress(pod('taintedEnding'), judgeAt, null)).toMatchObject({
      is: 'broken',
      error: { type: 'infrastructure/nodeLost' },
    });
    const byHand = pod('running', { deletionTimestamp: '2026-11-20T23:42:46Z', deletionGracePeriodSeconds: 30 });
    expect(podProgress(byHand, judgeAt - 1, null).is).toBe('ending');
    expect(podProgress(byHand, judgeAt, null)).toMatchObject({ error: { type: 'infrastructure/nodeLost' } });
  });

  test.each([
    ['badname', 'configError'],
    ['nosecret', 'configError'],
    ['nonroot', 'configError'],
  ])('%s is hopeless at once, and no retry helps', (name, type) => {
    expect(podProgress(pod(name), now, null)).toMatchObject({ is: 'hopeless', error: { type, retryable: false } });
  });

  test('an unschedulable Pod is given time, and then says why', () => {
    const since = Date.parse(pods['unsched']?.status?.conditions?.[0]?.lastTransitionTime ?? '');
    const judgeAt = since + patience.unschedulableMs;
    expect(podProgress(pod('unsched'), now, null)).toMatchObject({
      is: 'waiting',
      judgeAt,
      trouble: expect.stringMatching(/^Unschedulable: no node takes it: .*node affinity/),
    });
    // For a moment that is as always.
    const loudAt = since + patience.quietMs;
    const quiet = { is: 'waiting', reason: 'Unschedulable', judgeAt: loudAt, trouble: null };
    expect(podProgress(pod('unsched'), loudAt - 1, null)).toEqual(quiet);
    expect(podProgress(pod('unsched'), loudAt, null)).toMatchObject({ judgeAt });
    expect(podProgress(pod('unsched'), judgeAt, null)).toMatchObject({
      is: 'hopeless',
      error: { type: 'unschedulable', message: expect.stringContaining("didn't match Pod's node affinity/selector") },
    });
  });

  test('a registry that cannot be reached is given time, through failures and the pauses between them', () => {
    const first = podProgress(pod('nopull'), now, null);
    expect(first).toEqual({
      is: 'waiting',
      reason: 'ImagePull',
      judgeAt: now + patience.waitingMs,
      trouble: expect.stringMatching(/^(ErrImagePull|ImagePullBackOff): ./),
    });
    const later = now + patience.waitingMs;
    const pulling = pod('nopull');
    const failing: Pod = {
      ...pulling,
      status: {
        ...pulling.status,
        containerStatuses: [{ name: 'step', state: { waiting: { reason: 'ErrImagePull' } } }],
      },
    };
    expect(podProgress(failing, later, { reason: 'ImagePull', at: now })).toMatchObject({
      is: 'hopeless',
      error: { type: 'imagePull', retryable: true },
    });
  });

  test.each([
    'rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/library/busybox:none": failed to resolve reference "docker.io/library/busybox:none": docker.io/library/busybox:none: not found',
    'pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed',
    'no match for platform in manifest: not found',
  ])('an image that a registry refuses is hopeless at once: %s', (message) => {
    const refused: Pod = {
      ...pod('nopull'),
      status: {
        phase: 'Pending',
        containerStatuses: [{ name: 'step', state: { waiting: { reason: 'ErrImagePull', message } } }],
      },
    };
    expect(podProgress(refused, now, null)).toMatchObject({
      is: 'hopeless',
      error: { type: 'imagePull', retryable: false },
    });
  });

  test('volumes that are not mounted are waited for, for a while; a slow pull is for as long as it takes', () => {
    const since = now - 60_000;
    const creating = (status: 'True' | 'False', state = 'ContainerCreating'): Pod => ({
      ...pod('nopull'),
      status: {
        phase: 'Pending',
        conditions: [
          { type: 'PodReadyToStartContainers', status, lastTransitionTime: new Date(since).toISOString() },
          { type: 'PodScheduled', status: 'True' },
        ],
        containerStatuses: [{ name: 'step', state: { waiting: { reason: state } } }],
      },
    });
    const judgeAt = since + patience.preparedMs;
    for (const state of ['ContainerCreating', 'PodInitializing']) {
      expect(podProgress(creating('False', state), now, null)).toEqual({
        is: 'waiting',
        reason: 'infrastructure/notReadyToStart',
        judgeAt,
        trouble: 'its node has not mounted its volumes or not given it a network',
      });
      expect(podProgress(creating('False', state), since + patience.quietMs - 1, null)).toMatchObject({
        trouble: null,
      });
      expect(podProgress(creating('False', state), judgeAt, null)).toMatchObject({
        is: 'hopeless',
        error: { type: 'infrastructure/notReadyToStart', retryable: true },
      });
    }
    expect(podProgress(creating('True'), judgeAt, null)).toMatchObject({ is: 'waiting', judgeAt: null });
  });

  test('an init container that cannot begin is what the step waits for', () => {
    const waiting = { reason: 'CreateContainerConfigError', message: 'secret "x" not found' };
    const behind: Pod = {
      ...pod('running'),
      status: {
        phase: 'Pending',
        initContainerStatuses: [{ name: 'prep', state: { waiting } }],
        containerStatuses: [{ name: 'step', state: { waiting: { reason: 'PodInitializing' } } }],
      },
    };
    expect(podProgress(behind, now, null)).toMatchObject({ is: 'hopeless', error: { type: 'configError' } });
  });
});
