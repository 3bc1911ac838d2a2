import type { KubernetesClient } from '../kubernetes/client.ts';
import { isRefusal } from '../kubernetes/errors.ts';
import type { SecretReader } from '../seams/executor.ts';
import { SecretRefused } from './secrets.ts';

/** The label that lets this controller read a Secret and use it: `windlass.dev/use: allowed`. */
const label = 'windlass.dev/use';

interface Secret {
  metadata: { labels?: Record<string, string> };
  data?: Record<string, string>;
}

/**
 * Secrets of the Kubernetes API that their keeper has labelled for it. Read at each use, never kept.
 * @throws SecretRefused when it is not labelled, is no text, or this controller may not read Secrets of the namespace
 */
export function createKubernetesSecrets(client: KubernetesClient): SecretReader {
  return {
    async read(namespace, name, key) {
      const secret = await find(client, namespace, name);
      if (secret === null) return null;
      if (secret.metadata.labels?.[label] !== 'allowed') {
        const command = `kubectl label secret ${name} -n ${namespace} ${label}=allowed`;
        throw new SecretRefused(
          `Secret ${namespace}/${name} is not for the controller to use; to allow it: ${command}`,
        );
      }
      const data = secret.data?.[key];
      if (data === undefined) return null;
      const value = Buffer.from(data, 'base64');
      const text = value.toString('utf8');
      if (!Buffer.from(text, 'utf8').equals(value)) {
        throw new SecretRefused(`key ${key} of Secret ${namespace}/${name} is no text in UTF-8`);
      }
      return text;
    },
  };
}

async function find(client: KubernetesClient, namespace: string, name: string): Promise<Secret | null> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${encodeURIComponent(name)}`;
  try {
    return await client.request<Secret>('GET', path);
  } catch (error) {
    if (isRefusal(error, 404)) return null;
    if (!isRefusal(error, 403)) throw error;
    throw new SecretRefused(`the controller may not read Secret ${namespace}/${name}: ${error.status.message}`, {
      cause: error,
    });
  }
}
