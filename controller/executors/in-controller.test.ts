import { describe, expect, test } from 'vitest';
import { RecordingSink } from '../../test/conformance/executor.ts';
import type { AttemptKey, AttemptResult } from '../core/run/types.ts';
import { systemClock } from '../runtime/clock.ts';
import { InController } from './in-controller.ts';

const key: AttemptKey = { runId: 'run', step: 'work', item: -1, attempt: 1 };

function result(text: string): AttemptResult {
  return { outcome: 'Succeeded', outputs: { values: { text } } };
}

/** Work that ends when the test says so, and what it was told meanwhile. */
function work() {
  const end = Promise.withResolvers<AttemptResult>();
  const begun: AbortSignal[] = [];
  return {
    begun,
    end: end.resolve,
    run: (stopped: AbortSignal) => {
      begun.push(stopped);
      return end.promise;
    },
  };
}

describe('when the lease is lost', () => {
  function ready() {
    const sink = new RecordingSink();
    const leases = [new AbortController()];
    const attempts = new InController(sink, systemClock, () => (leases.at(-1) as AbortController).signal);
    return { sink, leases, attempts };
  }

  test('what runs is aborted and its result discarded; under the next lease it runs anew', async () => {
    const { sink, leases, attempts } = ready();
    const [old, fresh] = [work(), work()];
    attempts.run(key, old.run);
    leases[0]?.abort();
    expect(old.begun.map((signal) => signal.aborted)).toEqual([true]);
    leases.push(new AbortController());
    attempts.run(key, fresh.run);
    old.end(result('old'));
    await old.run(new AbortController().signal);
    expect(sink.ends).toEqual([]);
    fresh.end(result('fresh'));
    expect(await sink.end(key)).toEqual(result('fresh'));
    expect(fresh.begun.map((signal) => signal.aborted)).toEqual([false]);
    expect(sink.ends).toHaveLength(1);
  });

  test('an end that may not be recorded is not known any more', async () => {
    const { sink, leases, attempts } = ready();
    const [old, fresh] = [work(), work()];
    attempts.run(key, old.run);
    old.end(result('old'));
    await sink.end(key);
    leases[0]?.abort();
    leases.push(new AbortController());
    attempts.run(key, fresh.run);
    fresh.end(result('fresh'));
    expect(await sink.end(key, 2)).toEqual(result('fresh'));
  });

  test('nothing begins until there is another', () => {
    const { leases, attempts } = ready();
    leases[0]?.abort();
    const never = work();
    expect(() => attempts.run(key, never.run)).toThrow('lease is lost');
    expect(never.begun).toEqual([]);
  });
});

test('an end is kept until it is forgotten, then the attempt runs anew', async () => {
  const sink = new RecordingSink();
  const attempts = new InController(sink, systemClock, () => new AbortController().signal);
  for (const round of [1, 2]) {
    const one = work();
    attempts.run(key, one.run);
    expect(one.begun).toHaveLength(1);
    one.end(result('x'));
    await sink.end(key, round);
    attempts.forget(key);
  }
});
