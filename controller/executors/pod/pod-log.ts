import type { AttemptKey } from '../../core/run/types.ts';
import type { Instant } from '../../core/time.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { type Clock, pause } from '../../seams/clock.ts';
import type { LogSink } from '../../seams/executor.ts';
import { LogFollow } from './log-follow.ts';
import { LogWriter } from './log-writer.ts';
import type { SilentNodes } from './silent-nodes.ts';

/** Beyond its container's end nobody waits for a log for longer. */
const waitMs = 35_000;

export interface PodLogOptions {
  client: KubernetesClient;
  clock: Clock;
  sink: LogSink;
  key: AttemptKey;
  hash: string;
  pod: { namespace: string; name: string; node: string };
  nodes: SilentNodes;
  secrets: readonly string[];
  from: number;
  limit: number;
  released: AbortSignal;
}

/** The log of an attempt, on its way from its Pod to the store from the moment this is made. */
export class PodLog {
  readonly #options: PodLogOptions;
  readonly #follow: LogFollow;
  readonly #writer: LogWriter;
  /** Resolves with the last line, null for none, when all of the log is stored. */
  readonly stored: Promise<string | null>;
  readonly #troubled: Promise<null>;
  readonly #ended = Promise.withResolvers<void>();
  #endedAt: Instant | null = null;

  constructor(options: PodLogOptions) {
    this.#options = options;
    const { client, clock, sink, key, hash, pod, nodes, secrets, from, limit, released } = options;
    this.#writer = new LogWriter({ key, sink, secrets, from, limit, clock, released });
    this.#follow = new LogFollow({
      client,
      pod,
      nodes,
      hash,
      writer: this.#writer,
      clock,
      endedAt: () => this.#endedAt,
      ended: this.#ended.promise,
      released,
    });
    const troubled = Promise.withResolvers<null>();
    this.#troubled = troubled.promise;
    this.stored = this.#follow.run(() => troubled.resolve(null)).then(() => this.#writer.finish());
  }

  /**
   * The container has ended. Resolves with what is known of its log: all of it, or what there is when it cannot be read
   * and `patient` says that a result need not wait for that.
   */
  async end(at: Instant, patient: boolean): Promise<{ lastLine: string | null; framed: string | null }> {
    this.#endedAt ??= at;
    this.#ended.resolve();
    const known = new AbortController();
    const signal = AbortSignal.any([known.signal, this.#options.released]);
    const over = pause(this.#options.clock, waitMs, signal).then(() => null);
    const lastLine = await Promise.race([this.stored, over, ...(patient ? [] : [this.#troubled])]);
    known.abort('known');
    return { lastLine, framed: this.#follow.framed };
  }
}
