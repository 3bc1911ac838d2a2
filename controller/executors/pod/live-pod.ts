import type { AttemptKey, AttemptResult, StepError } from '../../core/run/types.ts';
import type { Instant } from '../../core/time.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { isRefusal } from '../../kubernetes/errors.ts';
import { type Clock, pause } from '../../seams/clock.ts';
import type { ExecutorSink } from '../../seams/executor.ts';
import { describeExit } from '../exit.ts';
import { collectStatus, withCollected } from './artifacts.ts';
import { attemptHash, hashOf, plainOutputs, podsPath } from './names.ts';
import { type OutputsMessage, readMessage, readOutputs, readPlainMessage } from './outputs.ts';
import { type Pod, stepStatus } from './pod.ts';
import { PodLog } from './pod-log.ts';
import type { SilentNodes } from './silent-nodes.ts';
import { endedAfterDeletion, goneProgress, notReadyToStart, type PodProgress, podProgress } from './status.ts';
import { whyNotPrepared } from './why-not-prepared.ts';

const retryMs = 1000;
const longestImageId = 512;

/** The values that are hidden in a log, and the Secrets whose values are not known. */
export interface Masks {
  masks: string[];
  unmasked: string[];
}

export interface LivePodOptions {
  client: KubernetesClient;
  /** Shared by all: which nodes' logs cannot be had. */
  nodes: SilentNodes;
  clock: Clock;
  sink: ExecutorSink;
  /** Most bytes of the log that are stored. */
  logBytes: number;
  /** What it is begun or adopted under: once this is lost, the attempt is another's to judge and to end. */
  lease: AbortSignal;
  /** The lease of the moment; asking makes sure that a lost one is known to be. */
  leaseNow: () => AbortSignal;
  /** Called once, unless released before. */
  onEnd: (result: AttemptResult, at: Instant) => void;
}

/** An attempt that this executor follows, from its start or adoption to its end. */
export class LivePod {
  readonly key: AttemptKey;
  readonly hash: string;
  /** UID of the object that owns its Pod; null when it is only to be stopped, by whoever knows no more than its key. */
  owner: string | null = null;
  readonly #options: LivePodOptions;
  readonly #released = new AbortController();
  #pod: Pod | null = null;
  #masks: readonly string[] = [];
  /** Secrets whose values cannot be hidden in its log. */
  #unmasked: string[] = [];
  #logFrom = 0;
  #log: PodLog | null = null;
  /** Told to stop; null when not. */
  #graceMs: number | null = null;
  #deleting = false;
  /** Why it was given up while it waited: its end, once its Pod is gone. */
  #hopeless: StepError | null = null;
  #waitingSince: { reason: string; at: Instant } | null = null;
  /** The reason of the trouble that was told last; null: that there is none; undefined: nothing, though another replica may have. */
  #told: string | null | undefined;
  #judgement = new AbortController();
  #seen = '';
  readonly #ended = Promise.withResolvers<void>();
  #finishing = false;
  #reported = false;

  constructor(key: AttemptKey, options: LivePodOptions) {
    this.key = key;
    this.hash = attemptHash(key);
    this.#options = options;
  }

  get isStopped(): boolean {
    return this.#graceMs !== null;
  }

  get lease(): AbortSignal {
    return this.#options.lease;
  }

  /** It is let go of, or its lease is lost: a process that stood still may wake with events before its timers tell it so. */
  get isReleased(): boolean {
    return this.#released.signal.aborted || this.#options.leaseNow() !== this.lease || this.lease.aborted;
  }

