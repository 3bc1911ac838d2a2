import { type Clock, pause } from '../seams/clock.ts';
import type { KubernetesClient, Method } from './client.ts';
import { isRefusal, KubernetesError } from './errors.ts';

/** A namespace that is not there. */
export interface Absence {
  namespace: string;
  /** It is on its way out, and some of it may still be there. */
  terminating: boolean;
  /** The instant that this is of. */
  version: string;
}

const inNamespace = /^\/(?:api|apis\/[^/]+)\/[^/]+\/namespaces\/([^/]+)\/[^/]+(\/)?/;
const requestMs = 5_000;
/** How often it is tried to watch what is in a namespace that is not there. */
const tryMs = 10_000;

/** Whether a namespace is gone, or going; null when it is there, or nobody says. */
export async function findAbsence(client: KubernetesClient, namespace: string): Promise<Absence | null> {
  try {
    // A list, as nobody may `get` them; it also says at which instant.
    const { metadata, items } = await client.request<{
      metadata: { resourceVersion: string };
      items: { metadata: { deletionTimestamp?: string } }[] | null;
    }>('GET', '/api/v1/namespaces', {
      query: { fieldSelector: `metadata.name=${namespace}` },
      timeoutMs: requestMs,
    });
    const [found] = items ?? [];
    if (found && found.metadata.deletionTimestamp === undefined) return null;
    return { namespace, terminating: found !== undefined, version: metadata.resourceVersion };
  } catch {
    return null; // Away, or refused; whoever follows namespaces says so.
  }
}

/** The namespace that a request is about; null: none, or all of them. */
export function namespaceOf(path: string): string | null {
  return inNamespace.exec(path)?.[1] ?? null;
}

/**
 * What a login for the whole cluster would be answered that asks for something in a namespace that is gone: the rights
 * of a login that has them in this namespace only went with it. @throws KubernetesError
 */
export function answerInAbsence(absence: Absence, method: Method, path: string, refusal: KubernetesError): unknown {
  const { namespace, terminating, version } = absence;
  const isCollection = inNamespace.exec(path)?.[2] === undefined;
  if (method === 'GET' && isCollection) return { metadata: { resourceVersion: version }, items: [] };
  if (terminating) throw refusal;
  const message = `namespaces "${namespace}" not found`;
  const about = { kind: 'namespaces', name: namespace };
  throw new KubernetesError(method, path, { ...refusal.status, code: 404, reason: 'NotFound', message, about });
}

/** A watch in a namespace that is gone: nothing happens, until it ends. */
export async function* watchInAbsence(clock: Clock, signal: AbortSignal): AsyncGenerator<Buffer> {
  await pause(clock, tryMs, signal);
  yield* [];
}

/** Refused for want of a right. A quota, an admission policy or a namespace on its way out is refused with 403, too. */
export function wantsRight(error: unknown): error is KubernetesError {
  return isRefusal(error, 403) && /cannot \w+ resource/.test(error.status.message);
}
