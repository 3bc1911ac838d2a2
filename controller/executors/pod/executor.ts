import type { JsonObject } from '../../../crds/json.ts';
import type { AttemptKey, ResolvedBody, StepError } from '../../core/run/types.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { isRefusal, KubernetesError } from '../../kubernetes/errors.ts';
import { runManager } from '../../kubernetes/field-managers.ts';
import type { Clock } from '../../seams/clock.ts';
import {
  AttemptHeld,
  type Executor,
  type ExecutorSink,
  type FileStore,
  type SecretReader,
  type StartAction,
  type StopAction,
} from '../../seams/executor.ts';
import { storedLogBytes } from '../../seams/limits.ts';
import { SecretRefused } from '../secrets.ts';
import { hasArtifacts, type PodArtifactOptions, stepOf, withArtifactContainers } from './artifacts.ts';
import { LivePod, type Masks } from './live-pod.ts';
import { podManifest } from './manifest.ts';
import { attemptHash, hashOf, podName, podsPath } from './names.ts';
import { accountsAnnotation, lendsAccount, privilegesIn } from './permissions.ts';
import type { Pod } from './pod.ts';
import { Pods } from './pods.ts';
import { holdOf, refusalOf } from './refusals.ts';
import { Removals } from './removals.ts';
import { SilentNodes } from './silent-nodes.ts';
import { Turns } from './turns.ts';
import { isUnsent, Unbegun } from './unbegun.ts';
import { VersionFiles } from './version-files.ts';

type PodBody = Extract<ResolvedBody, { kind: 'run' | 'container' }>;

/** A request that creates a Pod is not waited for any longer: the lease may be another's by then. */
const createMs = 2000;
/** Pods that are created at the same time: more would only wait in the API server, and be given up. */
const createsAtOnce = 16;
/** A Start that is older than this may have begun and be gone by now: it is adopted or lost, never begun. */
const beginWithinMs = 30_000;

const lost: StepError = {
  type: 'infrastructure/lost',
  message: 'its Pod is gone and nobody saw how it ended: it was deleted, or its node was',
  retryable: true,
};

export interface PodExecutorOptions {
  client: KubernetesClient;
  files: FileStore;
  /** For masking: reads what the operator allows it to, null for anything else. The Pod gets the rest all the same. */
  secrets: SecretReader;
  sink: ExecutorSink;
  clock: Clock;
  /** Namespaces whose Pods are watched; null for all. */
  namespaces: readonly string[] | null;
  /** For steps that name no image; null: they fail. */
  defaultImage: string | null;
  /** Namespaces whose steps may reach beyond their Pod: host paths and namespaces, privileged, added capabilities. */
  allowPrivileged: ReadonlySet<string>;
  /** How Pods reach artifacts; null: steps with artifacts fail. */
  artifacts: PodArtifactOptions | null;
  /** The signal of the lease as it is now: nothing begins once it aborts. */
  lost: () => AbortSignal;
  /** Told when Pods cannot be watched, which is tried again: until then no end is seen. */
  onUnseen: (error: unknown) => void;
  /** Most bytes of one log that are stored (4 MiB). */
  logBytes?: number;
}

/** Runs scripts as Pods that outlive the controller. Design 2, "Side effects", and 4, "Pods". */
export class PodExecutor implements Executor {
  readonly kinds = ['run', 'container'] as const;
  readonly #options: PodExecutorOptions;
  readonly #files: VersionFiles;
  readonly #pods: Pods;
  readonly #live = new Map<string, LivePod>();
  readonly #begun = new Map<string, Promise<void>>();
  readonly #unbegun: Unbegun;
  readonly #removals: Removals;
  readonly #nodes: SilentNodes;
  readonly #creates = new Turns(createsAtOnce);
  /** UIDs of the Pods that the last sweep saw and nobody wanted; null before the first. */
  #leftover: ReadonlySet<string> | null = null;
  /** Those that have ended and whose log is still on its way. */
  readonly #draining = new Map<string, LivePod>();
  /** What is begun is bound to the lease of that moment. */
  #lease: AbortSignal | null = null;
  readonly #closing = new AbortController();