  /** True when events of this Pod are this attempt's. */
  isOf(pod: Pod): boolean {
    if (this.#pod !== null) return pod.metadata.uid === this.#pod.metadata.uid;
    const owned = this.owner === null || pod.metadata.ownerReferences?.some(({ uid }) => uid === this.owner);
    return hashOf(pod) === this.hash && owned === true;
  }

  /** Resolves when it has ended and all of its log is stored, or it was let go of. */
  async over(): Promise<void> {
    await this.#ended.promise;
    await this.#log?.stored;
  }

  /** What is to be hidden in its log, and of which Secrets that is not known; where the log goes on. Call before its Pod is seen. */
  prepare({ masks, unmasked }: Masks, logFrom: number): void {
    this.#masks = masks;
    this.#unmasked = unmasked;
    this.#logFrom = logFrom;
  }

  /** Takes in its Pod as it is now. */
  observe(pod: Pod): void {
    if (this.isReleased || this.#finishing) return;
    this.#pod = pod;
    const fingerprint = fingerprintOf(pod);
    if (fingerprint !== this.#seen) {
      this.#seen = fingerprint;
      this.#judge(pod);
    }
    // One that has ended by itself keeps its end, and its Pod for as long as any other.
    if (this.#graceMs !== null && !this.#finishing) this.#delete(this.#graceMs);
  }

  /** Takes in its Pod as it was created, unless the watch was faster. */
  began(pod: Pod): void {
    if (this.#pod === null) this.observe(pod);
  }

  /** Its Pod is no more; `last`: as it was then, null when that is not known. */
  gone(last: Pod | null): void {
    if (this.isReleased || this.#finishing) return;
    const pod = last ?? this.#pod;
    this.#pod = pod;
    this.#act(goneProgress(pod), pod);
  }

  /** Ends its Pod, or sees to it that none begins. */
  stop(graceMs: number): void {
    if (this.#graceMs !== null) return;
    this.#graceMs = graceMs;
    if (this.#pod !== null) this.#delete(graceMs);
  }

  /** It ended without a Pod. */
  end(result: AttemptResult): void {
    this.#report(result, this.#options.clock.now());
  }

  /** Lets go of it: the Pod runs on, nothing is reported. */
  release(): void {
    this.#released.abort();
    this.#judgement.abort('judged anew');
    this.#ended.resolve();
  }

  #judge(pod: Pod): void {
    this.#judgement.abort('judged anew');
    const progress = podProgress(pod, this.#options.clock.now(), this.#waitingSince);
    this.#act(progress, pod);
    // How it ends, or is given up, comes with its end.
    if (progress.is === 'waiting') {
      if (progress.trouble !== null || this.#told) this.#tell(progress, pod);
    } else if (progress.is === 'running' || progress.is === 'ending') this.#tell(null, pod);
    const judgeAt = 'judgeAt' in progress ? progress.judgeAt : null;
    if (judgeAt === null) return;
    this.#judgement = new AbortController();
    const { signal } = this.#judgement;
    this.#detach(
      pause(this.#options.clock, judgeAt - this.#options.clock.now(), signal).then(() => {
        if (!signal.aborted && !this.#finishing && !this.isReleased) this.#judge(pod);
      }),
    );
  }

  /** Says what keeps it from running, when that is another reason than before: the words of one change all the time. */
  #tell(wait: Extract<PodProgress, { is: 'waiting' }> | null, pod: Pod): void {
    const trouble = wait?.trouble ?? null;
    const reason = trouble === null ? null : (wait?.reason ?? null);
    if (this.#told === reason || this.#reported || this.isReleased) return;
    this.#told = reason;
    const { sink, client } = this.#options;
    if (trouble === null || reason !== notReadyToStart) return sink.waiting(this.key, trouble);
    const error: StepError = { type: reason, message: trouble, retryable: true };
    this.#detach(
      whyNotPrepared(client, pod, error).then(({ message }) => {
        if (this.#told === reason && !this.isReleased) sink.waiting(this.key, message);
      }),
    );
  }

  #act(progress: PodProgress, pod: Pod | null): void {
    const { clock } = this.#options;
    switch (progress.is) {
      case 'waiting':
        if (this.#waitingSince?.reason !== progress.reason)
          this.#waitingSince = { reason: progress.reason, at: clock.now() };
        return;
      case 'running':
        this.#follow(pod);
        return;
      case 'ending':
        if (pod !== null && stepStatus(pod)?.state?.running) this.#follow(pod);
        return;
      case 'hopeless':
        return this.#detach(this.#giveUp(progress.error));
      case 'exited':
        this.#follow(pod);
        return this.#detach(this.#finishExited(progress, pod));
      case 'broken':
        if (progress.ran && progress.error.type !== 'infrastructure/nodeLost') this.#follow(pod);
        return this.#detach(this.#finishBroken(progress));
    }
  }

  /** Its end is what its status says then, or why it was deleted. */
  async #giveUp(error: StepError): Promise<void> {
    const pod = this.#pod;
    if (this.#hopeless !== null || pod === null) return;
    this.#hopeless = error;
    if (error.type === notReadyToStart) {
      const found = await whyNotPrepared(this.#options.client, pod, error);
      const now = this.#options.clock.now();
      const still = this.#pod !== null && podProgress(this.#pod, now, this.#waitingSince).is === 'hopeless';
      this.#hopeless = still ? found : null;
      if (!still) return;
    }
    this.#delete(0);
  }

  async #finishExited(progress: Extract<PodProgress, { is: 'exited' }>, pod: Pod | null): Promise<void> {
    this.#finishing = true;
    const { exitCode, at, outOfMemory } = progress;
    const message = exitCode === 0 ? messageOf(progress.message, pod) : null;
    const log = await this.#log?.end(at, message?.in === 'log');
    const terminated = pod === null ? undefined : stepStatus(pod)?.state?.terminated;
    const stopped = this.isStopped && pod !== null && terminated !== undefined && endedAfterDeletion(pod, terminated);
    if (stopped) return this.#report({ outcome: 'Stopped' }, at);
    if (message) {
      const result = readOutputs(message, log?.framed ?? null, this.#masks);
      return this.#report(pod === null ? result : this.#withArtifacts(pod, result), at);
    }
    const error: StepError = {
      type: outOfMemory ? 'outOfMemory' : 'exit',
      exitCode,
      message: describeExit(exitCode, log?.lastLine ?? null, outOfMemory),
      retryable: true,
    };
    this.#report({ outcome: 'Failed', error }, at);
  }

  /** What it left was collected, unless that was stopped or came to nothing. */
  #withArtifacts(pod: Pod, result: AttemptResult): AttemptResult {
    const whole = withCollected(pod, result);
    if (whole.outcome !== 'Failed' || result.outcome === 'Failed') return whole;
    if (this.#hopeless) return { outcome: 'Failed', error: this.#hopeless };
    return this.isStopped && collectStatus(pod)?.state?.terminated?.exitCode !== 1 ? { outcome: 'Stopped' } : whole;
  }

  async #finishBroken({ error, at }: Extract<PodProgress, { is: 'broken' }>): Promise<void> {
    this.#finishing = true;
    const { clock } = this.#options;
    if (error.type === 'infrastructure/nodeLost') {
      // Nobody will tell how it goes on there: a node that comes back must find it gone.
      await this.#sendDelete(0);
    } else await this.#log?.end(at ?? clock.now(), false);
    if (this.isStopped) return this.#report({ outcome: 'Stopped' }, at ?? clock.now());
    this.#report({ outcome: 'Failed', error: this.#hopeless ?? error }, at ?? clock.now());
  }

  #report(result: AttemptResult, at: Instant): void {
    if (this.isReleased || this.#reported) return;
    this.#reported = true;
    this.#finishing = true;
    this.#judgement.abort('judged anew');
    if (this.#told) this.#options.sink.waiting(this.key, null);
    this.#told = null;
    this.#ended.resolve();
    const imageId = imageOf(this.#pod);
    this.#options.onEnd(imageId === null ? result : { ...result, imageId }, at);
  }

  #follow(pod: Pod | null): void {
    if (this.#log !== null || pod === null) return;
    const { client, clock, sink, logBytes, nodes } = this.#options;
    const { namespace, name } = pod.metadata;
    const node = pod.spec?.['nodeName'];
    if (this.#unmasked.length > 0 && hasBegun(pod)) sink.unmasked(this.key, this.#unmasked);
    this.#log = new PodLog({
      client,
      clock,
      sink: sink.log,
      key: this.key,
      hash: this.hash,
      pod: { namespace, name, node: typeof node === 'string' ? node : '' },
      nodes,
      secrets: this.#masks,
      from: this.#logFrom,
      limit: logBytes,
      released: this.#released.signal,
    });
    this.#detach(this.#log.stored.then(() => {}));
  }

  #delete(graceMs: number): void {
    if (this.#deleting) return;
    this.#deleting = true;
    this.#detach(this.#sendDelete(graceMs));
  }

  /** Tries until the API server has answered. A grace of nothing would take the Pod off the API while it still runs. */
  async #sendDelete(graceMs: number): Promise<void> {
    const { client, clock } = this.#options;
    const pod = this.#pod;
    if (pod === null) return;
    const { namespace, name, uid } = pod.metadata;
    const unanswered = this.#finishing;
    const gracePeriodSeconds = unanswered ? 0 : Math.max(1, Math.ceil(graceMs / 1000));
    while (!this.isReleased) {
      try {
        await client.request('DELETE', `${podsPath(namespace)}/${name}`, {
          body: { gracePeriodSeconds, preconditions: { uid } },
        });
        return;
      } catch (error) {
        // Another of its name, or none: it is gone.
        if (isRefusal(error, 404) || isRefusal(error, 409)) return this.gone(null);
        await pause(clock, retryMs, this.#released.signal);
      }
    }
  }

  /** What runs in the background catches its own failures; anything else is a mistake of ours. */
  #detach(work: Promise<void>): void {
    work.catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      this.#report(
        { outcome: 'Failed', error: { type: 'infrastructure/controller', message, retryable: true } },
        this.#options.clock.now(),
      );
    });
  }
}

/** A container writes its outputs itself, and nothing says how. */
function messageOf(message: string, pod: Pod | null): OutputsMessage {
  const plain = pod?.metadata.annotations?.[plainOutputs] === 'true';
  return plain ? readPlainMessage(message) : readMessage(message);
}

/** Its script runs or ran: without one of its Secrets the container is never made, and there is nothing to be shown. */
function hasBegun(pod: Pod): boolean {
  const state = stepStatus(pod)?.state;
  return state?.running !== undefined || Boolean(state?.terminated?.startedAt);
}

/** What its container runs or ran, by digest; null as long as none was made. */
function imageOf(pod: Pod | null): string | null {
  const imageId = pod === null ? undefined : stepStatus(pod)?.imageID;
  return imageId ? imageId.slice(0, longestImageId) : null;
}

const judgedConditions = new Set(['PodScheduled', 'DisruptionTarget', 'PodReadyToStartContainers']);

/** What of a Pod's status matters; everything else that changes is noise. */
function fingerprintOf(pod: Pod): string {
  const state = stepStatus(pod)?.state;
  const collecting = collectStatus(pod)?.state;
  const conditions = pod.status?.conditions?.filter((c) => judgedConditions.has(c.type));
  return JSON.stringify([
    pod.status?.phase,
    pod.status?.reason,
    pod.metadata.deletionTimestamp,
    state?.waiting?.reason,
    state?.waiting?.message,
    state?.running !== undefined,
    state?.terminated?.exitCode,
    collecting?.waiting?.reason,
    collecting?.running !== undefined,
    collecting?.terminated?.exitCode,
    conditions?.map((c) => [c.type, c.status, c.reason]),
    pod.status?.initContainerStatuses?.map((c) => [c.state?.waiting?.reason, c.state?.terminated?.exitCode]),
  ]);
}
