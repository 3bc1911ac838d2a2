import { createHash } from 'node:crypto';
import type { Instant } from '../../core/time.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { isRefusal } from '../../kubernetes/errors.ts';
import { runManager } from '../../kubernetes/field-managers.ts';
import type { Clock } from '../../seams/clock.ts';
import type { FileStore } from '../../seams/executor.ts';
import { labels } from './names.ts';

/** How long a ConfigMap that was seen is relied upon, and how long one that nobody wants is kept: never removed in between. */
const trustMs = 10 * 60_000;
const keepMs = 60 * 60_000;
const usedAt = 'windlass.dev/used-at';

export interface MountedFiles {
  configMap: string;
  /** A key cannot be a path. */
  items: { key: string; path: string }[];
}

interface ConfigMap {
  metadata: { name: string; namespace: string; resourceVersion: string; annotations?: Record<string, string> };
  immutable?: boolean;
  binaryData?: Record<string, string>;
}

/** The files of versions as immutable ConfigMaps: one for each version in each namespace, shared by its Pods. */
export class VersionFiles {
  readonly #client: KubernetesClient;
  readonly #store: FileStore;
  readonly #clock: Clock;
  readonly #ready = new Map<string, { files: Promise<MountedFiles | null>; until: Instant }>();

  constructor(client: KubernetesClient, store: FileStore, clock: Clock) {
    this.#client = client;
    this.#store = store;
    this.#clock = clock;
  }

  /** Null when the version has no files. @throws when the store or the API server failed; the next call tries again. */
  ensure(namespace: string, digest: string): Promise<MountedFiles | null> {
    const id = `${namespace}/${digest}`;
    const now = this.#clock.now();
    const known = this.#ready.get(id);
    if (known && now < known.until) return known.files;
    const files = this.#make(namespace, digest);
    this.#ready.set(id, { files, until: now + trustMs });
    files.catch(() => this.#ready.delete(id));
    return files;
  }

  /** Removes those that no attempt has used for long, nor any Pod names. */
  async sweep(path: string, inUse: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const list = await this.#client.request<{ items: ConfigMap[] }>('GET', path, {
      query: { labelSelector: labels.files },
      signal,
    });
    for (const { metadata } of list.items) {
      const used = Date.parse(metadata.annotations?.[usedAt] ?? '') || 0;
      if (inUse.has(`${metadata.namespace}/${metadata.name}`) || this.#clock.now() - used < keepMs) continue;
      const preconditions = { resourceVersion: metadata.resourceVersion };
      await this.#client
        .request('DELETE', pathOf(metadata.namespace, metadata.name), { body: { preconditions }, signal })
        .catch((error: unknown) => {
          // Gone already, or used again meanwhile.
          if (!isRefusal(error, 404) && !isRefusal(error, 409)) throw error;
        });
    }
  }

  async #make(namespace: string, digest: string): Promise<MountedFiles | null> {
    const files = await this.#store.files(digest);
    if (files.size === 0) return null;
    const hash = createHash('sha256').update(digest).digest('hex').slice(0, 40);
    const name = `windlass-files-${hash}`;
    const sorted = [...files].toSorted(([a], [b]) => (a < b ? -1 : 1));
    const items = sorted.map(([path], i) => ({ key: `f${i}`, path }));
    const binaryData = Object.fromEntries(
      sorted.map(([, bytes], i) => [`f${i}`, Buffer.from(bytes).toString('base64')]),
    );
    const used = { [usedAt]: new Date(this.#clock.now()).toISOString() };
    const body = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name,
        namespace,
        labels: { [labels.managedBy]: 'windlass', [labels.files]: hash },
        annotations: used,
      },
      immutable: true,
      binaryData,
    };
    try {
      await this.#client.request('POST', pathOf(namespace), { body, query: { fieldManager: runManager } });
    } catch (error) {
      if (!isRefusal(error, 409)) throw error;
      const found = await this.#client.request<ConfigMap>('PATCH', pathOf(namespace, name), {
        body: { metadata: { annotations: used } },
        query: { fieldManager: runManager },
        contentType: 'application/merge-patch+json',
      });
      if (!holds(found, binaryData)) {
        const message = `ConfigMap ${namespace}/${name} does not hold the files of ${digest}: remove it`;
        throw new Error(message, { cause: error });
      }
    }
    return { configMap: name, items };
  }
}

/** Whoever may write ConfigMaps must not be able to change what a promoted version runs. */
function holds({ immutable, binaryData = {} }: ConfigMap, wanted: Record<string, string>): boolean {
  const names = Object.keys(wanted);
  const same = names.length === Object.keys(binaryData).length && names.every((key) => binaryData[key] === wanted[key]);
  return immutable === true && same;
}

function pathOf(namespace: string, name?: string): string {
  return `/api/v1/namespaces/${namespace}/configmaps${name === undefined ? '' : `/${name}`}`;
}
