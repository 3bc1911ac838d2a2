import { delimiter, join } from 'node:path';
import { KubeConfig, type RequestContext } from '@kubernetes/client-node';
import { pino } from 'pino';
import { KubernetesClient } from './kubernetes/client.ts';
import { isRefusal } from './kubernetes/errors.ts';
import { type ForwardedPort, forwardPort } from './kubernetes/port-forward.ts';
import { createKubernetesObjects } from './objects/kubernetes/objects.ts';
import type { Clock } from './seams/clock.ts';
import { ObjectRefused, type ObjectStore } from './seams/objects.ts';

export interface ClusterLoginOptions {
  /** A kubeconfig; without it those of $KUBECONFIG, else ~/.kube/config. */
  kubeconfig?: string | undefined;
  context?: string | undefined;
  /** Where the controller is installed. */
  controllerNamespace: string;
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
}

/** A person's way into a cluster: everything is done with the rights of the kubeconfig's login. */
export interface ClusterLogin {
  /** The name of the context. */
  readonly context: string;
  /** The namespace that the context names; `default` when it names none. */
  readonly namespace: string;
  /** Objects in the Kubernetes API. */
  readonly objects: ObjectStore;
  /** Who the API server says this is. */
  whoAmI(): Promise<{ user: string; groups: string[] }>;
  /**
   * Asks the controller's API, over a port-forward to one of its Pods, with the login's token; a login by certificate has
   * none, and reads as the account windlass-viewer.
   * @throws ObjectRefused when a right is missing, NoController when none runs
   */
  fetch(request: Request): Promise<Response>;
}

/** There is no kubeconfig, or it cannot be used. */
export class UnusableKubeconfig extends Error {
  override name = 'UnusableKubeconfig';
}

/** No Pod of a controller can be reached. */
export class NoController extends Error {
  override name = 'NoController';
}

const fieldManager = 'windlass-cli';
const viewer = 'windlass-viewer';
const selector = 'app.kubernetes.io/name=windlass,app.kubernetes.io/component=controller';
const tokenSeconds = 3600;
/** A token is not used any more when it has so little left. */
const tokenReserveMs = 300_000;

/** Nothing is asked of the cluster yet. @throws UnusableKubeconfig */
export function openClusterLogin(options: ClusterLoginOptions): ClusterLogin {
  const { clock, controllerNamespace } = options;
  const config = loadConfig(options);
  const context = config.getCurrentContext();
  const client = new KubernetesClient(config, 'windlass-cli');
  let forwarded: Promise<ForwardedPort> | null = null;
  let lent: { token: string; until: number } | null = null;

  /** A refusal that says which right is missing, and who gives it. */
  async function needing<T>(right: string, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (isRefusal(error, 403)) throw missing(right, error.status.message, error);
      throw error;
    }
  }

  function missing(right: string, why: string, cause: unknown): ObjectRefused {
    const message =
      `reading history with context ${context} needs the right to ${right} in namespace ${controllerNamespace}; ` +
      `the Role windlass-cli of the chart has it (${why})`;
    return new ObjectRefused('Forbidden', message, cause);
  }

  async function forward(): Promise<ForwardedPort> {
    const path = `/api/v1/namespaces/${controllerNamespace}/pods`;
    const { items } = await needing(
      'list pods',
      client.request<{ items: Pod[] }>('GET', path, { query: { labelSelector: selector } }),
    );
    const pod = items.find(isReady);
    if (!pod) {
      const what = items.length === 0 ? 'no Pod of a controller' : `none of ${items.length} controller Pods is ready`;
      throw new NoController(
        `${what} in namespace ${controllerNamespace} of context ${context}; say where it is with --controller-namespace`,
      );
    }
    await demandPortForward();
    const port = pod.spec.containers.flatMap(({ ports = [] }) => ports).find(({ name }) => name === 'http');
    const { name } = pod.metadata;
    return forwardPort(config, { namespace: controllerNamespace, name, port: port?.containerPort ?? 8080 });
  }

  /** Asked before, as a refused WebSocket says no more than a number. */
  async function demandPortForward(): Promise<void> {
    const { status } = await client.request<{ status: { allowed: boolean; reason?: string } }>(
      'POST',
      '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      {
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: {
            resourceAttributes: {
              namespace: controllerNamespace,
              resource: 'pods',
              subresource: 'portforward',
              verb: 'create',
            },
          },
        },
      },
    );
    if (!status.allowed) throw missing('create pods/portforward', status.reason || 'denied', null);
  }

  async function token(): Promise<string> {
    const own = await ownToken(config);
    if (own !== null) return own;
    if (lent && clock.now() < lent.until - tokenReserveMs) return lent.token;
    const path = `/api/v1/namespaces/${controllerNamespace}/serviceaccounts/${viewer}/token`;
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: tokenSeconds },
    };
    const { status } = await needing(
      `create serviceaccounts/token of ${viewer}`,
      client.request<{ status: { token: string; expirationTimestamp: string } }>('POST', path, { body }),
    );
    lent = { token: status.token, until: Date.parse(status.expirationTimestamp) };
    return lent.token;
  }

  return {
    context,
    namespace: config.getContextObject(context)?.namespace ?? 'default',
    objects: createKubernetesObjects({ client, fieldManager, clock, log: pino({ level: 'silent' }) }),
    async whoAmI() {
      const { status } = await client.request<{ status: { userInfo: { username: string; groups?: string[] } } }>(
        'POST',
        '/apis/authentication.k8s.io/v1/selfsubjectreviews',
        { body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' } },
      );
      return { user: status.userInfo.username, groups: status.userInfo.groups ?? [] };
    },
    async fetch(request) {
      forwarded ??= forward();
      const to = await forwarded.catch((error: unknown) => {
        forwarded = null;
        throw error;
      });
      const { pathname, search } = new URL(request.url);
      const carried = new Request(new URL(pathname + search, to.url), request);
      carried.headers.set('authorization', `Bearer ${await token()}`);
      try {
        return await fetch(carried);
      } catch (error) {
        if (request.signal.aborted) throw error;
        // The Pod may be gone: the next request looks for another.
        forwarded = null;
        to.close();
        const why = to.failure();
        if (why === null) throw error;
        throw new NoController(`the controller in namespace ${controllerNamespace} cannot be reached: ${why}`, {
          cause: error,
        });
      }
    },
  };
}

