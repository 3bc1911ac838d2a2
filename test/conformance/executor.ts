/* oxlint-disable vitest/no-disabled-tests, vitest/no-conditional-tests, vitest/valid-title, vitest/expect-expect, unicorn/consistent-function-scoping -- a suite for others: titles and skips are arguments */
import { afterEach, describe, expect, test } from 'vitest';
import type { AttemptKey, AttemptResult, ResolvedBody } from '../../controller/core/run/types.ts';
import type { Instant } from '../../controller/core/time.ts';
import type { StoredArtifact } from '../../controller/seams/artifacts.ts';
import type { Executor, ExecutorSink, StartAction, StopAction } from '../../controller/seams/executor.ts';

/** Keeps what executors report and lets tests await it. */
export class RecordingSink implements ExecutorSink {
  readonly ends: { key: AttemptKey; result: AttemptResult; imageId: string | null; at: Instant }[] = [];
  readonly chunks: { key: AttemptKey; position: number; bytes: Uint8Array }[] = [];
  readonly overflows: { key: AttemptKey; position: number; rest: StoredArtifact | null }[] = [];
  readonly #waiting = new Set<() => void>();

  ended(key: AttemptKey, result: AttemptResult, at: Instant): void {
    // Apart, as no test knows which image it is.
    const { imageId = null, ...rest } = result;
    this.ends.push({ key, result: rest, imageId, at });
    this.#wake();
  }

  readonly unmaskedSecrets: { key: AttemptKey; secrets: string[] }[] = [];
  unmasked(key: AttemptKey, secrets: string[]): void {
    this.unmaskedSecrets.push({ key, secrets });
    this.#wake();
  }

  readonly waits: { key: AttemptKey; reason: string | null }[] = [];
  waiting(key: AttemptKey, reason: string | null): void {
    this.waits.push({ key, reason });
    this.#wake();
  }

