import { lstat, readFile, readdir, readlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { LimitExceeded, ObjectMissing } from './errors.ts';
import { maxBlobBytes, maxReadBytes, normalizePath, type TreeEntry } from './tree.ts';

/** Files of a folder, read as those of a commit are. */
export interface Directory {
  /** All files below a path (default: all), by path. Empty when it is not there. */
  tree(path?: string): Promise<TreeEntry[]>;
  /** Contents by id; of a symlink its target. @throws ObjectMissing, LimitExceeded */
  read(ids: readonly string[]): Promise<Map<string, Uint8Array>>;
}

const maxEntries = 100_000;
const notInGit = new Set(['.git', '.windlass', 'node_modules']);

/**
 * A plain folder, such as a working copy. Symlinks are listed (120000) and never followed; a folder with a `.git` of its
 * own is a submodule (160000). Leaves out .git, .windlass and node_modules.
 */
export function openDirectory(root: string): Directory {
  const base = resolve(root);

  async function list(path: string, entries: TreeEntry[]): Promise<void> {
    const found = await lstat(join(base, path)).catch(() => null);
    if (found === null) return;
    if (entries.length >= maxEntries)
      throw new LimitExceeded(`${base} has more than ${maxEntries} files. Name the folder of the workflows.`);
    if (found.isSymbolicLink()) entries.push({ path, mode: '120000', size: found.size, id: path });
    else if (found.isFile())
      entries.push({ path, mode: found.mode & 0o100 ? '100755' : '100644', size: found.size, id: path });
    else if (found.isDirectory()) {
      const names = (await readdir(join(base, path))).sort();
      if (path !== '' && names.includes('.git')) entries.push({ path, mode: '160000', size: 0, id: path });
      else
        for (const name of names) if (!notInGit.has(name)) await list(path === '' ? name : `${path}/${name}`, entries);
    }
  }

  async function tree(path?: string): Promise<TreeEntry[]> {
    const below = normalizePath(path);
    const entries: TreeEntry[] = [];
    if (below !== null && !(await throughLink(below))) await list(below, entries);
    return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** git cannot list what lies behind a symlink either. */
  async function throughLink(path: string): Promise<boolean> {
    const parts = path.split('/');
    for (let i = 1; i < parts.length; i++) {
      const parent = await lstat(join(base, ...parts.slice(0, i))).catch(() => null);
      if (parent?.isSymbolicLink()) return true;
    }
    return false;
  }

  async function read(ids: readonly string[]): Promise<Map<string, Uint8Array>> {
    const contents = new Map<string, Uint8Array>();
    let total = 0;
    for (const id of ids) {
      const below = normalizePath(id);
      const [entry] = below ? await tree(below) : [];
      if (entry?.path !== below || entry === undefined || entry.mode === '160000')
        throw new ObjectMissing(`${JSON.stringify(id)} is not a file in ${base}.`);
      total += entry.size;
      if (entry.size > maxBlobBytes || total > maxReadBytes)
        throw new LimitExceeded(
          `${id} is too large: a file may have ${maxBlobBytes} bytes, all together ${maxReadBytes}. Make it smaller.`,
        );
      const full = join(base, entry.path);
      contents.set(id, entry.mode === '120000' ? Buffer.from(await readlink(full)) : await readFile(full));
    }
    return contents;
  }

  return { tree, read };
}
