import type { KubeConfig } from '@kubernetes/client-node';
import type { Dispatcher } from 'undici';

type CreateDispatcher = (
  cluster: { name?: string; server?: string } | null,
  options: Record<string, unknown>,
) => Dispatcher | undefined;

const pooledConfigs = new WeakSet<KubeConfig>();

/**
 * The same config, keeping its connections. As it comes, the library makes a new agent, and so a new TLS connection, for
 * each request. One login has one pool; a renewed certificate or another user gets another.
 */
export function pooled(config: KubeConfig): KubeConfig {
  if (pooledConfigs.has(config)) return config;
  pooledConfigs.add(config);
  const pool = new Map<string, Dispatcher | undefined>();
  const inside = config as unknown as { createDispatcher: CreateDispatcher };
  const create = inside.createDispatcher.bind(config);
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
