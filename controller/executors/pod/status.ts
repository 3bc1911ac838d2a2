import type { StepError } from '../../core/run/types.ts';
import type { Instant } from '../../core/time.ts';
import { type ContainerStatus, type Pod, stepStatus, type Terminated } from './pod.ts';
import { notPrepared } from './wrapper.ts';

/** How long a Pod may wait for something that may yet come right by itself. */
export const patience = {
  /** No node takes it: an autoscaler needs minutes to make one. */
  unschedulableMs: 10 * 60_000,
  /** Its image cannot be pulled, or its container cannot be made: the kubelet tries again by itself. */
  waitingMs: 2 * 60_000,
} as const;

/** How far a Pod is. */
export type PodProgress =
  /** Nothing of the step runs yet; `reason`: why not, for comparing. Judged again at `judgeAt`, as time alone may end it. */
  | { is: 'waiting'; reason: string; judgeAt: Instant | null }
  | { is: 'running' }
  /** The container ended by itself; a message may come with it. */
  | { is: 'exited'; exitCode: number; at: Instant; message: string; outOfMemory: boolean }
  /** It will not end well, and not by the script's own doing; `at` null: by now. */
  | { is: 'broken'; error: StepError; at: Instant | null };

/**
 * What a Pod's status means. Pure.
 * @param waitingSince since when it waits for the `reason` that this function last said
 */
export function podProgress(pod: Pod, now: Instant, waitingSince: { reason: string; at: Instant } | null): PodProgress {
  const terminated = stepStatus(pod)?.state?.terminated;
  const disruption = disruptionOf(pod);
  if (terminated && isOwnEnd(pod, terminated, disruption !== null)) return exited(pod, terminated);
  const at = terminated ? instant(terminated.finishedAt) : null;
  if (disruption) return { is: 'broken', error: disruption, at };
  if (pod.status?.phase === 'Failed') return { is: 'broken', error: failedPod(pod, terminated), at };
  if (terminated) return { is: 'broken', error: cannotStart(terminated.reason, terminated.message), at };
  if (stepStatus(pod)?.state?.running) return { is: 'running' };
  return waiting(pod, now, waitingSince);
}

/** True when the container's end is the script's, not that of a Pod that somebody or something ended. */
function isOwnEnd(pod: Pod, terminated: Terminated, disrupted: boolean): boolean {
  if (terminated.reason === 'StartError' || terminated.reason === 'ContainerCannotRun') return false;
  if (terminated.reason === 'ContainerStatusUnknown') return false;
  if (pod.status?.reason === 'Evicted' || pod.status?.reason === 'DeadlineExceeded') return terminated.exitCode === 0;
  if (disrupted && terminated.exitCode !== 0) return false;
  return !endedByDeletion(pod, terminated);
}

/** The container ended when the Pod was being deleted already. Instants are whole seconds; both are the cluster's. */
export function endedByDeletion(pod: Pod, terminated: Terminated): boolean {
  const requested = deletionRequestedAt(pod);
  const finished = instant(terminated.finishedAt);
  return requested !== null && (finished === null || finished >= requested);
}

/** When the deletion of a Pod was asked for: its `deletionTimestamp` is when its grace is over. */
function deletionRequestedAt(pod: Pod): Instant | null {
  const over = instant(pod.metadata.deletionTimestamp);
  return over === null ? null : over - (pod.metadata.deletionGracePeriodSeconds ?? 0) * 1000;
}

function exited(pod: Pod, terminated: Terminated): PodProgress {
  const message = terminated.message ?? '';
  if (terminated.exitCode === notPrepared && message === '') {
    return {
      is: 'broken',
      error: mistake('configError', 'its work directory could not be prepared; the log says why'),
      at: instant(terminated.finishedAt),
    };
  }
  return {
    is: 'exited',
    exitCode: terminated.exitCode,
    at: instant(terminated.finishedAt) ?? instant(pod.metadata.creationTimestamp) ?? 0,
    message,
    outOfMemory: terminated.reason === 'OOMKilled',
  };
}

/** Why the cluster itself ends a Pod: condition DisruptionTarget, or what older ways leave in the status. */
function disruptionOf(pod: Pod): StepError | null {
  const { status } = pod;
  if (status?.reason === 'Evicted') return evicted(status.message ?? '');
  if (status?.reason === 'NodeLost') return infrastructure('nodeLost', status.message ?? 'its node is lost');
  if (status?.reason === 'Preempting') return infrastructure('preempted', status.message ?? '');
  if (status?.reason === 'Terminated' || status?.reason === 'NodeShutdown' || status?.reason === 'Shutdown') {
    return infrastructure('nodeLost', status.message ?? 'its node was shut down');
  }
  const target = status?.conditions?.find((c) => c.type === 'DisruptionTarget' && c.status === 'True');
  if (!target) return null;
  const message = target.message ?? '';
  switch (target.reason) {
    case 'PreemptionByScheduler':
      return infrastructure('preempted', message || 'a Pod of higher priority took its place');
    case 'DeletionByTaintManager':
    case 'DeletionByPodGC':
      return infrastructure('nodeLost', `its node is lost${message ? `: ${message}` : ''}`);
    case 'EvictionByEvictionAPI':
      return infrastructure('evicted', message || 'it was evicted, as when a node is drained');
    case 'TerminationByKubelet':
      return evicted(message);
    default:
      return infrastructure('evicted', `${target.reason ?? 'DisruptionTarget'}${message ? `: ${message}` : ''}`);
  }
}

