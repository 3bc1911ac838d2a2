import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createVirtualClock } from '../../../test/fixtures/clock.ts';
import type { LogSink } from '../../seams/executor.ts';
import { LogWriter } from './log-writer.ts';

const key = { runId: 'r', step: 's', item: 0, attempt: 1 };

/** A store that refuses each of the first `refusals` pieces once. */
function open(options: { from?: number; limit?: number; secrets?: string[]; refusals?: number } = {}) {
  const { from = 0, limit = 1e9, secrets = [], refusals = 0 } = options;
  const clock = createVirtualClock();
  const released = new AbortController();
  const stored: { position: number; text: string }[] = [];
  let left = refusals;
  const sink: LogSink = {
    async append(_, position, bytes) {
      if (left-- > 0) throw new Error('the store is away');
      stored.push({ position, text: Buffer.from(bytes).toString('latin1') });
    },
    resumeAt: async () => from,
    overflow: async () => {},
  };
  const writer = new LogWriter({ key, sink, from, limit, secrets, clock, released: released.signal });
  const text = () => stored.map((piece) => piece.text).join('');
  return { writer, stored, text, clock, released };
}

/** Turns the clock until it is done. */
async function done<T>(clock: ReturnType<typeof createVirtualClock>, work: Promise<T>): Promise<T> {
  const ended = work.then(() => true);
  const turn = () => new Promise<false>((resolve) => setImmediate(() => resolve(false)));
  while (!(await Promise.race([ended, turn()]))) clock.next();
  return work;
}

test('what is stored goes on from where another controller stopped, whatever comes in which pieces', async () => {
  const piece = fc.tuple(fc.string({ maxLength: 8 }), fc.nat(20_000)).map(([text, times]) => text.repeat(times));
  const pieces = fc.array(piece, { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(pieces, fc.nat(200_000), fc.nat(2), async (texts, from, refusals) => {
      const { writer, stored, text, clock } = open({ from, refusals });
      const all = Buffer.from(texts.join('')).toString('latin1');
      for (const piece of texts) await done(clock, writer.push(Buffer.from(piece)));
      await done(clock, writer.finish());
      expect(text()).toBe(all.slice(from));
      let next = from;
      for (const piece of stored) {
        expect(piece.position).toBe(next);
        expect(piece.text.length).toBeLessThanOrEqual(65_536);
        next += piece.text.length;
      }
    }),
    { numRuns: 30 },
  );
});

test('the last line is known, whether it was stored now or by another; a notice stands on a line of its own', async () => {
  const { writer, text, clock } = open({ from: 6 });
  await writer.push(Buffer.from('first\nsecond '));
  writer.notice('is missing');
  writer.notice('is here again');
  await writer.push(Buffer.from('  the end\r\n\n'));
  expect(await done(clock, writer.finish())).toBe('the end');
  expect(text()).toBe('second \n[windlass] is missing\n[windlass] is here again\n  the end\r\n\n');
});

test('beyond the limit one line says so, and the last line is not known', async () => {
  const { writer, text, clock } = open({ limit: 5, secrets: ['hidden'] });
  await writer.push(Buffer.from('a hid'));
  await writer.push(Buffer.from('den thing'));
  await writer.push(Buffer.from('more'));
  expect(await done(clock, writer.finish())).toBeNull();
  expect(text()).toBe('a ***\n[windlass] the log is cut here after 5 bytes; the step runs on\n');
});

test('released, it asks no store any more', async () => {
  const { writer, stored, clock, released } = open({ refusals: Infinity });
  await writer.push(Buffer.from('lost'));
  released.abort();
  expect(await done(clock, writer.finish())).toBe('lost');
  expect(stored).toEqual([]);
});
