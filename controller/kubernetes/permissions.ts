import type { KubeConfig } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import type { Clock } from '../seams/clock.ts';
import {
  answerInAbsence,
  findAbsence,
  NamespaceTerminating,
  namespaceOf,
  wantsRight,
  watchInAbsence,
} from './absent-namespaces.ts';
import { KubernetesClient, type Method, type Query, type RequestOptions } from './client.ts';
import type { KubernetesError } from './errors.ts';

/** What this controller must be allowed to do to drive runs, and whether it is. */
export interface Permissions {
  /**
   * The API server, as this controller calls it: what is refused to it is noted. A namespace of those that are served
   * may be gone, and the rights in it with it: it is empty then, as it is for whoever may read everywhere. While it is
   * on its way out, what is left in it is not known: NamespaceTerminating.
   */
  client: KubernetesClient;
  /** The rights that it misses at present, and what to do; empty while none is known to be missing. */
  problems(): string[];
  /** Begins to ask. */
  start(): void;
  stop(): void;
}

export interface PermissionsOptions {
  kubeConfig: KubeConfig;
  /** The namespaces that are served; null: all. */
  namespaces: readonly string[] | null;
  clock: Clock;
  log: Logger;
}

/** One right, as access reviews name it; `namespace` undefined: in all of them. */
interface Right {
  verb: string;
  group: string;
  resource: string;
  subresource?: string | undefined;
  namespace?: string | undefined;
}

/** One that nothing can be done without, which a controller without work would not find missing by itself. */
const essential: Right = { verb: 'patch', group: 'windlass.dev', resource: 'workflowruns', subresource: 'status' };
/** How often rights are asked about while none, and while one is missing. */
const lookMs = { good: 10_000, bad: 3_000 };
const requestMs = 5_000;

/**
 * Finds out when this controller's role is taken away. Watches do not say so, as those that run go on without it. A
 * write that is refused for want of a right counts at once, until it is done again or the API server says that it may
 * be; besides, one right is asked about now and then, which every login may do.
 */
export function createPermissions({ kubeConfig, namespaces, clock, log }: PermissionsOptions): Permissions {
  const missing = new Map<string, { right: Right; message: string }>();
  let stopped = false;
  let cancel = () => {};

  const client = new OwnClient(kubeConfig, { namespaces, clock }, (method, path, refusal) => {
    const right = writtenBy(method, path);
    if (right === null) return;
    if (refusal === null) found(right);
    else miss(right);
  });

  function miss(right: Right): void {
    // The namespace that it was found in first stands for all of them.
    if (missing.has(keyOf(right))) return;
    const message = `cannot ${say(right)}; give the controller its role back`;
    log.error(message);
    missing.set(keyOf(right), { right, message });
  }

  function found(right: Right): void {
    if (missing.get(keyOf(right))?.right.namespace !== right.namespace || !missing.delete(keyOf(right))) return;
    log.info(`can ${say(right)} again`);
  }

  /** Where there is no namespace, nothing has to be done. */
  function leave(right: Right): void {
    if (missing.get(keyOf(right))?.right.namespace === right.namespace) missing.delete(keyOf(right));
  }

  async function isAbsent(namespace: string | undefined): Promise<boolean> {
    return namespace !== undefined && (await findAbsence(client, namespace)) !== null;
  }

  async function look(): Promise<void> {
    const scopes = (namespaces ?? [undefined]).map((namespace) => ({ ...essential, namespace }));
    for (const right of [...scopes, ...[...missing.values()].map((one) => one.right)]) {
      const may = await allowed(right);
      if (stopped) return;
      if (may === true) found(right);
      else if (may === false && (await isAbsent(right.namespace))) leave(right);
      else if (may === false) miss(right);
    }
    if (stopped) return;
    cancel = clock.at(clock.now() + (missing.size > 0 ? lookMs.bad : lookMs.good), () => void look());
  }

  /** Null: nobody says. */
  async function allowed(right: Right): Promise<boolean | null> {
    const { verb, group, resource, subresource, namespace } = right;
    const resourceAttributes = { verb, group, resource, subresource, namespace };
    const body = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes },
    };
    try {
      const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
      const { status } = await client.request<{ status: { allowed: boolean } }>('POST', path, {
        body,
        timeoutMs: requestMs,
      });
      return status.allowed;
    } catch {
      return null; // Away, or not served; the watches have it.
    }
  }

  return {
    client,
    problems: () => [...missing.values()].map(({ message }) => message),
    start: () => void look(),
    stop() {
      stopped = true;
      cancel();
      client.close();
    },
  };
}

/** Tells what is done, with null, and what is refused for want of a right. Not of what is done for others (`as`). */
class OwnClient extends KubernetesClient {
  readonly #namespaces: readonly string[];
  readonly #clock: Clock;
  readonly #note: (method: Method, path: string, refusal: KubernetesError | null) => void;

  constructor(
    config: KubeConfig,
    { namespaces, clock }: Pick<PermissionsOptions, 'namespaces' | 'clock'>,
    note: (method: Method, path: string, refusal: KubernetesError | null) => void,
  ) {
    super(config);
    this.#namespaces = namespaces ?? [];
    this.#clock = clock;
    this.#note = note;
  }

  override async request<T>(method: Method, path: string, options?: RequestOptions): Promise<T> {
    try {
      const answer = await super.request<T>(method, path, options);
      this.#note(method, path, null);
      return answer;
    } catch (error) {
      if (!wantsRight(error)) throw error;
      const absence = await this.#absence(path);
      if (absence) return answerInAbsence(absence, method, path, error) as T;
      this.#note(method, path, error);
      throw error;
    }
  }

  override async stream(path: string, query: Query, signal: AbortSignal, silenceMs?: number) {
    try {
      return await super.stream(path, query, signal, silenceMs);
    } catch (error) {
      const absence = query['watch'] === true && wantsRight(error) ? await this.#absence(path) : null;
      if (!absence) throw error;
      if (absence.terminating) throw new NamespaceTerminating(absence, error as KubernetesError);
      return watchInAbsence(this.#clock, signal);
    }
  }

  async #absence(path: string) {
    const namespace = namespaceOf(path);
    return namespace !== null && this.#namespaces.includes(namespace) ? findAbsence(this, namespace) : null;
  }
}

const statusPath = /^\/apis\/windlass\.dev\/[^/]+\/namespaces\/([^/]+)\/([^/]+)\/[^/]+\/status$/;
const podsPath = /^\/api\/v1\/namespaces\/([^/]+)\/pods$/;

/** The right for a write without which runs cannot go on; null for any other request. */
function writtenBy(method: Method, path: string): Right | null {
  const [, namespace = '', resource = ''] = statusPath.exec(path) ?? [];
  if (method === 'PATCH' && resource !== '')
    return { verb: 'patch', group: 'windlass.dev', resource, subresource: 'status', namespace };
  const [, where] = podsPath.exec(path) ?? [];
  return method === 'POST' && where !== undefined
    ? { verb: 'create', group: '', resource: 'pods', namespace: where }
    : null;
}

function keyOf({ verb, resource, subresource = '' }: Right): string {
  return `${verb} ${resource}/${subresource}`;
}

function say({ verb, group, resource, subresource, namespace }: Right): string {
  const what = [resource, subresource].filter((part) => part !== undefined).join('/');
  const where = namespace === undefined ? 'all namespaces' : `namespace ${namespace}`;
  return `${verb} ${what}${group === '' ? '' : ` of ${group}`} in ${where}`;
}
