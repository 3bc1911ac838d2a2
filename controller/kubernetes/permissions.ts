import type { KubeConfig } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import type { Clock } from '../seams/clock.ts';
import { KubernetesClient, type Method, type RequestOptions } from './client.ts';
import { isRefusal } from './errors.ts';

/** What this controller must be allowed to do to drive runs, and whether it is. */
export interface Permissions {
  /** The API server, as this controller calls it: what is refused to it is noted. */
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

  const client = new NotingClient(kubeConfig, (method, path, error) => {
    const right = writtenBy(method, path);
    if (right === null) return;
    if (error === null) found(right);
    else if (isRefusal(error, 403) && wantsRight.test(error.status.message)) miss(right);
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

  async function look(): Promise<void> {
    const scopes = (namespaces ?? [undefined]).map((namespace) => ({ ...essential, namespace }));
    for (const right of [...scopes, ...[...missing.values()].map((one) => one.right)]) {
      const may = await allowed(right);
      if (stopped) return;
      if (may === true) found(right);
      else if (may === false) miss(right);
    }
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

/** The same, telling how each request ended: null when it was done. Not of those for others (`as`). */
class NotingClient extends KubernetesClient {
  readonly #note: (method: Method, path: string, error: unknown) => void;

  constructor(config: KubeConfig, note: (method: Method, path: string, error: unknown) => void) {
    super(config);
    this.#note = note;
  }

  override async request<T>(method: Method, path: string, options?: RequestOptions): Promise<T> {
    try {
      const answer = await super.request<T>(method, path, options);
      this.#note(method, path, null);
      return answer;
    } catch (error) {
      this.#note(method, path, error);
      throw error;
    }
  }
}

/** The authorizer's words. A quota, an admission policy or a namespace on its way out is refused with 403, too. */
const wantsRight = /cannot \w+ resource/;
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
