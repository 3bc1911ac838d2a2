import type { Instant } from '../../core/time.ts';
import { type Clock, pause } from '../../seams/clock.ts';

const firstPauseMs = 1000;
const longestPauseMs = 10_000;

interface Silence {
  why: string;
  tries: number;
  /** When it is asked again. */
  nextAt: Instant;
  /** Aborted when it answers. */
  over: AbortController;
}

/**
 * Nodes whose logs cannot be had at present. A node that does not answer is asked by one request at a time, whatever the
 * number of its Pods: a thousand of them would else ask the API server several times each, for nothing.
 */
export class SilentNodes {
  readonly #clock: Clock;
  readonly #silent = new Map<string, Silence>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether to ask it now. Of those who come while it is silent one is let through, now and then. */
  admits(node: string): boolean {
    const silence = this.#silent.get(node);
    if (!silence) return true;
    if (this.#clock.now() < silence.nextAt) return false;
    this.#postpone(silence);
    return true;
  }

  /** Why it cannot be asked; empty when it can. */
  why(node: string): string {
    return this.#silent.get(node)?.why ?? '';
  }

  failed(node: string, why: string): void {
    const known = this.#silent.get(node);
    if (known) {
      known.why = why;
      return;
    }
    const silence = { why, tries: 0, nextAt: 0, over: new AbortController() };
    this.#postpone(silence);
    this.#silent.set(node, silence);
  }

  answered(node: string): void {
    this.#silent.get(node)?.over.abort('it answers');
    this.#silent.delete(node);
  }

  /** Resolves when it may be asked again, or the signal aborts. */
  async changed(node: string, signal: AbortSignal): Promise<void> {
    const silence = this.#silent.get(node);
    if (!silence) return;
    await pause(this.#clock, silence.nextAt - this.#clock.now(), AbortSignal.any([signal, silence.over.signal]));
  }

  #postpone(silence: Silence): void {
    silence.nextAt = this.#clock.now() + Math.min(longestPauseMs, firstPauseMs * 2 ** silence.tries++);
  }
}