/** A node that runs short evicts whom it likes; a Pod over its own limit is evicted for what it did. */
function evicted(message: string): StepError {
  const own = /exceeds the (total )?limit|exceeded its local storage limit|exceeds the limit/i.test(message);
  if (own) return { type: 'evicted', message: `it was evicted: ${message}`, retryable: true };
  return infrastructure('evicted', message || 'its node ran short of a resource');
}

function failedPod(pod: Pod, terminated: Terminated | undefined): StepError {
  const { reason = '', message = '' } = pod.status ?? {};
  if (reason === 'DeadlineExceeded') {
    return { type: 'deadline', message: 'its activeDeadlineSeconds were over', retryable: true };
  }
  // The node took it and then could not: somebody else was faster.
  if (/^OutOf|^UnexpectedAdmissionError$|^NodeAffinity$|^NodePorts$/.test(reason)) {
    return infrastructure('nodeRefused', `${reason}: ${message}`);
  }
  if (terminated) {
    return terminated.reason === 'ContainerStatusUnknown'
      ? infrastructure('lost', 'its node does not know how it ended')
      : cannotStart(terminated.reason, terminated.message);
  }
  const init = pod.status?.initContainerStatuses?.find((c) => (c.state?.terminated?.exitCode ?? 0) !== 0);
  if (init) {
    const { exitCode, reason: why } = init.state?.terminated as Terminated;
    const what = `init container ${init.name} failed: exit code ${exitCode}${why ? ` (${why})` : ''}`;
    return { type: 'initContainer', message: what, retryable: true };
  }
  return infrastructure('podFailed', `${reason || 'the Pod failed'}${message ? `: ${message}` : ''}`);
}

function waiting(pod: Pod, now: Instant, since: { reason: string; at: Instant } | null): PodProgress {
  const scheduled = pod.status?.conditions?.find((c) => c.type === 'PodScheduled');
  if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable') {
    const from = instant(scheduled.lastTransitionTime) ?? since?.at ?? now;
    const error: StepError = {
      type: 'unschedulable',
      message: `no node takes it: ${scheduled.message ?? 'the scheduler does not say why'}`,
      retryable: true,
    };
    return wait('Unschedulable', from + patience.unschedulableMs, now, error);
  }
  const container = waitingContainer(pod);
  const { reason = '', message = '' } = container?.state?.waiting ?? {};
  const from = since?.reason === waitName(reason) ? since.at : now;
  switch (reason) {
    case 'CreateContainerConfigError':
    case 'InvalidImageName':
      return { is: 'broken', error: mistake('configError', `${reason}: ${message}`), at: null };
    case 'ErrImageNeverPull':
      return { is: 'broken', error: mistake('imagePull', message || reason), at: null };
    case 'ErrImagePull':
    case 'ImagePullBackOff':
    case 'RegistryUnavailable':
    case 'ImageInspectError':
    case 'SignatureValidationFailed': {
      const error = imagePull(reason, message);
      if (!error.retryable) return { is: 'broken', error, at: null };
      return wait(waitName(reason), from + patience.waitingMs, now, error);
    }
    case 'CreateContainerError':
    case 'RunContainerError':
      return wait(waitName(reason), from + patience.waitingMs, now, cannotStart(reason, message));
    default:
      return { is: 'waiting', reason, judgeAt: null };
  }
}

/** The kubelet says in turn that a pull failed and that it pauses: one wait. */
function waitName(reason: string): string {
  return /Pull|Registry|Image|Signature/.test(reason) ? 'ImagePull' : reason;
}

function wait(reason: string, until: Instant, now: Instant, error: StepError): PodProgress {
  if (now >= until) return { is: 'broken', error, at: null };
  return { is: 'waiting', reason, judgeAt: until };
}

/** The first container that cannot begin, init containers included, as the step waits for them. */
function waitingContainer(pod: Pod): ContainerStatus | undefined {
  const init = pod.status?.initContainerStatuses?.find((c) => c.state?.waiting?.reason !== 'PodInitializing');
  if (init?.state?.waiting) return init;
  return stepStatus(pod);
}

/** What a registry says that no further try will change. */
const finalRefusal =
  /not found|manifest unknown|name unknown|does not exist|pull access denied|insufficient_scope|authorization failed|unauthorized|no match for platform|invalid reference/i;

function imagePull(reason: string, message: string): StepError {
  const final = finalRefusal.test(message);
  return { type: 'imagePull', message: message || reason, retryable: !final };
}

function cannotStart(reason: string | undefined, message: string | undefined): StepError {
  return mistake('configError', `${reason ?? 'the container could not start'}${message ? `: ${message}` : ''}`);
}

function mistake(type: string, message: string): StepError {
  return { type, message, retryable: false };
}

function infrastructure(what: string, message: string): StepError {
  return { type: `infrastructure/${what}`, message, retryable: true };
}

function instant(time: string | undefined): Instant | null {
  if (time === undefined) return null;
  const ms = Date.parse(time);
  return Number.isNaN(ms) ? null : ms;
}
