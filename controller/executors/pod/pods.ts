import type { KubernetesClient } from '../../kubernetes/client.ts';
import { listWatch } from '../../kubernetes/list-watch.ts';
import { type Clock, pause } from '../../seams/clock.ts';
import type { StartAction } from '../../seams/executor.ts';
import { attemptHash, attemptSelector, hashOf, labels, podsPath } from './names.ts';
import { type Pod, stepStatus } from './pod.ts';

const firstPauseMs = 500;
const longestPauseMs = 10_000;

/** What is kept of every Pod of an attempt; the rest would be megabytes. */
export interface KnownPod {
  namespace: string;
  name: string;
  uid: string;
  /** When it ended, or was seen to have; null while it runs. */
  finishedAt: number | null;
  /** The ConfigMaps that it mounts. */
  files: string[];
}

interface PodsListener {
  changed(pod: Pod): void;
  /** `last`: as it was then, null when that is not known. */
  gone(hash: string, last: Pod | null): void;
  /** They cannot be watched at the moment. */
  unseen(error: unknown): void;
}

/** Every Pod of an attempt that there is, by one watch (one a namespace, where only some are looked at). */
export class Pods {
  readonly #client: KubernetesClient;
  readonly #clock: Clock;
  readonly #namespaces: readonly (string | null)[];
  readonly #listener: PodsListener;
  readonly #known = new Map<string, KnownPod>();
  readonly #awaited = new Map<string, (pod: KnownPod) => void>();
  /** UIDs of those that a list did not hold and that are looked for. */
  readonly #missed = new Set<string>();
  readonly #closing = new AbortController();
  #synced: Promise<void> | null = null;
  #isSynced = false;

  constructor(client: KubernetesClient, clock: Clock, namespaces: readonly string[] | null, listener: PodsListener) {
    this.#client = client;
    this.#clock = clock;
    this.#namespaces = namespaces ?? [null];
    this.#listener = listener;
  }

  /** Begins to watch, once. */
  watch(): void {
    this.#synced ??= Promise.all(this.#namespaces.map((namespace) => this.#watchOne(namespace))).then(() => {
      this.#isSynced = true;
      this.#awaited.clear();
    });
  }

  /** Resolves when everything that was there has been seen. */
  async synced(): Promise<void> {
    this.watch();
    await this.#synced;
  }

  known(hash: string): KnownPod | undefined {
    return this.#known.get(hash);
  }

  all(): [string, KnownPod][] {
    return [...this.#known];
  }

  /** Calls back once for a Pod that is not known yet, when the first list is still to come and holds it. */
  whenFound(hash: string, found: (pod: KnownPod) => void): void {
    if (this.#synced !== null && !this.#isSynced) this.#awaited.set(hash, found);
  }

  /** Said by whoever created it: the watch may be slower. */
  created(pod: Pod): void {
    if (!this.#known.has(hashOf(pod))) this.#remember(pod);
  }

  /**
   * The Pod of an attempt, asked of the API server; null when there is none. `owner`: the run object that owns it, which is
   * not the attempt's own run where that is a child.
   */
  async find({ key, namespace, owner }: Pick<StartAction, 'key' | 'namespace' | 'owner'>): Promise<Pod | null> {
    const { items } = await this.#client.request<{ items: Pod[] }>('GET', podsPath(namespace), {
      query: { labelSelector: `${labels.attempt}=${attemptHash(key)}` },
    });
    return items.find(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === owner.uid)) ?? null;
  }

  /** Where objects of a kind are listed. */
  collections(plural: 'pods' | 'configmaps'): string[] {
    return this.#namespaces.map((namespace) => podsPath(namespace).replace(/pods$/, plural));
  }

  close(): void {
    this.#closing.abort();
  }

  #watchOne(namespace: string | null): Promise<void> {
    return new Promise((resolve) => {
      this.#closing.signal.addEventListener('abort', () => resolve());
      void listWatch<Pod>({
        client: this.#client,
        path: podsPath(namespace),
        query: { labelSelector: attemptSelector },
        clock: this.#clock,
        onList: (pods) => {
          this.#onList(namespace, pods);
          resolve();
        },
        onChange: (type, pod) => {
          if (type === 'gone') this.#onGone(pod);
          else this.#onChanged(pod);
        },
        onError: (error, normal) => {
          if (!normal) this.#listener.unseen(error);
        },
        signal: this.#closing.signal,
      });
    });
  }

  #onList(namespace: string | null, pods: Pod[]): void {
    const seen = new Set(pods.map(hashOf));
    for (const pod of pods) this.#onChanged(pod);
    for (const [hash, known] of this.#known) {
      if (seen.has(hash) || (namespace !== null && known.namespace !== namespace)) continue;
      if (!this.#missed.has(known.uid)) void this.#lookUntilTold(hash, known);
    }
  }

  /** A request that is lost is sent again, as the next list may be ten minutes away. */
  async #lookUntilTold(hash: string, known: KnownPod): Promise<void> {
    const { signal } = this.#closing;
    this.#missed.add(known.uid);
    // Until somebody else has told of it.
    for (let failures = 0; !signal.aborted && this.#known.get(hash)?.uid === known.uid; failures++) {
      try {
        await this.#lookAgain(hash, known);
        break;
      } catch {
        await pause(this.#clock, Math.min(longestPauseMs, firstPauseMs * 2 ** failures), signal);
      }
    }
    this.#missed.delete(known.uid);
  }

  /** Missing in a list: gone, or created after the list was made. */
  async #lookAgain(hash: string, known: KnownPod): Promise<void> {
    const { items } = await this.#client.request<{ items: Pod[] }>('GET', podsPath(known.namespace), {
      query: { fieldSelector: `metadata.name=${known.name}` },
      signal: this.#closing.signal,
    });
    const pod = items.find(({ metadata }) => metadata.uid === known.uid);
    if (pod) return this.#onChanged(pod);
    if (this.#known.get(hash)?.uid === known.uid) this.#known.delete(hash);
    this.#listener.gone(hash, null);
  }

  #onChanged(pod: Pod): void {
    const known = this.#remember(pod);
    this.#listener.changed(pod);
    const hash = hashOf(pod);
    const found = this.#awaited.get(hash);
    this.#awaited.delete(hash);
    found?.(known);
  }

  #onGone(pod: Pod): void {
    const hash = hashOf(pod);
    if (this.#known.get(hash)?.uid === pod.metadata.uid) this.#known.delete(hash);
    this.#listener.gone(hash, pod);
  }

  #remember(pod: Pod): KnownPod {
    const { namespace, name, uid } = pod.metadata;
    const volumes = (pod.spec?.['volumes'] ?? []) as { configMap?: { name?: string } }[];
    const phase = pod.status?.phase;
    const before = this.#known.get(hashOf(pod));
    const over = phase === 'Succeeded' || phase === 'Failed' || stepStatus(pod)?.state?.terminated !== undefined;
    const known = {
      namespace,
      name,
      uid,
      finishedAt: over ? (before?.finishedAt ?? this.#clock.now()) : null,
      files: volumes.flatMap((volume) => volume.configMap?.name ?? []),
    };
    this.#known.set(hashOf(pod), known);
    return known;
  }
}
