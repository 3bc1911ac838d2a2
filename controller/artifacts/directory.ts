import { constants } from 'node:fs';
import { access, type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ArtifactStore } from '../seams/artifacts.ts';
import type { Clock } from '../seams/clock.ts';
import { hexOf } from './digest.ts';
import { spool } from './spool.ts';
import { Spools } from './spools.ts';

/**
 * Artifacts as files of a directory, which may be on a volume that several controllers share:
 * `<root>/ab/cd/<the whole hex>`, so that no folder grows too large to list. It is made with the first one.
 */
export function createArtifactDirectory(root: string, clock: Pick<Clock, 'now'>): ArtifactStore {
  const spools = new Spools(join(root, 'incoming'), clock);
  const pathOf = (digest: string): string => {
    const hex = hexOf(digest);
    return join(root, hex.slice(0, 2), hex.slice(2, 4), hex);
  };

  const openToRead = (digest: string): Promise<FileHandle | null> =>
    open(pathOf(digest), 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });

  return {
    put: (content, maxBytes, known = async () => {}) =>
      spools.with(async (path) => {
        const artifact = await spool(content, path, maxBytes);
        await known(artifact);
        const to = pathOf(artifact.digest);
        if (await exists(to)) return artifact;
        await mkdir(dirname(to), { recursive: true, mode: 0o700 });
        await rename(path, to);
        return artifact;
      }),
    async get(digest) {
      const file = await openToRead(digest);
      if (file === null) return null;
      // Opened, it can be read to its end even when it is removed meanwhile. The stream closes it.
      const { size } = await file.stat();
      return { content: file.createReadStream(), bytes: size };
    },
    async read(digest, start, bytes) {
      const file = await openToRead(digest);
      if (file === null) return null;
      try {
        const buffer = new Uint8Array(Math.min(bytes, Math.max(0, (await file.stat()).size - start)));
        let done = 0;
        while (done < buffer.byteLength) {
          const { bytesRead } = await file.read(buffer, done, buffer.byteLength - done, start + done);
          if (bytesRead === 0) break;
          done += bytesRead;
        }
        return buffer.subarray(0, done);
      } finally {
        await file.close();
      }
    },
    async delete(digests) {
      for (const digest of digests) await rm(pathOf(digest), { force: true });
    },
  };
}

async function exists(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(
    () => true,
    () => false,
  );
}