  readonly log = {
    append: async (key: AttemptKey, position: number, bytes: Uint8Array): Promise<void> => {
      this.chunks.push({ key, position, bytes });
      this.#wake();
    },
    resumeAt: async (key: AttemptKey): Promise<number> =>
      Math.max(0, ...this.#chunksOf(key).map((c) => c.position + c.bytes.length)),
    overflow: async (key: AttemptKey, position: number, rest: StoredArtifact | null): Promise<void> => {
      this.overflows.push({ key, position, rest });
      this.#wake();
    },
  };

  endsOf(key: AttemptKey): AttemptResult[] {
    return this.ends.filter((e) => same(e.key, key)).map((e) => e.result);
  }

  /** When an attempt ended, as each report has it. */
  instantsOf(key: AttemptKey): Instant[] {
    return this.ends.filter((e) => same(e.key, key)).map((e) => e.at);
  }

  /** The first (or `nth`) end of an attempt. */
  async end(key: AttemptKey, nth = 1): Promise<AttemptResult> {
    await this.until(() => this.endsOf(key).length >= nth);
    return this.endsOf(key)[nth - 1] as AttemptResult;
  }

  /** The log as a reader puts it together: by position, overlap dropped. Throws on a gap. */
  text(key: AttemptKey): string {
    let bytes = Buffer.alloc(0);
    for (const chunk of this.#chunksOf(key).toSorted((a, b) => a.position - b.position)) {
      if (chunk.position > bytes.length) throw new Error(`gap in the log at ${bytes.length}`);
      const fresh = chunk.bytes.subarray(bytes.length - chunk.position);
      bytes = Buffer.concat([bytes, fresh]);
    }
    return bytes.toString();
  }

  /** Resolves as soon as something was reported that makes it true. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }

  #chunksOf(key: AttemptKey) {
    return this.chunks.filter((c) => same(c.key, key));
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    for (const wake of waiting) wake();
  }
}

function same(a: AttemptKey, b: AttemptKey): boolean {
  return a.runId === b.runId && a.step === b.step && a.item === b.item && a.attempt === b.attempt;
}

/** One implementation, made ready for the suite. */
export interface ExecutorSetup {
  executor: Executor;
  bodies: {
    /** Succeeds with `outputs`. */
    succeeds: { body: ResolvedBody; outputs: AttemptResult };
    /** Yields an output of this many characters `x`. */
    yieldsText: (characters: number) => { body: ResolvedBody; outputs: AttemptResult };
    fails: ResolvedBody;
    /** Runs until it is stopped. Resolves `begun` once its side effect is there. */
    endless: ResolvedBody;
  };
  /** The action as one of a run that exists, where the world asks for it. */
  owned?(action: StartAction): Promise<StartAction>;
  /** Resolves when the endless body has begun. */
  endlessBegun(): Promise<void>;
  /** How often the endless body has begun, in the world. */
  endlessCount(): Promise<number>;
  /** Ends what a test left running and removes what it made. */
  dispose(): Promise<void>;
}

export type ExecutorTest =
  | 'reports the end once, with outputs'
  | 'reports a failure'
  | 'a second start is the same run'
  | 'a start after the end reports again'
  | 'stops what runs'
  | 'stops before it has begun'
  | 'an unknown attempt is Stopped'
  | 'a stop after the end reports how it ended, and when'
  | 'a stopped attempt stays Stopped'
  | 'outputs arrive whole'
  | 'forgets'
  | 'sweeping spares what is open or runs here'
  | 'close lets go'
  | 'refuses to start when closed'
  | 'many at once';

let runs = 0;

/** An action of a run of its own. */
export function startAction(body: ResolvedBody, key: Partial<AttemptKey> = {}): StartAction {
  const runId = `run-${process.pid}-${++runs}`;
  return {
    type: 'Start',
    key: { runId, step: 'work', item: -1, attempt: 1, ...key },
    namespace: 'dev',
    runName: 'nightly-1',
    owner: { uid: runId, name: 'nightly-1' },
    workflow: 'nightly',
    digest: 'sha256:0123',
    body,
    artifacts: { out: {}, in: {} },
    effect: 'main/0/1',
    startedAt: Date.now(),
  };
}

const held = new AbortController().signal;

/** For executors under test: the signal of a lease that lasts. */
export function neverLost(): AbortSignal {
  return held;
}

/** The action that stops what an action of `startAction` began. */
export function stopAction(
  { key, namespace, owner, body }: Pick<StartAction, 'key' | 'namespace' | 'owner' | 'body'>,
  graceMs: number,
): StopAction {
  return { type: 'Stop', key, namespace, owner, kind: body.kind, graceMs };
}

/** What every executor promises. A new implementation calls this with a setup; a skip says why. */
export function executorConformance(
  name: string,
  setUp: (sink: RecordingSink) => Promise<ExecutorSetup>,
  skip: { reason: string; tests: ExecutorTest[] }[] = [],
): void {
  describe(`executor: ${name}`, () => {
    let disposals: (() => Promise<void>)[] = [];
    afterEach(async () => {
      for (const dispose of disposals.toReversed()) await dispose();
      disposals = [];
    });

    async function ready() {
      const sink = new RecordingSink();
      const setup = await setUp(sink);
      disposals.push(() => setup.dispose());
      const given = async (body: ResolvedBody) => (await setup.owned?.(startAction(body))) ?? startAction(body);
      return { ...setup, sink, given };
    }

    function check(title: ExecutorTest, run: () => Promise<void>): void {
      const skipped = skip.find((s) => s.tests.includes(title));
      if (skipped) test.skip(`${title} (${skipped.reason})`, run);
      else test(title, run);
    }

    check('reports the end once, with outputs', async () => {
      const { executor, sink, bodies, given } = await ready();
      const action = await given(bodies.succeeds.body);
      await executor.start(action);
      expect(await sink.end(action.key)).toEqual(bodies.succeeds.outputs);
      const marker = await given(bodies.succeeds.body);
      await executor.start(marker);
      await sink.end(marker.key);
      expect(sink.endsOf(action.key)).toHaveLength(1);
    });

    check('reports a failure', async () => {
      const { executor, sink, bodies, given } = await ready();
      const action = await given(bodies.fails);
      await executor.start(action);
      const result = await sink.end(action.key);
      expect(result.outcome).toBe('Failed');
      if (result.outcome === 'Failed') expect(result.error.message).not.toBe('');
    });

    check('a second start is the same run', async () => {
      const { executor, sink, bodies, endlessBegun, endlessCount, given } = await ready();
      const action = await given(bodies.endless);
      await Promise.all([executor.start(action), executor.start(action)]);
      await endlessBegun();
      await executor.start(action);
      await executor.stop(stopAction(action, 0));
      await sink.end(action.key);
      expect(await endlessCount()).toBe(1);
      expect(sink.endsOf(action.key)).toEqual([{ outcome: 'Stopped' }]);
    });

    check('a start after the end reports again', async () => {
      const { executor, sink, bodies, given } = await ready();
      const action = await given(bodies.succeeds.body);
      await executor.start(action);
      await sink.end(action.key);
      await executor.start(action);
      expect(await sink.end(action.key, 2)).toEqual(bodies.succeeds.outputs);
      const [first, second] = sink.instantsOf(action.key);
      expect(second).toBe(first);
    });

    check('stops what runs', async () => {
      const { executor, sink, bodies, endlessBegun, given } = await ready();
      const action = await given(bodies.endless);
      await executor.start(action);
      await endlessBegun();
      await executor.stop(stopAction(action, 5000));
      expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    });

    check('stops before it has begun', async () => {
      const { executor, sink, bodies, given } = await ready();
      const action = await given(bodies.endless);
      await Promise.all([executor.start(action), executor.stop(stopAction(action, 0))]);
      expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    });

    check('an unknown attempt is Stopped', async () => {
      const { executor, sink, bodies, given } = await ready();
      const key = { runId: 'nobody', step: 'work', item: -1, attempt: 3 };
      await executor.stop(stopAction({ ...(await given(bodies.endless)), key }, 1000));
      expect(await sink.end(key)).toEqual({ outcome: 'Stopped' });
    });

    check('a stop after the end reports how it ended, and when', async () => {
      const { executor, sink, bodies, given } = await ready();
      const action = await given(bodies.succeeds.body);
      await executor.start(action);
      await sink.end(action.key);
      await executor.stop(stopAction(action, 1000));
      expect(await sink.end(action.key, 2)).toEqual(bodies.succeeds.outputs);
      const [first, second] = sink.instantsOf(action.key);
      expect(second).toBe(first);
    });

    check('a stopped attempt stays Stopped', async () => {
      const { executor, sink, bodies, endlessBegun, given } = await ready();
      const action = await given(bodies.endless);
      await executor.start(action);
      await endlessBegun();
      await executor.stop(stopAction(action, 5000));
      await sink.end(action.key);
      await executor.stop(stopAction(action, 5000));
      expect(await sink.end(action.key, 2)).toEqual({ outcome: 'Stopped' });
    });

    check('outputs arrive whole', async () => {
      const { executor, sink, bodies, given } = await ready();
      const { body, outputs } = bodies.yieldsText(1_000_000);
      const action = await given(body);
      await executor.start(action);
      expect(await sink.end(action.key)).toEqual(outputs);
    });

    check('forgets', async () => {
      const { executor, sink, bodies, given } = await ready();
      const action = await given(bodies.succeeds.body);
      await executor.start(action);
      await sink.end(action.key);
      await executor.forget(action.key);
      await executor.forget(action.key);
      await executor.forget({ runId: 'nobody', step: 'work', item: -1, attempt: 1 });
    });

    check('sweeping spares what is open or runs here', async () => {
      const { executor, sink, bodies, endlessBegun, given } = await ready();
      await executor.sweep(async () => []);
      const ended = await given(bodies.succeeds.body);
      await executor.start(ended);
      await sink.end(ended.key);
      const running = await given(bodies.endless);
      await executor.start(running);
      await endlessBegun();
      await executor.sweep(async () => [ended.key]);
      await executor.start(ended);
      expect(await sink.end(ended.key, 2)).toEqual(bodies.succeeds.outputs);
      await executor.stop(stopAction(running, 1000));
      expect(await sink.end(running.key)).toEqual({ outcome: 'Stopped' });
    });

    check('close lets go', async () => {
      const { executor, sink, bodies, endlessBegun, given } = await ready();
      const action = await given(bodies.endless);
      await executor.start(action);
      await endlessBegun();
      await executor.close();
      await executor.close();
      expect(sink.ends).toEqual([]);
    });

    check('refuses to start when closed', async () => {
      const { executor, bodies, given } = await ready();
      const action = await given(bodies.succeeds.body);
      await executor.close();
      await expect(executor.start(action)).rejects.toThrow('closed');
    });

    check('many at once', async () => {
      const { executor, sink, bodies, given } = await ready();
      const actions = await Promise.all(Array.from({ length: 20 }, () => given(bodies.succeeds.body)));
      await Promise.all(actions.map((action) => executor.start(action)));
      for (const action of actions) expect(await sink.end(action.key)).toEqual(bodies.succeeds.outputs);
      expect(sink.ends).toHaveLength(actions.length);
    });
  });
}
