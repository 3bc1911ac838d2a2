import type { AttemptKey, StepError } from '../../core/run/types.ts';
import type { RefusedStatus } from '../../kubernetes/errors.ts';

/**
 * What it means for a step that the API server did not create its Pod; null when the step is not to blame and a later try
 * may do (an overloaded server, permissions taken from the controller, a full quota, a namespace so new that it has no
 * account yet).
 */
export function refusalOf(status: RefusedStatus, namespace: string): StepError | null {
  const { code, reason, message, causes } = status;
  if (causes.some((cause) => cause.reason === 'NamespaceTerminating')) {
    return final('namespaceTerminating', `namespace ${namespace} is being deleted; create the run in another one`);
  }
  switch (code) {
    case 404:
      return final('namespaceMissing', `namespace ${namespace} does not exist`);
    case 400:
    case 422:
      return final('podInvalid', `the API server refuses the Pod: ${message}`);
    case 403:
      return reason === 'Forbidden' ? forbidden(message, namespace) : null;
    default:
      return null;
  }
}

/** Why a step that `refusalOf` finds no fault with cannot begin for now, and what a person can do. */
export function holdOf(
  { message, code }: RefusedStatus,
  { key, namespace }: { key: AttemptKey; namespace: string },
): string {
  const what = `step ${key.step} cannot begin: ${message || `the API server answers ${code}`}`;
  if (notAllowed.test(message)) {
    return `${what}. Give the controller its role in namespace ${namespace} back; it is tried again by itself`;
  }
  if (fullQuota.test(message)) {
    const room = aboutFiles.test(message) ? 'ConfigMaps have been removed' : 'other Pods have ended';
    return `${what}. It begins when ${room}, or the quota is raised`;
  }
  return `${what}. It is tried again by itself`;
}

/** Who is not allowed is the controller: no step can help it. */
const notAllowed = /cannot \w+ resource/;
/** The ConfigMap with the files of its version. */
const aboutFiles = /^configmaps "/;
/** What `baseline` refuses as well, in the words of `restricted`. */
const beyondBaseline = /hostPath|hostPort|host namespaces|privileged \(/;
/** Other Pods end and make room. */
const fullQuota = /exceeded quota/;

function forbidden(message: string, namespace: string): StepError | null {
  if (notAllowed.test(message) || fullQuota.test(message)) return null;
  const account = /error looking up service account [^/]+\/([^:]+):/.exec(message)?.[1];
  if (account !== undefined) {
    if (account === 'default') return null;
    return final('serviceAccount', `service account ${account} does not exist in namespace ${namespace}`);
  }
  if (/violates PodSecurity/.test(message)) {
    const level = /PodSecurity "restricted/.test(message) && !beyondBaseline.test(message) ? 'baseline' : 'privileged';
    const allow = `kubectl label namespace ${namespace} --overwrite pod-security.kubernetes.io/enforce=${level}`;
    return final('podSecurity', `${message}. Let the step ask for less, or allow it in the namespace: ${allow}`);
  }
  return final('podRefused', message);
}

function final(type: string, message: string): StepError {
  return { type, message, retryable: false };
}
