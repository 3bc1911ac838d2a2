import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, normalize, sep } from 'node:path';
import { Readable } from 'node:stream';
import { packFolder } from './archive.ts';
import { ArtifactRefused } from './refused.ts';

/** A file or folder that a step leaves, as it is kept. */
export interface Collected {
  content: Readable;
  /** True when the content is an archive. */
  folder: boolean;
  /** Whether it is a file that may be run. */
  executable: boolean;
}

/**
 * Opens what a step has left at a path of its work directory: the bytes of a file, or the archive of a folder.
 * @throws ArtifactRefused when there is nothing, or nothing that can be kept; the disk's own errors
 */
export async function collect(workDirectory: string, path: string): Promise<Collected> {
  const root = await realpath(workDirectory);
  const found = await locate(root, path);
  const { isFile, isFolder, size, executable } = await stat(found).then((stats) => ({
    isFile: stats.isFile(),
    isFolder: stats.isDirectory(),
    size: stats.size,
    executable: (stats.mode & 0o111) !== 0,
  }));
  if (isFolder) return { content: packFolder(found), folder: true, executable: false };
  if (!isFile) throw new ArtifactRefused(`${path} is neither a file nor a folder: only these can be kept`);
  // To where it ends now: what something left behind may still write is no part of it.
  const content = size === 0 ? emptyStream() : createReadStream(found, { end: size - 1 });
  return { content, folder: false, executable };
}

async function locate(root: string, path: string): Promise<string> {
  const inside = normalize(path);
  if (isAbsolute(inside) || inside === '..' || inside.startsWith(`..${sep}`)) {
    throw new ArtifactRefused(`${path} is not below the work directory`);
  }
  const found = await realpath(join(root, inside)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
      throw new ArtifactRefused(`the step left nothing at ${path}: write it there, relative to the work directory`);
    }
    if (error.code === 'ELOOP') throw new ArtifactRefused(`${path} is a link that leads to itself`);
    throw error;
  });
  if (found !== root && !found.startsWith(root + sep)) {
    throw new ArtifactRefused(`${path} is a link to what is outside of the work directory: copy it there instead`);
  }
  return found;
}

function emptyStream(): Readable {
  return Readable.from([]);
}
