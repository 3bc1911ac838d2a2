import type { StepError } from '../../core/run/types.ts';
import type { Instant } from '../../core/time.ts';
import { awaitsCollecting, collectStatus, fetchFailure } from './artifacts.ts';
import { type ContainerStatus, type Pod, stepStatus, type Terminated } from './pod.ts';
import { notPrepared } from './wrapper.ts';

/** How long a Pod may wait for something that may yet come right by itself. */
export const patience = {
  /** No node takes it: an autoscaler needs minutes to make one. */
  unschedulableMs: 10 * 60_000,
  /** Its image cannot be pulled, or its container cannot be made: the kubelet tries again by itself. */
  waitingMs: 2 * 60_000,
  /** Its node mounts its volumes and gives it a network: attaching a disk takes minutes, and is tried again and again. */
  preparedMs: 5 * 60_000,
  /** Beyond its grace, a Pod that is deleted and does not end is on a node that does not answer. */
  unansweredMs: 30_000,
  /** A place and volumes are often not there at once: it is told as trouble after this long. */
  quietMs: 10_000,
} as const;

/** Why it may be that its node does not get it ready is not in its status. */
export const notReadyToStart = 'infrastructure/notReadyToStart';

/** How far a Pod is. */
export type PodProgress =
  /**
   * Nothing of the step runs yet; `reason`: why not, for comparing; `trouble`: what a person should know of it; null: it is
   * as always. Judged again at `judgeAt`, as time alone may change it.
   */
  | { is: 'waiting'; reason: string; judgeAt: Instant | null; trouble: string | null }
  | { is: 'running' }
  /** It is being deleted and its container has not ended yet, as far as its node says. */
  | { is: 'ending'; judgeAt: Instant }
  /** The container ended, whoever's doing it was; a message may come with it. */
  | { is: 'exited'; exitCode: number; at: Instant; message: string; outOfMemory: boolean }
  /** It ended, and not by the script's own doing; `at` null: by now. `ran`: there may be a log. */
  | { is: 'broken'; error: StepError; at: Instant | null; ran: boolean }
  /** It will never run as it is, but might yet: it must be gone before this counts as its end. */
  | { is: 'hopeless'; error: StepError };

/**
 * What a Pod's status means. Pure.
 * @param waitingSince since when it waits for the `reason` that this function last said
 */
export function podProgress(pod: Pod, now: Instant, waitingSince: { reason: string; at: Instant } | null): PodProgress {
  const terminated = stepStatus(pod)?.state?.terminated;
  if (terminated && !awaitsCollecting(pod, terminated)) return ended(pod, terminated);
  const disruption = disruptionOf(pod);
  if (pod.status?.phase === 'Failed') return broken(disruption ?? failedPod(pod), null, false);
  const graceOver = instant(pod.metadata.deletionTimestamp);
  const running = (stepStatus(pod)?.state?.running ?? collectStatus(pod)?.state?.running) !== undefined;
  if (graceOver !== null) {
    const judgeAt = graceOver + patience.unansweredMs;
    if (now < judgeAt) return { is: 'ending', judgeAt };
    const lost = infrastructure('nodeLost', 'it was to end and its node does not answer');
    return broken(disruption ?? lost, null, running);
  }
  return running ? { is: 'running' } : waiting(pod, now, waitingSince);
}

/** The end of a Pod that is gone; `last`: as it was seen last, null when it never was. */
export function goneProgress(last: Pod | null): PodProgress {
  const terminated = last === null ? undefined : stepStatus(last)?.state?.terminated;
  if (last !== null && terminated) return ended(last, terminated);
  const disruption = last === null ? null : disruptionOf(last);
  const ran = last !== null && stepStatus(last)?.state?.running !== undefined;
  return broken(disruption ?? deleted(), null, ran);
}

function ended(pod: Pod, terminated: Terminated): PodProgress {
  const at = instant(terminated.finishedAt);
  switch (terminated.reason) {
    case 'StartError':
    case 'ContainerCannotRun':
      return broken(cannotStart(terminated.reason, terminated.message), at, false);
    case 'ContainerStatusUnknown':
      return broken(disruptionOf(pod) ?? infrastructure('lost', 'its node does not know how it ended'), at, true);
  }
  if (terminated.exitCode === 0) return exited(pod, terminated);
  const disruption = disruptionOf(pod);
  if (disruption) return broken(disruption, at, true);
  if (pod.status?.reason === 'DeadlineExceeded') return broken(failedPod(pod), at, true);
  if (endedAfterDeletion(pod, terminated)) return broken(deleted(), at, true);
  return exited(pod, terminated);
}

function broken(error: StepError, at: Instant | null, ran: boolean): PodProgress {
  return { is: 'broken', error, at, ran };
}

function deleted(): StepError {
  return { type: 'podDeleted', message: 'its Pod was deleted by something other than this run', retryable: true };
}

/** The container ended when the Pod's deletion had been asked for. Instants are whole seconds; both are the cluster's. */
export function endedAfterDeletion(pod: Pod, terminated: Terminated): boolean {
  const graceOver = instant(pod.metadata.deletionTimestamp);
  if (graceOver === null) return false;
  const grace = pod.metadata.deletionGracePeriodSeconds ?? 0;
  // The node's last word before the Pod goes: when it was asked for is not in it any more, but how it ended tells.
  if (grace === 0) return terminated.exitCode === 143 || terminated.exitCode === 137;
  const requested = graceOver - grace * 1000;
  const finished = instant(terminated.finishedAt);
  return finished === null || finished >= requested;
}

