import type { StepError } from '../../core/run/types.ts';
import type { RefusedStatus } from '../../kubernetes/errors.ts';

/**
 * What it means for a step that the API server did not create its Pod; null when the step is not to blame and a later try
 * may do (an overloaded server, permissions taken from the controller, a namespace so new that it has no account yet).
 */
export function refusalOf(status: RefusedStatus, namespace: string): StepError | null {
  const { code, reason, message, causes } = status;
  if (causes.some((cause) => cause.reason === 'NamespaceTerminating')) {
    return final('namespaceTerminating', `namespace ${namespace} is being deleted`);
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

function forbidden(message: string, namespace: string): StepError | null {
  // Who may not create Pods is the controller: no step can help it.
  if (/cannot create resource/.test(message)) return null;
  if (/exceeded quota/.test(message)) {
    // Other Pods end and make room: tried again as often as any trouble of the platform is.
    return { type: 'infrastructure/quota', message, retryable: true };
  }
  const account = /error looking up service account [^/]+\/([^:]+):/.exec(message)?.[1];
  if (account !== undefined) {
    if (account === 'default') return null;
    return final('serviceAccount', `service account ${account} does not exist in namespace ${namespace}`);
  }
  if (/violates PodSecurity/.test(message)) return final('podSecurity', message);
  return final('podRefused', message);
}

function final(type: string, message: string): StepError {
  return { type, message, retryable: false };
}
