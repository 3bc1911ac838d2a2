/** One file below a commit or a folder. */
export interface TreeEntry {
  /** Relative to the repository's root, with slashes. */
  path: string;
  /** As git has it: 100644, 100755, 120000 (symlink), 160000 (submodule). */
  mode: string;
  /** Bytes; 0 for a submodule. */
  size: number;
  /** What `read` takes: a blob's name in git, a path in a folder. */
  id: string;
}

/** What workflow files can be read from: a commit in git, or a folder. */
export const maxBlobBytes = 5 * 1024 * 1024;
export const maxReadBytes = 64 * 1024 * 1024;

/** Reads `ls-tree -r -l -z`. Paths that are not UTF-8 get U+FFFD and can be named in a message, no more. */
export function parseTree(output: Buffer): TreeEntry[] {
  return output
    .toString('utf8')
    .split('\0')
    .filter((line) => line !== '')
    .map((line) => {
      const tab = line.indexOf('\t');
      const [mode = '', , id = '', size = ''] = line.slice(0, tab).split(/ +/);
      return { path: line.slice(tab + 1), mode, size: size === '-' ? 0 : Number(size), id };
    });
}

/** `./a/b/` → `a/b`, `.` → `` (all). Null when it leaves the root. */
export function normalizePath(path: string | undefined): string | null {
  const parts = (path ?? '').split('/').filter((part) => part !== '' && part !== '.');
  return parts.includes('..') ? null : parts.join('/');
}
