import type { KubeConfig } from '@kubernetes/client-node';
import { Agent, type Dispatcher } from 'undici';

type CreateDispatcher = (
  cluster: { name?: string; server?: string } | null,
  options: Record<string, unknown>,
) => Dispatcher | undefined;

type DispatcherOptions = (...args: Parameters<CreateDispatcher>) => {
  type: string;
  connect?: Agent.Options['connect'];
};

/** How long a connection is kept that nobody uses: a new one costs more than the request. The API server keeps it for 90 s. */
const keepMs = 45_000;

const pooledConfigs = new WeakSet<KubeConfig>();

/**
 * The same config, keeping its connections. As it comes, the library makes a new agent, and so a new TLS connection, for
 * each request. One login has one pool; a renewed certificate or another user gets another.
 */
export function pooled(config: KubeConfig): KubeConfig {
  if (pooledConfigs.has(config)) return config;
  pooledConfigs.add(config);
  const pool = new Map<string, Dispatcher | undefined>();
  const inside = config as unknown as {
    createDispatcher: CreateDispatcher;
    createDispatcherOptions: DispatcherOptions;
  };
  const byLibrary = inside.createDispatcher.bind(config);
  const create: CreateDispatcher = (cluster, options) => {
    const { type, connect } = inside.createDispatcherOptions(cluster, options);
    return type === 'agent'
      ? new Agent({ connect: connect ?? {}, keepAliveTimeout: keepMs })
      : byLibrary(cluster, options);
  };
  inside.createDispatcher = (cluster, options) => {
    const user = config.getCurrentUser()?.name;
    const { rejectUnauthorized, servername, ca, cert, key: privateKey } = options;
    const identity = [rejectUnauthorized, servername, String(ca), String(cert), String(privateKey)];
    const key = JSON.stringify([cluster?.name, cluster?.server, user, ...identity]);
    if (!pool.has(key)) pool.set(key, create(cluster, options));
    return pool.get(key);
  };
  return config;
}