function exited(pod: Pod, terminated: Terminated): PodProgress {
  const message = terminated.message ?? '';
  if (terminated.exitCode === notPrepared && message === '') {
    const error = mistake('configError', 'its work directory could not be prepared; the log says why');
    return broken(error, instant(terminated.finishedAt), true);
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

function failedPod(pod: Pod): StepError {
  const { reason = '', message = '' } = pod.status ?? {};
  if (reason === 'DeadlineExceeded') {
    return { type: 'deadline', message: 'its activeDeadlineSeconds were over', retryable: true };
  }
  // The node took it and then could not: somebody else was faster.
  if (/^OutOf|^UnexpectedAdmissionError$|^NodeAffinity$|^NodePorts$/.test(reason)) {
    return infrastructure('nodeRefused', `${reason}: ${message}`);
  }
  const init = pod.status?.initContainerStatuses?.find((c) => (c.state?.terminated?.exitCode ?? 0) !== 0);
  if (init?.state?.terminated) {
    const fetching = fetchFailure(pod);
    if (fetching) return fetching;
    const { exitCode, message: why } = init.state.terminated;
    const what = `init container ${init.name} failed: exit code ${exitCode}${why ? `: ${why}` : ''}`;
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
    const trouble = `Unschedulable: ${error.message}`;
    return quietWait('Unschedulable', { from, forMs: patience.unschedulableMs }, now, error, trouble);
  }
  const container = waitingContainer(pod);
  const { reason = '', message = '' } = container?.state?.waiting ?? {};
  const from = since?.reason === waitName(reason) ? since.at : now;
  switch (reason) {
    case 'CreateContainerConfigError':
      return { is: 'hopeless', error: mistake('configError', `${reason}: ${message}${adviceOn(message, pod)}`) };
    case 'InvalidImageName':
      return { is: 'hopeless', error: mistake('configError', `${reason}: ${message}`) };
    case 'ErrImageNeverPull':
      return { is: 'hopeless', error: mistake('imagePull', message || reason) };
    case 'ErrImagePull':
    case 'ImagePullBackOff':
    case 'RegistryUnavailable':
    case 'ImageInspectError':
    case 'SignatureValidationFailed': {
      const error = imagePull(reason, message);
      if (!error.retryable) return { is: 'hopeless', error };
      return wait(waitName(reason), from + patience.waitingMs, now, error, `${reason}: ${error.message}`);
    }
    case 'CreateContainerError':
    case 'RunContainerError': {
      const error = cannotStart(reason, message);
      return wait(waitName(reason), from + patience.waitingMs, now, error, error.message);
    }
    default:
      return notPreparedYet(pod, now) ?? { is: 'waiting', reason, judgeAt: null, trouble: null };
  }
}

/** Its node has not mounted its volumes, or not given it a network; null when it has, and pulls its image maybe. */
function notPreparedYet(pod: Pod, now: Instant): PodProgress | null {
  const ready = pod.status?.conditions?.find((c) => c.type === 'PodReadyToStartContainers');
  const since = ready?.status === 'False' ? instant(ready.lastTransitionTime) : null;
  if (since === null) return null;
  const trouble = 'its node has not mounted its volumes or not given it a network';
  const message = `${trouble} for ${patience.preparedMs / 60_000} minutes`;
  const error: StepError = { type: notReadyToStart, message, retryable: true };
  return quietWait(notReadyToStart, { from: since, forMs: patience.preparedMs }, now, error, trouble);
}

/** What the kubelet misses, and the person who wrote the step can give. */
function adviceOn(message: string, { metadata }: Pod): string {
  if (!/not found|couldn't find key/.test(message)) return '';
  return `; create it in namespace ${metadata.namespace}, and the run again`;
}

/** The kubelet says in turn that a pull failed and that it pauses: one wait. */
function waitName(reason: string): string {
  return /Pull|Registry|Image|Signature/.test(reason) ? 'ImagePull' : reason;
}

function wait(reason: string, until: Instant, now: Instant, error: StepError, trouble: string): PodProgress {
  if (now >= until) return { is: 'hopeless', error };
  return { is: 'waiting', reason, judgeAt: until, trouble };
}

/** What may well come right in a moment is no trouble yet. */
function quietWait(
  reason: string,
  { from, forMs }: { from: Instant; forMs: number },
  now: Instant,
  error: StepError,
  trouble: string,
): PodProgress {
  const loudAt = from + patience.quietMs;
  if (now < loudAt) return { is: 'waiting', reason, judgeAt: loudAt, trouble: null };
  return wait(reason, from + forMs, now, error, trouble);
}

/** The first container that cannot begin, init containers included, as the step waits for them. */
function waitingContainer(pod: Pod): ContainerStatus | undefined {
  const init = pod.status?.initContainerStatuses?.find(
    (c) => c.state?.waiting !== undefined && c.state.waiting.reason !== 'PodInitializing',
  );
  if (init) return init;
  const step = stepStatus(pod);
  return step?.state?.terminated === undefined ? step : collectStatus(pod);
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
