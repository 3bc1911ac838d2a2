import { createHash } from 'node:crypto';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { isRefusal } from '../../kubernetes/errors.ts';
import type { Clock } from '../../seams/clock.ts';
import { artifactAudience } from './artifacts.ts';
import { labels, podsPath } from './names.ts';
import type { Pod } from './pod.ts';

/** How long a token is believed: a helper asks a few times within seconds. */
const knownMs = 60_000;
const maxKnown = 1000;

/** The run whose step's Pod is asking. */
export interface PodIdentity {
  namespace: string;
  runId: string;
}

interface Review {
  status: {
    authenticated?: boolean;
    audiences?: string[];
    user?: { username: string; extra?: Record<string, string[]> };
  };
}

/**
 * Tells by its token which step's Pod is asking; null: none of ours. The API server says which Pod the token is bound to, and
 * that it still is; what the Pod is, its labels say, which whoever may create Pods in its namespace may choose.
 * @throws when the API server cannot be asked
 */
export function createPodIdentities(
  client: KubernetesClient,
  clock: Clock,
): (token: string) => Promise<PodIdentity | null> {
  const known = new Map<string, { identity: PodIdentity; until: number }>();

  async function identify(token: string): Promise<PodIdentity | null> {
    const { status } = await client.request<Review>('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences: [artifactAudience] },
      },
    });
    if (status.authenticated !== true || !status.audiences?.includes(artifactAudience)) return null;
    const [, namespace = ''] = /^system:serviceaccount:([^:]+):/.exec(status.user?.username ?? '') ?? [];
    const [name] = status.user?.extra?.['authentication.kubernetes.io/pod-name'] ?? [];
    const [uid] = status.user?.extra?.['authentication.kubernetes.io/pod-uid'] ?? [];
    if (namespace === '' || name === undefined || uid === undefined) return null;
    const pod = await client.request<Pod>('GET', `${podsPath(namespace)}/${name}`).catch((error: unknown) => {
      if (isRefusal(error, 404)) return null;
      throw error;
    });
    const runId = pod?.metadata.labels?.[labels.run];
    if (!pod || pod.metadata.uid !== uid || pod.metadata.labels?.[labels.managedBy] !== 'windlass') return null;
    return runId === undefined ? null : { namespace, runId };
  }

  return async (token) => {
    const hash = createHash('sha256').update(token).digest('base64');
    const found = known.get(hash);
    if (found && clock.monotonic() < found.until) return found.identity;
    known.delete(hash);
    const identity = await identify(token);
    if (identity === null) return null;
    known.set(hash, { identity, until: clock.monotonic() + knownMs });
    const [oldest] = known.keys();
    if (known.size > maxKnown && oldest !== undefined) known.delete(oldest);
    return identity;
  };
}
