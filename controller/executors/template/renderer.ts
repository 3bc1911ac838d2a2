import { Worker } from 'node:worker_threads';
import type { Clock } from '../../seams/clock.ts';
import type { RenderAnswer, RenderRequest } from './messages.ts';

/** Longest time of one render: the engine's own limit does not count work inside a single operation. */
const renderMs = 5000;
/** Templates the worker keeps compiled. */
const mostTemplates = 500;

export type Rendered = { text: string } | { problem: string };

interface Waiting {
  id: number;
  source: string;
  vars: string;
  resolve: (rendered: Rendered) => void;
  reject: (error: Error) => void;
}

/**
 * Renders templates in a worker thread, which is started at first use and replaced when a render takes too long or breaks
 * the engine. Renders are answered in order.
 */
export class Renderer {
  readonly #clock: Clock;
  #worker: Worker | null = null;
  #ready = false;
  /** By source; the oldest first. */
  #templates = new Map<string, number>();
  #waiting: Waiting[] = [];
  #nextId = 0;
  #headSince = 0;
  #cancelWatch: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws when the renderer is closed or its thread cannot be started. */
  render(source: string, vars: string): Promise<Rendered> {
    return new Promise((resolve, reject) => {
      const one = { id: this.#nextId++, source, vars, resolve, reject };
      this.#waiting.push(one);
      if (!this.#worker) return this.#startWorker();
      if (!this.#ready) return;
      if (this.#waiting.length === 1) this.#watch();
      this.#send(one);
    });
  }

  close(): void {
    const waiting = this.#drop();
    for (const one of waiting) one.reject(new Error('the template executor is closed'));
  }

  /** Lets go of the worker and of everything that waits. */
  #drop(): Waiting[] {
    const worker = this.#worker;
    const waiting = this.#waiting;
    this.#worker = null;
    this.#ready = false;
    this.#templates = new Map();
    this.#waiting = [];
    this.#cancelWatch?.();
    this.#cancelWatch = null;
    worker?.removeAllListeners();
    worker?.on('error', () => {});
    // What a thread still does after this cannot matter, and it has no way to fail that would.
    worker?.terminate().catch(() => {});
    return waiting;
  }

  #startWorker(): void {
    // A panic of the engine would print its stack; the answer says what matters.
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { env: {}, execArgv: [], stderr: true });
    this.#worker = worker;
    worker.on('message', (message: 'ready' | RenderAnswer) => {
      if (message !== 'ready') return this.#answered(message);
      this.#ready = true;
      worker.unref();
      if (this.#waiting.length > 0) this.#watch();
      for (const one of this.#waiting) this.#send(one);
    });
    worker.on('error', (cause) => {
      for (const one of this.#drop()) one.reject(new Error('the template engine could not be run', { cause }));
    });
  }

  #send(one: Waiting): void {
    const known = this.#templates.get(one.source);
    const request: RenderRequest = { id: one.id, template: known ?? one.id, vars: one.vars };
    if (known === undefined) {
      request.source = one.source;
      if (this.#templates.size === mostTemplates) request.forget = this.#forgetOldest();
      this.#templates.set(one.source, one.id);
    }
    this.#worker?.postMessage(request);
  }

  #forgetOldest(): number[] {
    const [oldest] = this.#templates;
    if (!oldest) return [];
    this.#templates.delete(oldest[0]);
    return [oldest[1]];
  }

  #answered(answer: RenderAnswer): void {
    const one = this.#waiting.shift();
    this.#headSince = this.#clock.monotonic();
    if (this.#waiting.length === 0) this.#unwatch();
    one?.resolve('text' in answer ? { text: answer.text } : { problem: answer.problem });
    if (answer.worn) this.#replaceWorker();
  }

  #replaceWorker(): void {
    const waiting = this.#drop();
    if (waiting.length === 0) return;
    this.#waiting = waiting;
    this.#startWorker();
  }

  /** The first that waits is the one being rendered; while there is one, the thread keeps the process alive. */
  #watch(): void {
    this.#worker?.ref();
    this.#headSince = this.#clock.monotonic();
    this.#watchUntil(renderMs);
  }

  #unwatch(): void {
    this.#cancelWatch?.();
    this.#cancelWatch = null;
    this.#worker?.unref();
  }

  #watchUntil(ms: number): void {
    this.#cancelWatch?.();
    this.#cancelWatch = this.#clock.at(this.#clock.now() + ms, () => {
      const left = renderMs - (this.#clock.monotonic() - this.#headSince);
      if (left > 0) return this.#watchUntil(left);
      const slow = this.#waiting.shift();
      this.#replaceWorker();
      slow?.resolve({ problem: `it took longer than ${renderMs / 1000} s` });
    });
  }
}