  constructor(options: PodExecutorOptions) {
    const { client, clock, files, namespaces, onUnseen } = options;
    this.#options = options;
    this.#files = new VersionFiles(client, files, clock);
    this.#removals = new Removals(client, clock);
    this.#nodes = new SilentNodes(clock);
    this.#unbegun = new Unbegun(clock);
    this.#pods = new Pods(client, clock, namespaces, {
      changed: (pod) => {
        this.#unbegun.seen(pod);
        const live = this.#live.get(hashOf(pod));
        if (live?.isOf(pod)) live.observe(pod);
      },
      gone: (hash, last) => {
        if (last !== null) this.#unbegun.seen(last);
        const live = this.#live.get(hash);
        if (live && (last === null || live.isOf(last))) live.gone(last);
        if (last !== null) this.#removals.gone(last.metadata.uid);
      },
      unseen: onUnseen,
    });
  }

  async start(action: StartAction): Promise<void> {
    const { body } = action;
    if (body.kind !== 'run' && body.kind !== 'container')
      throw new TypeError(`a Pod cannot run a step of kind ${body.kind}`);
    const hash = attemptHash(action.key);
    try {
      await (this.#begun.get(hash) ?? this.#enter(action.key, (live) => this.#begin(live, action, body)));
    } catch (error) {
      if (!(error instanceof KubernetesError)) throw error;
      throw new AttemptHeld(holdOf(error.status, action), { cause: error });
    }
  }

  async stop(action: StopAction): Promise<void> {
    const { key, graceMs } = action;
    const hash = attemptHash(key);
    const present = this.#live.get(hash);
    if (present) {
      present.stop(graceMs);
      const begun = await (this.#begun.get(hash) ?? Promise.resolve()).then(
        () => true,
        () => false,
      );
      // A start that failed on the way was let go of; what it may have begun is found in the cluster.
      if (begun) return;
    }
    await this.#enter(key, async (live) => {
      live.stop(graceMs);
      const pod = await this.#pods.find(action);
      if (pod) await this.#adopt(live, pod);
      else live.end({ outcome: 'Stopped' });
    });
  }

  /** The Pod goes when it has been there for a while, its log is stored, and nothing of it runs. */
  async forget(key: AttemptKey): Promise<void> {
    const hash = attemptHash(key);
    const live = this.#live.get(hash) ?? this.#draining.get(hash);
    const pod = this.#pods.known(hash);
    if (pod) this.#removals.add(pod, live ? live.over() : Promise.resolve());
    else this.#pods.whenFound(hash, (found) => this.#removals.add(found, Promise.resolve()));
  }

  async sweep(open: () => Promise<AttemptKey[]>): Promise<void> {
    const before = this.#leftover;
    this.#leftover = new Set();
    await this.#pods.synced();
    const found = this.#pods.all();
    const kept = new Set((await open()).map(attemptHash));
    const over = found.filter(([hash]) => !kept.has(hash) && !this.#live.has(hash)).map(([, pod]) => pod);
    this.#leftover = new Set(over.map(({ uid }) => uid));
    // While others run, one of them may still be reading the log of a Pod whose end it has recorded.
    const mayGo = before === null ? over : over.filter(({ uid, finishedAt }) => finishedAt !== null && before.has(uid));
    for (const pod of mayGo) this.#removals.add(pod, Promise.resolve());
    const used = new Set(found.flatMap(([, { namespace, files }]) => files.map((name) => `${namespace}/${name}`)));
    for (const path of this.#pods.collections('configmaps')) await this.#files.sweep(path, used, this.#closing.signal);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#pods.close();
    this.#removals.close();
    for (const live of [...this.#live.values(), ...this.#draining.values()]) live.release();
    await Promise.allSettled(this.#begun.values());
    this.#live.clear();
    this.#begun.clear();
  }

  async #enter(key: AttemptKey, begin: (live: LivePod) => Promise<void>): Promise<void> {
    if (this.#closing.signal.aborted) throw new Error('the Pod executor is closed');
    const lease = this.#underLease();
    this.#pods.watch();
    const { client, clock, sink, logBytes = storedLogBytes } = this.#options;
    const live: LivePod = new LivePod(key, {
      client,
      nodes: this.#nodes,
      clock,
      sink,
      logBytes,
      lease,
      leaseNow: this.#options.lost,
      onEnd: (result, at) => {
        this.#leave(live);
        this.#unbegun.forget(live.hash);
        this.#drain(live);
        sink.ended(key, result, at);
      },
    });
    this.#live.set(live.hash, live);
    const begun = begin(live).catch((error: unknown) => {
      live.release();
      this.#leave(live);
      throw error;
    });
    if (this.#live.get(live.hash) === live) this.#begun.set(live.hash, begun);
    return begun;
  }

  /** @throws when the lease is lost */
  #underLease(): AbortSignal {
    const lease = this.#options.lost();
    if (lease.aborted) throw new Error('the lease is lost: nothing begins until there is another');
    if (lease !== this.#lease) {
      this.#lease = lease;
      lease.addEventListener('abort', () => this.#letGoOf(lease), { signal: this.#closing.signal });
    }
    return lease;
  }

  /** What was begun under a lease that is lost is another's now, to judge and to end; under the next it is adopted anew. */
  #letGoOf(lease: AbortSignal): void {
    this.#unbegun.clear();
    for (const live of this.#live.values()) {
      if (live.lease !== lease) continue;
      live.release();
      this.#leave(live);
    }
  }

  #leave(live: LivePod): void {
    if (this.#live.get(live.hash) !== live) return;
    this.#live.delete(live.hash);
    this.#begun.delete(live.hash);
  }

  #drain(live: LivePod): void {
    this.#draining.set(live.hash, live);
    void live.over().finally(() => {
      if (this.#draining.get(live.hash) === live) this.#draining.delete(live.hash);
    });
  }

  async #begin(live: LivePod, action: StartAction, body: PodBody): Promise<void> {
    live.owner = action.owner.uid;
    const { clock } = this.#options;
    const fresh = clock.now() - action.startedAt < beginWithinMs;
    if (!fresh && !this.#unbegun.has(live.hash)) {
      const found = await this.#pods.find(action);
      return found ? this.#adopt(live, found) : live.end({ outcome: 'Failed', error: lost });
    }
    const prepared = Promise.all([this.#make(action, body), this.#masks(action.namespace, body.secrets)]);
    const [made, masks] = await prepared.catch((error: unknown) => {
      this.#notBegun(live, action);
      throw error;
    });
    if ('error' in made) return live.end({ outcome: 'Failed', error: made.error });
    live.prepare(masks, 0);
    await this.#creates.take(() => this.#create(live, action, made.manifest));
  }

  async #create(live: LivePod, action: StartAction, manifest: JsonObject): Promise<void> {
    const { client } = this.#options;
    // Told to stop before it began: another replica may have begun it all the same.
    if (live.isStopped) {
      const found = await this.#pods.find(action);
      return found ? this.#adopt(live, found) : live.end({ outcome: 'Stopped' });
    }
    // It waited for its turn: whoever owns the run now begins it.
    if (live.lease.aborted) throw new Error('the lease is lost: nothing begins until there is another');
    if (live.isReleased) return;
    try {
      const pod = await client.request<Pod>('POST', podsPath(action.namespace), {
        body: manifest,
        query: { fieldValidation: 'Strict', fieldManager: runManager },
        timeoutMs: createMs,
        signal: live.lease,
      });
      this.#unbegun.forget(live.hash);
      this.#pods.created(pod);
      live.began(pod);
    } catch (error) {
      if (isRefusal(error, 409)) return this.#adoptNamed(live, action);
      if (!(error instanceof KubernetesError)) {
        if (isUnsent(error)) this.#notBegun(live, action);
        else this.#unbegun.doubt(live.hash, action.owner.uid);
        throw new Error(`cannot create the Pod of step ${action.key.step}`, { cause: error });
      }
      const refused = refusalOf(error.status, action.namespace);
      if (refused) return live.end({ outcome: 'Failed', error: refused });
      this.#notBegun(live, action);
      throw error;
    }
  }

  /** Nothing was asked for that could have begun it, now at least. */
  #notBegun(live: LivePod, { owner }: StartAction): void {
    if (this.#pods.known(live.hash) === undefined) this.#unbegun.add(live.hash, owner.uid);
  }

  /** The Pod to be created, or what keeps it from being so. */
  async #make(action: StartAction, body: PodBody): Promise<{ manifest: JsonObject } | { error: StepError }> {
    const image = (body.kind === 'container' ? body.image : body.pod.image) ?? this.#options.defaultImage;
    if (image === null) {
      const others = 'defaults.image of the workflow, or --step-image of the controller (steps.image of the chart)';
      return refuse('configError', `it names no image: set image, ${others}`);
    }
    const files = await this.#files.ensure(action.namespace, action.digest).catch((error: unknown) => {
      const refused = error instanceof KubernetesError ? refusalOf(error.status, action.namespace) : null;
      if (refused) return { error: refused };
      throw error;
    });
    if (files !== null && 'error' in files) return files;
    const manifest = podManifest(action, body, { image, files });
    // Of what the step asks for; what brings and keeps its artifacts is ours.
    const error = await this.#notPermitted(action.namespace, manifest['spec'] as JsonObject);
    if (error) return error;
    const { artifacts } = this.#options;
    if (artifacts === null && hasArtifacts(action)) {
      return refuse('configError', 'this controller keeps no artifacts: an operator says where with --artifacts');
    }
    return { manifest: artifacts === null ? manifest : withArtifactContainers(manifest, action, artifacts) };
  }

  async #notPermitted(namespace: string, spec: JsonObject): Promise<{ error: StepError } | null> {
    const privileges = this.#options.allowPrivileged.has(namespace) ? [] : privilegesIn(spec);
    if (privileges.length > 0) {
      const allow = 'an operator may allow it with --allow-privileged-steps';
      return refuse('notPermitted', `${privileges.join(', ')}: not for steps in namespace ${namespace}; ${allow}`);
    }
    const account = spec['serviceAccountName'];
    if (typeof account !== 'string') return null;
    const path = `/api/v1/namespaces/${namespace}`;
    const { metadata } = await this.#options.client.request<{ metadata: { annotations?: Record<string, string> } }>(
      'GET',
      path,
    );
    if (lendsAccount(metadata.annotations?.[accountsAnnotation], account)) return null;
    const lend = `name it in the annotation ${accountsAnnotation} of namespace ${namespace}`;
    return refuse('notPermitted', `service account ${account} is not for steps: ${lend}`);
  }

  /** There is a Pod of this name: ours only if this run owns it. */
  async #adoptNamed(live: LivePod, { namespace, runName, key }: StartAction): Promise<void> {
    const name = podName(runName, key);
    const pod = await this.#options.client.request<Pod>('GET', `${podsPath(namespace)}/${name}`);
    if (live.isOf(pod)) return this.#adopt(live, pod);
    const message = `Pod ${name} in namespace ${namespace} stands in its place and is not this run's: delete it`;
    live.end({ outcome: 'Failed', error: { type: 'podNameTaken', message, retryable: true } });
  }

  async #adopt(live: LivePod, pod: Pod): Promise<void> {
    this.#pods.created(pod);
    const from = this.#options.sink.log.resumeAt(live.key);
    live.prepare(await this.#masks(pod.metadata.namespace, secretsOf(pod)), await from);
    live.observe(pod);
  }

  /** The values that may be read, and the Secrets that may not; the Pod gets all, and what is wrong with one its kubelet says. */
  async #masks(namespace: string, wanted: PodBody['secrets']): Promise<Masks> {
    const refs = Object.values(wanted);
    const values = await Promise.all(
      refs.map(({ name, key }) =>
        this.#options.secrets.read(namespace, name, key).catch((error: unknown) => {
          if (error instanceof SecretRefused) return null;
          throw error;
        }),
      ),
    );
    const unmasked = refs.filter((_, i) => values[i] === null).map(({ name }) => name);
    return { masks: values.filter((value) => value !== null), unmasked: [...new Set(unmasked)] };
  }
}

function refuse(type: string, message: string): { error: StepError } {
  return { error: { type, message, retryable: false } };
}

/** The Secrets that a Pod of ours takes its environment from. */
function secretsOf(pod: Pod): PodBody['secrets'] {
  const step = stepOf(pod.spec) as
    | { env?: { name: string; valueFrom?: { secretKeyRef?: { name: string; key: string } } }[] }
    | undefined;
  const env = step?.env ?? [];
  return Object.fromEntries(
    env.flatMap(({ name, valueFrom }) => (valueFrom?.secretKeyRef ? [[name, valueFrom.secretKeyRef]] : [])),
  );
}
