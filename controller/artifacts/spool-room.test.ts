import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SpoolRoom, type SpoolShare } from './spool-room.ts';

/** What a promise has come to when all that can has happened. */
async function isDone(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => (done = true));
  for (let i = 0; i < 10; i++) await Promise.resolve();
  return done;
}

test('the first may become as large as one may, whatever the others want', async () => {
  const room = new SpoolRoom(100, 130);
  const [first, second] = [room.begin(), room.begin()];
  await first.take(40);
  await second.take(30);
  const more = second.take(1);
  expect(await isDone(more)).toBe(false);
  await first.take(60);
  first.filled();
  expect(await isDone(more)).toBe(false);
  first.release();
  await more;
  await second.take(69);
});

test('what has all of its bytes keeps nothing for itself any more', async () => {
  const room = new SpoolRoom(100, 100);
  const [first, second] = [room.begin(), room.begin()];
  await first.take(10);
  const waits = second.take(50);
  expect(await isDone(waits)).toBe(false);
  first.filled();
  await waits;
});

test('whatever comes in whatever order: never more than the limit, and everything gets through', async () => {
  const sizes = fc.array(fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 4 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(sizes, fc.integer({ min: 100, max: 150 }), fc.scheduler(), async (files, limit, scheduler) => {
      const room = new SpoolRoom(100, limit);
      let held = 0;
      let most = 0;
      const upload = async (chunks: number[], share: SpoolShare) => {
        let own = 0;
        for (const bytes of chunks) {
          await scheduler.schedule(Promise.resolve());
          await share.take(bytes);
          own += bytes;
          held += bytes;
          most = Math.max(most, held);
        }
        share.filled();
        await scheduler.schedule(Promise.resolve());
        held -= own;
        share.release();
      };
      const all = Promise.all(files.map((chunks) => upload(chunks, room.begin())));
      await scheduler.waitFor(all);
      expect(most).toBeLessThanOrEqual(limit);
    }),
  );
});
