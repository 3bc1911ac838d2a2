import { createHash, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { type ArtifactStore, ArtifactTooLarge } from '../../controller/seams/artifacts.ts';

const mebibyte = 1024 * 1024;

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** In pieces of uneven size, as a network gives them. */
function streamOf(bytes: Uint8Array): Readable {
  return Readable.from(
    (function* () {
      for (let at = 0, size = 1; at < bytes.byteLength; at += size, size = Math.min(size * 3 + 1, 70_000)) {
        yield bytes.subarray(at, at + size);
      }
    })(),
    { objectMode: false },
  );
}

async function contentOf(store: ArtifactStore, digest: string): Promise<Buffer | null> {
  const found = await store.get(digest);
  if (found === null) return null;
  const content = await buffer(found.content);
  expect(content.byteLength).toBe(found.bytes);
  return content;
}

/** What every ArtifactStore promises. What it holds from other tests must not matter. `largeBytes`: goes in several parts, where a store has them. */
export function describeArtifactStore(implementation: string, store: () => ArtifactStore, largeBytes: number): void {
  describe(`ArtifactStore: ${implementation}`, () => {
    test.each([
      ['nothing', 0],
      ['one byte', 1],
      ['a few', 10_000],
      ['many', largeBytes],
      ['exactly a part', 5 * mebibyte],
    ])('%s comes back as it was, by the digest of its bytes', async (_, size) => {
      const bytes = randomBytes(size);
      const put = await store().put(streamOf(bytes), size);
      expect(put).toEqual({ digest: digestOf(bytes), bytes: size });
      expect((await contentOf(store(), put.digest))?.equals(bytes)).toBe(true);
    });

    test('the same content is one artifact, also when it is put at the same time', async () => {
      const bytes = randomBytes(200_000);
      const puts = await Promise.all([1, 2, 3, 4].map(() => store().put(streamOf(bytes), bytes.byteLength)));
      expect(new Set(puts.map((put) => put.digest))).toEqual(new Set([digestOf(bytes)]));
      expect((await contentOf(store(), digestOf(bytes)))?.equals(bytes)).toBe(true);
    });

    test('what was never put is not there', async () => {
      expect(await store().get(digestOf(randomBytes(20)))).toBeNull();
    });

    test.each([['../../etc/passwd'], ['sha256:abc'], [`sha256:${'A'.repeat(64)}`], [`sha256:${'a'.repeat(63)}/`]])(
      '%s is no digest',
      async (digest) => {
        await expect(store().get(digest)).rejects.toThrow(TypeError);
      },
    );

    test('more than is allowed is refused, and nothing of it is kept', async () => {
      const bytes = randomBytes(100_001);
      const noted: unknown[] = [];
      const put = store().put(streamOf(bytes), 100_000, async (artifact) => void noted.push(artifact));
      await expect(put).rejects.toThrow(ArtifactTooLarge);
      expect(noted).toEqual([]);
      expect(await store().get(digestOf(bytes))).toBeNull();
    });

    test('a stream that breaks off leaves nothing, and its error is told', async () => {
      const bytes = randomBytes(50_000);
      const broken = Readable.from(
        (function* () {
          yield bytes;
          throw new Error('the disk is on fire');
        })(),
      );
      await expect(store().put(broken, 1e6)).rejects.toThrow('the disk is on fire');
      expect(await store().get(digestOf(bytes))).toBeNull();
    });

    test('who wants to know is told before it is kept, and can still refuse', async () => {
      const bytes = randomBytes(1000);
      const put = store().put(streamOf(bytes), 1000, async (artifact) => {
        expect(artifact).toEqual({ digest: digestOf(bytes), bytes: 1000 });
        expect(await store().get(artifact.digest)).toBeNull();
        throw new Error('no');
      });
      await expect(put).rejects.toThrow('no');
      expect(await store().get(digestOf(bytes))).toBeNull();
    });

    test('what was removed is gone, can be removed again, and put again', async () => {
      const [one, other] = [randomBytes(500), randomBytes(600)];
      await store().put(streamOf(one), 1000);
      await store().put(streamOf(other), 1000);
      await store().delete([digestOf(one), digestOf(randomBytes(8))]);
      expect(await store().get(digestOf(one))).toBeNull();
      expect((await contentOf(store(), digestOf(other)))?.equals(other)).toBe(true);
      await store().delete([digestOf(one)]);
      await store().put(streamOf(one), 1000);
      expect((await contentOf(store(), digestOf(one)))?.equals(one)).toBe(true);
    });

    test('removing many', async () => {
      const all = await Promise.all(Array.from({ length: 30 }, () => store().put(streamOf(randomBytes(64)), 64)));
      await store().delete(all.map(({ digest }) => digest));
      for (const { digest } of all) expect(await store().get(digest)).toBeNull();
    });

    test('any part of it can be read by itself', async () => {
      const bytes = randomBytes(300_000);
      const { digest } = await store().put(streamOf(bytes), bytes.byteLength);
      for (const [start, length] of [
        [0, 10],
        [7, 0],
        [100_000, 150_000],
        [299_999, 1],
        [299_990, 100],
        [300_000, 5],
        [0, 1e6],
      ] as const) {
        const part = await store().read(digest, start, length);
        expect(part && Buffer.from(part).equals(bytes.subarray(start, start + length)), `${start}+${length}`).toBe(
          true,
        );
      }
      expect(await store().read(digestOf(randomBytes(20)), 0, 10)).toBeNull();
      expect(await store().read(digestOf(randomBytes(20)), 0, 0)).toBeNull();
    });

    test('reading one half and going away does no harm', async () => {
      const bytes = randomBytes(2 * mebibyte);
      const { digest } = await store().put(streamOf(bytes), bytes.byteLength);
      const found = await store().get(digest);
      found?.content.on('error', () => {});
      for await (const chunk of found?.content ?? []) {
        expect((chunk as Uint8Array).byteLength).toBeGreaterThan(0);
        break;
      }
      expect((await contentOf(store(), digest))?.equals(bytes)).toBe(true);
    });
  });
}
