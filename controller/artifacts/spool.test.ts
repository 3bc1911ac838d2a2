import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { afterAll, expect, test } from 'vitest';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { spool } from './spool.ts';
import { SpoolRoom } from './spool-room.ts';

const directory = await mkdtemp(join(tmpdir(), 'windlass-spool-'));
afterAll(() => rm(directory, { recursive: true, force: true }));

test('where room is shared, nothing is read that there is no room for', async () => {
  const clock = createVirtualClock();
  const room = new SpoolRoom(100, 100);
  const other = room.begin();
  await other.take(90);
  other.filled();
  const content = Readable.from([Buffer.alloc(60), Buffer.alloc(40)]);
  let done = false;
  const spooled = spool(content, join(directory, 'a'), 100, { room: room.begin(), clock }).then((kept) => {
    done = true;
    return kept;
  });
  // Files that need not wait are through by then, one after the other.
  for (const name of ['c', 'd', 'e']) {
    await spool(Readable.from([Buffer.alloc(60), Buffer.alloc(40)]), join(directory, name), 100);
  }
  // It waits with its first piece, and not for its sender.
  clock.advance(600_000);
  expect(done).toBe(false);
  other.release();
  expect(await spooled).toMatchObject({ bytes: 100 });
});

test('who sends nothing for two minutes does not keep others from the room', async () => {
  const clock = createVirtualClock();
  const room = new SpoolRoom(100, 100);
  const spooled = spool(new PassThrough(), join(directory, 'b'), 100, { room: room.begin(), clock });
  const end = spooled.then(
    () => 'kept',
    (error: Error) => error.message,
  );
  await expect.poll(() => clock.pending()).toBe(1);
  clock.advance(120_000);
  expect(await end).toBe('nothing of it came for two minutes');
  expect(clock.pending()).toBe(0);
});
