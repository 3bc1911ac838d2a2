import type { Instant } from '../../core/time.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { KubernetesError } from '../../kubernetes/errors.ts';
import { type Clock, pause } from '../../seams/clock.ts';
import { LogLines } from './log-lines.ts';
import type { LogWriter } from './log-writer.ts';
import { OutputFrame } from './output-frame.ts';
import type { SilentNodes } from './silent-nodes.ts';
import { stepContainer } from './pod.ts';
import { frameMarks } from './wrapper.ts';

/** A log that cannot be read for this long is given up, with a line that says so. */
const unreadableMs = 30_000;
const longestPauseMs = 10_000;
/** After its container's end a log comes at once: a node that keeps silent for longer does not answer. */
const silenceMs = 3000;
/** The API server's words for a kubelet that it cannot reach. */
const unreachable = /^Get "https?:\/\/[^"]*": /;

export interface LogFollowOptions {
  client: KubernetesClient;
  /** `node`: where it runs; empty when that is not known. */
  pod: { namespace: string; name: string; node: string };
  nodes: SilentNodes;
  hash: string;
  writer: LogWriter;
  clock: Clock;
  /** When the container ended, as far as is known; null while it runs. */
  endedAt: () => Instant | null;
  /** Resolves when the container has ended. */
  ended: Promise<void>;
  /** Aborted when nobody wants the log any more. */
  released: AbortSignal;
}

/** The log of one Pod, followed by one request for as long as that lasts. */
export class LogFollow {
  readonly #options: LogFollowOptions;
  readonly #lines = new LogLines();
  readonly #frame: OutputFrame;
  #complete = false;
  /** Since when it cannot be read. */
  #unreadableSince: Instant | null = null;
  #tries = 0;
  /** Of the trouble that was told in the log. */
  #told: Instant | null = null;
  /** Why the last try failed. */
  #why = '';

  constructor(options: LogFollowOptions) {
    this.#options = options;
    this.#frame = new OutputFrame(frameMarks(options.hash));
  }

  /** The framed outputs, once they have come whole. */
  get framed(): string | null {
    return this.#frame.content;
  }

  /** Reads until the log is complete, given up or released. `onTrouble`: after the end of the container it cannot be read. */
  async run(onTrouble: () => void): Promise<void> {
    const { released, writer, nodes, pod, endedAt } = this.#options;
    while (!released.aborted && !this.#complete && !this.#tellTrouble()) {
      if (!nodes.admits(pod.node)) {
        this.#fail(nodes.why(pod.node), onTrouble);
        await this.#awaitNode();
        continue;
      }
      try {
        await this.#read(onTrouble);
        if (!this.#complete && endedAt() === null) await this.#awaitEnd(2000);
      } catch (error) {
        if (released.aborted) break;
        this.#fail(reasonOf(error), onTrouble);
        if (error instanceof KubernetesError && error.status.code === 404) break;
        if (pod.node !== '' && unreachable.test(this.#why)) nodes.failed(pod.node, this.#why);
        else await this.#awaitEnd(Math.min(longestPauseMs, 500 * 3 ** this.#tries++));
      }
    }
    if (released.aborted) return;
    await writer.push(this.#frame.finish());
    if (!this.#complete) writer.notice(`the log could not be read to its end, lines may be missing: ${this.#why}`);
  }

  #fail(why: string, onTrouble: () => void, since = this.#options.clock.now()): void {
    this.#unreadableSince ??= since;
    this.#why = why;
    if (this.#options.endedAt() !== null) onTrouble();
  }

  /** True when it is given up. While the step runs it never is, but said. */
  #tellTrouble(): boolean {
    const { clock, endedAt, writer } = this.#options;
    const since = this.#unreadableSince;
    if (since === null || clock.now() - since < unreadableMs) return false;
    if (endedAt() !== null) return true;
    if (this.#told !== since)
      writer.notice(`the log cannot be read since ${new Date(since).toISOString()}: ${this.#why}`);
    this.#told = since;
    return false;
  }

  async #read(onTrouble: () => void): Promise<void> {
    const { released } = this.#options;
    const reading = new AbortController();
    const heard = { at: this.#options.clock.now() };
    void this.#guard(reading, heard, onTrouble);
    try {
      await this.#take(AbortSignal.any([released, reading.signal]), heard);
    } finally {
      reading.abort('read');
    }
  }

  async #take(signal: AbortSignal, heard: { at: Instant }): Promise<void> {
    const { client, pod, nodes, writer, clock, endedAt } = this.#options;
    const since = this.#lines.since;
    const query = {
      container: stepContainer,
      follow: 'true',
      timestamps: 'true',
      ...(since ? { sinceTime: since } : {}),
    };
    const path = `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/log`;
    const wasOver = endedAt() !== null;
    this.#lines.resume();
    for await (const chunk of await client.stream(path, query, signal)) {
      heard.at = clock.now();
      nodes.answered(pod.node);
      const text = this.#lines.push(chunk);
      if (this.#lines.takeGap())
        writer.notice('lines are missing here: the node removed them before they could be read');
      await writer.push(this.#frame.push(text));
      this.#unreadableSince = null;
      this.#tries = 0;
    }
    nodes.answered(pod.node);
    this.#unreadableSince = null;
    // It ends with the container, or with the kubelet or API server in between. The container's end is known by then or
    // soon after; one that is later than this end, but for the two clocks, says that there is more to be read.
    const readUntil = clock.now();
    if (endedAt() === null) await this.#awaitEnd(2000);
    const over = endedAt();
    this.#complete = wasOver || (over !== null && over <= readUntil + 1000);
  }

  /** From the end of its container on: says that the node is silent, and ends what would never end. */
  async #guard(reading: AbortController, heard: { at: Instant }, onTrouble: () => void): Promise<void> {
    const { ended, clock, pod, nodes, endedAt } = this.#options;
    const { signal } = reading;
    await Promise.race([ended, aborted(signal)]);
    const from = clock.now();
    await pause(clock, silenceMs, signal);
    if (signal.aborted || endedAt() === null) return;
    if (heard.at <= from) {
      const why = 'its node does not answer';
      if (pod.node !== '') nodes.failed(pod.node, why);
      this.#fail(why, onTrouble, from);
    }
    while (!signal.aborted) {
      const left = Math.max(from, heard.at) + unreadableMs - clock.now();
      if (left <= 0) reading.abort(new Error('its node does not answer'));
      else await pause(clock, left, signal);
    }
  }

  /** Until its node may be asked again, its container ends, or there is no point in waiting any more. */
  async #awaitNode(): Promise<void> {
    const { clock, ended, endedAt, released, nodes, pod } = this.#options;
    const known = new AbortController();
    const signal = AbortSignal.any([known.signal, released]);
    const left = (this.#unreadableSince ?? clock.now()) + unreadableMs - clock.now();
    const waits = [nodes.changed(pod.node, signal)];
    if (left > 0) waits.push(pause(clock, left, signal));
    if (endedAt() === null) waits.push(ended);
    await Promise.race(waits);
    known.abort('known');
  }

  /** A pause that the end of the container cuts short, as its log is whole then; after that end it is only a pause. */
  async #awaitEnd(ms: number): Promise<void> {
    const { clock, ended, endedAt, released } = this.#options;
    if (endedAt() !== null) return pause(clock, ms, released);
    const known = new AbortController();
    await Promise.race([ended, pause(clock, ms, AbortSignal.any([known.signal, released]))]);
    known.abort('known');
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function reasonOf(error: unknown): string {
  if (error instanceof KubernetesError) return error.status.message;
  return error instanceof Error ? error.message : String(error);
}
