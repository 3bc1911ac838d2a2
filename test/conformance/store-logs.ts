/* oxlint-disable vitest/valid-title -- a suite for others: titles are arguments */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { AttemptKey } from '../../controller/core/run/types.ts';
import type { ArtifactReader } from '../../controller/seams/artifacts.ts';
import type { Store } from '../../controller/store/types.ts';
import { attemptRow, runRow, transition } from '../fixtures/history.ts';

const border = 4 * 1024 * 1024;
let runs = 0;

function keyOf(driver: string): AttemptKey {
  return { runId: `long-${driver}-${++runs}`, step: 'a', item: -1, attempt: 1 };
}

function artifactOf(bytes: Buffer) {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const artifacts: Pick<ArtifactReader, 'read'> = {
    read: async (wanted, start, length) => (wanted === digest ? bytes.subarray(start, start + length) : null),
  };
  return { rest: { digest, bytes: bytes.length }, artifacts };
}

/** What the history promises about logs of which only the beginning is in the database, on either driver. */
export function describeLongLogs(driver: string, opened: () => Store): void {
  /** Fills what is stored in pieces, in such a way that a character of 3 bytes lies across its end by `over`. */
  async function fill(key: AttemptKey, over: number): Promise<Buffer> {
    const all = Buffer.from(`${'x'.repeat(border - 4 + over)}\n${'€ and more\n'.repeat(40_000)}`);
    for (let at = 0; at < border; at += 65_536) await opened().logs.append(key, at, all.subarray(at, at + 65_536));
    return all;
  }

  async function readAll(key: AttemptKey, artifacts: Pick<ArtifactReader, 'read'> | null, limit = 100_000, from = 0) {
    let text = '';
    for (let at = from; ; ) {
      const lines = await opened().logs.read(key, at, limit, artifacts);
      const last = lines.at(-1);
      if (!last) return text;
      text += lines.map((line) => line.text).join('');
      if (last.position <= at) throw new Error('it does not go on');
      at = last.position;
    }
  }

  /** Records the attempt as one that has ended. */
  async function end(key: AttemptKey): Promise<void> {
    const run = runRow(key.runId);
    await opened().runs.create(run);
    let fence = 0;
    for (let claims = await opened().runs.claim(200); claims.length > 0; claims = await opened().runs.claim(200)) {
      fence = claims.find(({ id }) => id === key.runId)?.fence ?? fence;
    }
    const attempts = [attemptRow(key.runId, 'a', { phase: 'Succeeded', finishedAt: 5 })];
    await opened().runs.commit(transition({ ...run, revision: 2 }, { attempts }), fence);
  }

  describe(`long logs: ${driver}`, () => {
    test.each([0, 1, 2, 3])('go on in the artifact, with a character across the border (%i)', async (over) => {
      const key = keyOf(driver);
      const all = await fill(key, over);
      const { rest, artifacts } = artifactOf(all.subarray(border - 3));
      await opened().logs.overflow(key, border - 3, null);
      await opened().logs.overflow(key, border - 3, rest);
      // What another controller says late, or again, is no harm.
      await opened().logs.overflow(key, border - 3, null);
      expect((await readAll(key, artifacts)) === all.toString()).toBe(true);
      expect((await readAll(key, artifacts, 1000, border - 4 + over)) === all.toString().slice(border - 4 + over)).toBe(
        true,
      );
      expect(await opened().logs.resumeAt(key)).toBe(border);
    });

    test('a log that ends with what is stored has no more', async () => {
      const key = keyOf(driver);
      const all = (await fill(key, 0)).subarray(0, border);
      const { rest, artifacts } = artifactOf(all.subarray(border - 3));
      await opened().logs.overflow(key, border - 3, rest);
      expect((await readAll(key, artifacts)) === all.toString()).toBe(true);
    });

    test('while the attempt runs, a line at the border says that there is more to come, once', async () => {
      const key = keyOf(driver);
      const all = await fill(key, 1);
      await opened().logs.overflow(key, border - 3, null);
      const lines = await opened().logs.read(key, border - 1000, 100_000, null);
      const { position: reached = 0 } = lines[0] ?? {};
      expect(lines.slice(1)).toEqual([
        {
          position: reached,
          text: expect.stringContaining('the rest of the output can be read when the attempt has ended'),
        },
      ]);
      expect(await opened().logs.read(key, reached, 100_000, null)).toEqual([]);
      const { rest, artifacts } = artifactOf(all.subarray(border - 3));
      let heard = 0;
      const stop = opened().logs.onAppend(key.runId, () => heard++);
      await opened().logs.overflow(key, border - 3, rest);
      stop();
      expect(heard).toBe(1);
      expect((await readAll(key, artifacts, 100_000, reached)) === all.subarray(reached).toString()).toBe(true);
    });

    test('what was not kept, and what is kept no longer, is a line that says so', async () => {
      const never = keyOf(driver);
      await fill(never, 0);
      await opened().logs.overflow(never, border - 3, null);
      await end(never);
      expect((await readAll(never, null, 100_000, border - 1000)).slice(-60)).toMatch(
        /\n\[windlass\] the rest of the output was not kept\n$/,
      );
      const gone = keyOf(driver);
      const { rest } = artifactOf((await fill(gone, 0)).subarray(border - 3));
      await opened().logs.overflow(gone, border - 3, rest);
      const { artifacts } = artifactOf(Buffer.from('another'));
      for (const from of [artifacts, null]) {
        expect((await readAll(gone, from, 100_000, border - 1000)).slice(-60)).toMatch(
          /\n\[windlass\] the rest of the output is no longer kept\n$/,
        );
      }
    });
  });
}
