import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize, sep } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ArtifactRef } from '../../core/run/types.ts';
import { unpackFolder } from './archive.ts';
import { ArtifactRefused } from './refused.ts';

/**
 * Puts an artifact at a path of a work directory that nothing runs in yet: a file, or a folder unpacked.
 * @throws ArtifactRefused when it cannot be there, or is not what its digest says; as the stream and the disk do
 */
export async function place(workDirectory: string, path: string, ref: ArtifactRef, content: Readable): Promise<void> {
  const inside = normalize(path);
  if (isAbsolute(inside) || inside === '..' || inside.startsWith(`..${sep}`)) {
    throw new ArtifactRefused(`${path} is not below the work directory`);
  }
  const to = join(workDirectory, inside);
  const hash = createHash('sha256');
  const hashed = new Transform({
    transform(chunk: Buffer, _, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const fed = pipeline(content, hashed);
  fed.catch(() => {}); // Whoever reads the other end fails with it.
  try {
    if (ref.folder) await unpackFolder(hashed, to);
    else {
      await mkdir(dirname(to), { recursive: true });
      await pipeline(hashed, createWriteStream(to, { mode: ref.executable ? 0o755 : 0o644 }));
    }
    await fed;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' || code === 'ENOTDIR' || code === 'EISDIR') {
      throw new ArtifactRefused(`${path} cannot be put into place: something else is there`, { cause: error });
    }
    throw error;
  }
  if (`sha256:${hash.digest('hex')}` !== ref.digest) {
    throw new ArtifactRefused(
      `what was kept for ${path} is damaged: it is not ${ref.digest}. Run the step that made it`,
    );
  }
}
