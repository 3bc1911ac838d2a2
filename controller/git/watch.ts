import { type FSWatcher, readFileSync, readdirSync, statSync, watch } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseRepositoryUrl } from './url.ts';

const settleMs = 20;
const pollMs = 1_000;

/**
 * Calls `onChange` soon (about 20 ms) after a ref of a local repository changed: a push, a commit, a fetch. May call once
 * for several changes, and when nothing changed in the end. Does nothing for remote URLs, which are polled by the source's
 * interval. Where the system cannot watch files, or the repository is not there at present, looks once a second instead.
 * @returns stops it; idempotent
 * @throws UnsupportedUrl
 */
export function watchLocal(url: string, onChange: () => void): () => void {
  const parsed = parseRepositoryUrl(url, 'laptop');
  if (parsed.kind !== 'local') return () => {};
  const { path } = parsed;
  const watchers = new Map<string, FSWatcher>();
  let stopped = false;
  let settling: NodeJS.Timeout | undefined;
  let polling: NodeJS.Timeout | undefined;

  function changed(): void {
    // Not restarted by further events, so that a busy repository cannot put it off.
    settling ??= setTimeout(() => {
      settling = undefined;
      if (polling === undefined) arm();
      onChange();
    }, settleMs);
  }

  /** Watches every folder that holds refs, and is called again when some may have come or gone. */
  function arm(): void {
    try {
      const folders = refFolders(path);
      if (folders.length === 0) return poll();
      for (const [folder, watcher] of watchers) {
        if (folders.includes(folder)) continue;
        watcher.close();
        watchers.delete(folder);
      }
      for (const folder of folders) {
        if (watchers.has(folder)) continue;
        const watcher = watch(folder, (_event, name) => {
          if (!stopped && mayBeRef(folder, name)) changed();
        });
        watcher.on('error', poll);
        watchers.set(folder, watcher);
        // What was written into a new folder before it was watched would be missed.
        if (armed) changed();
      }
      armed = true;
    } catch {
      poll();
    }
  }
  let armed = false;

  function poll(): void {
    if (stopped || polling !== undefined) return;
    closeWatchers();
    let before = signature(path);
    polling = setInterval(() => {
      const now = signature(path);
      if (now === before) return;
      before = now;
      clearInterval(polling);
      polling = undefined;
      // Tries to watch again, or else comes back here.
      changed();
      arm();
    }, pollMs);
    polling.unref();
  }

  function closeWatchers(): void {
    for (const watcher of watchers.values()) watcher.close();
    watchers.clear();
  }

  arm();
  return () => {
    stopped = true;
    clearTimeout(settling);
    clearInterval(polling);
    closeWatchers();
  };
}

/** Below refs/ all but lock files; in a git folder itself only HEAD and packed-refs, which git writes beside and renames. */
function mayBeRef(folder: string, name: string | null): boolean {
  if (name === null) return true;
  const below = /[\\/](refs|reftable)([\\/]|$)/.test(folder);
  return below ? !name.endsWith('.lock') : /^(HEAD|packed-refs|refs|reftable)$/.test(name);
}

/** The folders whose entries are refs: those of the git folder, of the shared one behind a worktree, and all below refs/. */
function refFolders(path: string): string[] {
  const gitFolder = findGitFolder(path);
  if (gitFolder === null) return [];
  const common = commonFolder(gitFolder);
  return [
    ...new Set([gitFolder, common, ...foldersBelow(join(common, 'refs')), ...foldersBelow(join(common, 'reftable'))]),
  ];
}

/** Found by hand rather than by `git rev-parse`, which refuses when the repository belongs to another user. */
function findGitFolder(path: string): string | null {
  if (isFolder(join(path, 'objects')) && isFolder(join(path, 'refs'))) return path;
  const dotGit = join(path, '.git');
  if (isFolder(dotGit)) return dotGit;
  const target = /^gitdir: (.+)$/m.exec(readText(dotGit))?.[1];
  if (target !== undefined) return resolve(path, target);
  // git also takes `team` for `team.git`.
  return isFolder(join(`${path}.git`, 'refs')) ? `${path}.git` : null;
}

function commonFolder(gitFolder: string): string {
  const common = readText(join(gitFolder, 'commondir')).trim();
  return common === '' ? gitFolder : resolve(gitFolder, common);
}

function foldersBelow(folder: string): string[] {
  if (!isFolder(folder)) return [];
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [folder, ...below.flatMap((entry) => foldersBelow(join(folder, entry.name)))];
}

/** Changes whenever a ref does: refs are written by renaming, which touches their folder. */
function signature(path: string): string {
  try {
    const folders = refFolders(path);
    const files = folders.slice(0, 2).flatMap((folder) => [join(folder, 'HEAD'), join(folder, 'packed-refs')]);
    return [...folders, ...files].map((name) => `${name} ${modifiedAt(name)}`).join('\n');
  } catch {
    return '';
  }
}

function modifiedAt(name: string): number {
  return statSync(name, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function isFolder(name: string): boolean {
  return statSync(name, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function readText(name: string): string {
  try {
    return readFileSync(name, 'utf8');
  } catch {
    return '';
  }
}
