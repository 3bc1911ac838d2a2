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
/** What is listed and watched. */
const isFollowed = /^\/(?:apis\/windlass\.dev\/|api\/v1\/namespaces\/[^/]+\/pods$)/;
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
 * It cannot be known what is there: the namespace is on its way out, and the rights in it went first. What was known
 * last stands, as what has a finalizer is still there.
 */
export class NamespaceTerminating extends Error {
  override name = 'NamespaceTerminating';
  readonly namespace: string;
  /** The instant that this is of. */
  readonly version: string;

  constructor({ namespace, version }: Absence, refusal: KubernetesError) {
    const message = `namespace ${namespace} is being deleted, and the rights in it went first: what is left in it is unknown`;
    super(message, { cause: refusal });
    this.namespace = namespace;
    this.version = version;
  }
}

/**
 * What a login for the whole cluster would be answered that asks for something in a namespace that is gone: the rights
 * of a login that has them in this namespace only went with it.
 * @throws KubernetesError as the API server does then; NamespaceTerminating when runs or Pods are asked for that may
 * still be there
 */
export function answerInAbsence(absence: Absence, method: Method, path: string, refusal: KubernetesError): unknown {
  const { namespace, terminating, version } = absence;
  const isCollection = inNamespace.exec(path)?.[2] === undefined;
  if (method === 'GET' && isCollection) {
    // Of anything else, nobody takes what is missing in a list for gone.
    if (terminating && isFollowed.test(path)) throw new NamespaceTerminating(absence, refusal);
    return { metadata: { resourceVersion: version }, items: [] };
  }
  if (terminating) throw method === 'POST' ? notCreated(namespace, path, refusal) : refusal;
  const message = `namespaces "${namespace}" not found`;
  const about = { kind: 'namespaces', name: namespace };
  throw new KubernetesError(method, path, { ...refusal.status, code: 404, reason: 'NotFound', message, about });
}

/** As the API server refuses whoever may create things there. */
function notCreated(namespace: string, path: string, { status }: KubernetesError): KubernetesError {
  const why = `namespace ${namespace} is being terminated`;
  const message = `forbidden: unable to create new content in namespace ${namespace} because it is being terminated`;
  const causes = [{ reason: 'NamespaceTerminating', message: why, field: 'metadata.namespace' }];
  return new KubernetesError('POST', path, { ...status, code: 403, reason: 'Forbidden', message, causes });
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
