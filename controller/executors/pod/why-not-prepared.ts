import type { StepError } from '../../core/run/types.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import type { Pod } from './pod.ts';

interface PodEvent {
  type?: string;
  reason?: string;
  message?: string;
  lastTimestamp?: string | null;
  eventTime?: string | null;
}

const volumeTroubles = new Set(['FailedMount', 'FailedAttachVolume', 'FailedMapVolume']);
const longestMessage = 1000;

/**
 * The error of a Pod that its node does not get ready, with the reason: the status does not have it, the Events of the Pod do.
 * Without them, or without the right to list them, the error stays as it is.
 */
export async function whyNotPrepared(client: KubernetesClient, pod: Pod, error: StepError): Promise<StepError> {
  const { namespace, uid } = pod.metadata;
  const query = { fieldSelector: `involvedObject.uid=${uid},type=Warning` };
  const { items } = await client
    .request<{ items: PodEvent[] }>('GET', `/api/v1/namespaces/${namespace}/events`, { query })
    .catch(() => ({ items: [] as PodEvent[] }));
  const last = items.toSorted((a, b) => at(a) - at(b)).at(-1);
  if (!last?.message) return error;
  const why = last.message.slice(0, longestMessage);
  if (!volumeTroubles.has(last.reason ?? '')) return { ...error, message: `${error.message}: ${why}` };
  return { type: 'volume', message: `a volume cannot be mounted: ${why}`, retryable: true };
}

function at({ lastTimestamp, eventTime }: PodEvent): number {
  return Date.parse(lastTimestamp ?? eventTime ?? '') || 0;
}
