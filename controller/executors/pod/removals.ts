import type { KubernetesClient } from '../../kubernetes/client.ts';
import { isRefusal } from '../../kubernetes/errors.ts';
import { type Clock, pause } from '../../seams/clock.ts';
import { podsPath } from './names.ts';
import type { KnownPod } from './pods.ts';

/** A finished Pod is there for `kubectl` for this long. */
const keepMs = 30_000;
const tries = 5;
const retryMs = 2000;

/** Pods whose end is committed, on their way out. What is left when the controller ends is swept by the next. */
export class Removals {
  readonly #client: KubernetesClient;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  readonly #waiting = new Map<string, AbortController>();

  constructor(client: KubernetesClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** `over`: resolves when nothing is to be read of it any more. */
  add(pod: KnownPod, over: Promise<void>): void {
    if (this.#waiting.has(pod.uid)) return;
    const gone = new AbortController();
    this.#waiting.set(pod.uid, gone);
    this.#remove(pod, over, AbortSignal.any([gone.signal, this.#closing.signal]))
      // It takes room and does no other harm; the next sweep tries again.
      .catch(() => {})
      .finally(() => this.#waiting.delete(pod.uid));
  }

  /** It went with its run, or by another's hand: nothing is left to remove. */
  gone(uid: string): void {
    this.#waiting.get(uid)?.abort('gone');
  }

  close(): void {
    this.#closing.abort();
  }

  async #remove(
    { namespace, name, uid, finishedAt }: KnownPod,
    over: Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    await over;
    // What still runs is nobody's any more: nobody waits to look at it.
    if (finishedAt !== null) await pause(this.#clock, finishedAt + keepMs - this.#clock.now(), signal);
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        await this.#client.request('DELETE', `${podsPath(namespace)}/${name}`, { body: { preconditions: { uid } } });
        return;
      } catch (error) {
        if (isRefusal(error, 404) || isRefusal(error, 409)) return;
        if (attempt === tries) throw error;
        await pause(this.#clock, retryMs * 2 ** attempt, signal);
      }
    }
  }
}
