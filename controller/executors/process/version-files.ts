import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import type { FileStore } from '../../seams/executor.ts';

/** Puts the files of a version on disk, once, read-only, in one directory that all its attempts share. */
export class VersionFiles {
  readonly #root: string;
  readonly #store: FileStore;
  readonly #ready = new Map<string, Promise<{ directory: string; paths: string[] }>>();

  constructor(root: string, store: FileStore) {
    this.#root = root;
    this.#store = store;
  }

  /** @throws when the store or the disk failed; the next call tries again. */
  async ensure(digest: string): Promise<{ directory: string; paths: string[] }> {
    const known = this.#ready.get(digest);
    if (known) {
      const files = await known;
      // Another controller on the same folder may have swept it.
      if (existsSync(files.directory)) return files;
      if (this.#ready.get(digest) === known) this.#ready.delete(digest);
      return this.ensure(digest);
    }
    const ready = this.#write(digest);
    this.#ready.set(digest, ready);
    ready.catch(() => this.#ready.delete(digest));
    return ready;
  }

  /** Removes the directories that are not in `used`, nor made or wanted since this controller began. */
  async sweep(used: ReadonlySet<string>): Promise<void> {
    const names = await readdir(this.#root).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      return [];
    });
    const wanted = new Set([...this.#ready.keys()].map((digest) => this.#directoryOf(digest)));
    const unused = names.map((name) => join(this.#root, name)).filter((path) => !used.has(path) && !wanted.has(path));
    await Promise.all(unused.map((path) => rm(path, { recursive: true, force: true })));
  }

  #directoryOf(digest: string): string {
    return join(this.#root, digest.replaceAll(/[^a-zA-Z0-9]/g, '-'));
  }

  async #write(digest: string): Promise<{ directory: string; paths: string[] }> {
    const files = await this.#store.files(digest);
    const directory = this.#directoryOf(digest);
    const staged = `${directory}.${randomUUID()}`;
    await mkdir(staged, { recursive: true, mode: 0o700 });
    for (const [path, bytes] of files) {
      const to = resolve(staged, path);
      if (!to.startsWith(staged + sep)) throw new Error(`version ${digest} has a file outside of it: ${path}`);
      await mkdir(dirname(to), { recursive: true });
      await writeFile(to, bytes, { mode: 0o444 });
    }
    await rename(staged, directory).catch(async (error: NodeJS.ErrnoException) => {
      // Somebody else was first; the same digest is the same content.
      await rm(staged, { recursive: true, force: true });
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
    return { directory, paths: [...files.keys()] };
  }
}