interface Pod {
  metadata: { name: string };
  spec: { containers: { ports?: { name?: string; containerPort: number }[] }[] };
  status?: { conditions?: { type: string; status: string }[] };
}

function isReady({ status }: Pod): boolean {
  return (status?.conditions ?? []).some(({ type, status: is }) => type === 'Ready' && is === 'True');
}

function loadConfig({ kubeconfig, context, env }: ClusterLoginOptions): KubeConfig {
  const files = kubeconfig === undefined ? defaultFiles(env) : [kubeconfig];
  const config = new KubeConfig();
  try {
    for (const [i, file] of files.entries()) {
      if (i === 0) {
        config.loadFromFile(file);
        continue;
      }
      const more = new KubeConfig();
      more.loadFromFile(file);
      config.mergeConfig(more, true);
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UnusableKubeconfig(`the kubeconfig ${files.join(', ')} cannot be read: ${why}`, { cause });
  }
  const names = config.getContexts().map(({ name }) => name);
  if (context !== undefined) config.setCurrentContext(context);
  const current = config.getCurrentContext();
  if (!names.includes(current) || config.getCurrentCluster() === null) {
    const known = names.length === 0 ? 'none' : names.join(', ');
    const what = current ? `no usable context ${current}` : 'no current context; say which with --context';
    throw new UnusableKubeconfig(`the kubeconfig ${files.join(', ')} has ${what}; contexts: ${known}`);
  }
  return config;
}

function defaultFiles(env: ClusterLoginOptions['env']): string[] {
  const named = (env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  return named.length > 0 ? named : [join(env['HOME'] ?? '', '.kube', 'config')];
}

/** The bearer token of the login, renewed by whatever makes it; null for one without, such as by certificate. */
async function ownToken(config: KubeConfig): Promise<string | null> {
  let header = '';
  // The only two members that the library uses of it; the class itself costs 90 MB of generated models.
  const context = {
    setHeaderParam: (name: string, value: string) => {
      if (name.toLowerCase() === 'authorization') header = value;
    },
    setDispatcher: () => {},
  };
  await config.applySecurityAuthentication(context as unknown as RequestContext);
  return /^Bearer +(\S+)$/i.exec(header)?.[1] ?? null;
}
