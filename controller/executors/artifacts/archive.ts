import { createReadStream, type Dirent, type Stats } from 'node:fs';
import { mkdir, open, readdir, realpath, stat } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { Readable } from 'node:stream';
import { type Extract, extract, type Header, type Pack, pack } from 'tar-stream';
import { ArtifactRefused } from './refused.ts';

/** Of everything in an archive: the same content must be the same bytes. */
const fixed = { mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' };

/**
 * The archive (tar) of a folder: the same bytes for the same names, contents and executable bits. Links are replaced by what
 * they lead to. The stream fails with ArtifactRefused for a link out of the folder, and for what is no file, folder or link.
 */
export function packFolder(root: string): Readable {
  const archive = pack();
  addFolder(archive, root, '', [root]).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error as Error),
  );
  // Its own streams are not Node's, and Node's pipelines wait for ever for some of their ends.
  return Readable.from(archive, { objectMode: false });
}

/** `above`: the real paths of all folders that it lies in, the first being what all links must lead into. */
async function addFolder(archive: Pack, path: string, name: string, above: readonly string[]): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const inside = name === '' ? entry.name : `${name}/${entry.name}`;
    const { real, stats } = await resolve(join(path, entry.name), inside, entry, above);
    if (stats.isDirectory()) {
      await add(archive, { ...fixed, name: `${inside}/`, type: 'directory', mode: 0o755 });
      await addFolder(archive, real, inside, [...above, real]);
    } else if (stats.isFile()) {
      const mode = (stats.mode & 0o111) === 0 ? 0o644 : 0o755;
      await add(archive, { ...fixed, name: inside, type: 'file', mode, size: stats.size }, real);
    } else {
      throw new ArtifactRefused(`${inside} in it is neither a file nor a folder: remove it, or keep another folder`);
    }
  }
}

async function resolve(
  path: string,
  inside: string,
  entry: Dirent,
  above: readonly string[],
): Promise<{ real: string; stats: Stats }> {
  if (!entry.isSymbolicLink()) return { real: path, stats: await stat(path) };
  const [root = ''] = above;
  const real = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ELOOP') {
      throw new ArtifactRefused(`the link ${inside} in it leads nowhere: remove it, or make what it leads to`);
    }
    throw error;
  });
  if (real !== root && !real.startsWith(root + sep)) {
    throw new ArtifactRefused(`the link ${inside} in it leads out of the folder: copy what it leads to instead`);
  }
  if (above.some((folder) => folder === real)) {
    throw new ArtifactRefused(`the link ${inside} in it leads to a folder that it lies in: remove it`);
  }
  return { real, stats: await stat(real) };
}

/** Waits until its content has been taken: whoever reads the archive sets the pace. */
async function add(archive: Pack, header: Partial<Header> & Pick<Header, 'name'>, path?: string): Promise<void> {
  const { promise: ended, resolve: end, reject } = Promise.withResolvers<void>();
  ended.catch(() => {}); // Said below, or by what is read.
  const over = (error?: Error | null): void => (error ? reject(error) : end());
  if (path === undefined || header.size === 0) archive.entry(header, '', over);
  else {
    const entry = archive.entry(header, over);
    // To where it ended when it was looked at: what something left behind may still write is no part of it.
    for await (const chunk of createReadStream(path, { end: (header.size ?? 1) - 1 })) {
      if (entry.write(chunk)) continue;
      await Promise.race([new Promise<void>((resolve) => entry.once('drain', () => resolve())), ended]);
    }
    entry.end(null);
  }
  await ended;
}

/**
 * Unpacks an archive into a new or empty folder. @throws ArtifactRefused for links, names that lead out of the folder, and
 * what is no archive
 */
export async function unpackFolder(content: Readable, root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  const archive = extract();
  let broken: Error | null = null;
  archive.once('error', (error) => (broken = error));
  const fed = feed(archive, content);
  try {
    for await (const entry of archive) {
      const { name, type, mode } = entry.header;
      const to = placeOf(root, name);
      if (type === 'directory') {
        await mkdir(to, { recursive: true });
        entry.resume();
      } else if (type === 'file' || type === 'contiguous-file') {
        await mkdir(dirname(to), { recursive: true });
        // Never through a link that another entry could have made: there are none.
        const file = await open(to, 'w', mode & 0o111 ? 0o755 : 0o644);
        try {
          for await (const chunk of entry) await file.writeFile(chunk as Uint8Array);
        } finally {
          await file.close();
        }
      } else {
        throw new ArtifactRefused(`its archive holds ${name}, a ${type}: only files and folders are unpacked`);
      }
    }
    await fed;
  } catch (first) {
    archive.destroy();
    // Of an archive that breaks off, its entry says only that.
    const error = broken ?? first;
    // What fails on the way (network, disk) has a code; an archive that is none has not.
    if (error instanceof ArtifactRefused || (error as NodeJS.ErrnoException).code !== undefined) throw error;
    throw new ArtifactRefused(`its archive cannot be read: ${(error as Error).message}`, { cause: error });
  } finally {
    content.destroy();
  }
}

/** Never rejects: what fails is seen by whoever reads the entries. */
async function feed(archive: Extract, content: Readable): Promise<void> {
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  archive.once('close', () => close());
  try {
    for await (const chunk of content as AsyncIterable<Uint8Array>) {
      if (archive.destroyed) return;
      if (archive.write(chunk)) continue;
      await Promise.race([new Promise<void>((resolve) => archive.once('drain', () => resolve())), closed]);
    }
    archive.end(null);
  } catch (error) {
    archive.destroy(error as Error);
  }
  await closed;
}

function placeOf(root: string, name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (name.startsWith('/') || name.includes('\0') || parts.includes('..')) {
    throw new ArtifactRefused(`its archive holds ${JSON.stringify(name)}, which is not below the folder`);
  }
  return join(root, ...parts);
}
