import { type FSWatcher, readFileSync, readdirSync, statSync, watch } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseRepositoryUrl } from './url.ts';

const settleMs = 20;
const pollMs = 1_000;

/**
 * Calls `onChange` soon (about 20 ms) after a ref of a local repository changed: a push, a commit, a fetch. May call once
 * for several changes, and when nothing changed in the end. Does nothing for remote URLs, which are polled by the source's
 * interval. Also looks once a second by itself: some file systems (network, shared folders of containers) tell nothing, and
 * a repository may go away and come back.
 * @returns stops it; idempotent
 * @throws UnsupportedUrl
 */
export function watchLocal(url: string, onChange: () => void): () => void {
  const parsed = parseRepositoryUrl(url, 'laptop');
  if (parsed.kind !== 'local') return () => {};
  const { path } = parsed;
  let watchers: FSWatcher[] = [];
  let stopped = false;
  let settling: NodeJS.Timeout | undefined;
  let known = signature(path);

  function changed(): void {
    if (stopped) return;
    // Not restarted by further events, so that a busy repository cannot put it off.
    settling ??= setTimeout(() => {
      settling = undefined;
      // Anew and before the caller looks: folders come and go (also under the same name) with the tags in them.
      arm();
      known = signature(path);
      onChange();
    }, settleMs);
  }

  function arm(): void {
    const before = watchers;
    watchers = [];
    try {
      const gitFolders = findGitFolders(path);
      for (const folder of gitFolders) watchFolder(folder, /^(HEAD|packed-refs|refs|reftable)$/);
      for (const folder of refRoots(gitFolders)) watchBelow(folder);
    } catch {
      // Out of watches, or the folder has just gone: the look once a second remains.
    }
    for (const watcher of before) watcher.close();
  }

  function watchFolder(folder: string, names: RegExp): void {
    const watcher = watch(folder, (_event, name) => {
      if (name === null || names.test(name)) changed();
    });
    watcher.on('error', () => watcher.close());
    watchers.push(watcher);
  }

  /** Watched first and listed then, so that no new folder slips through between. */
  function watchBelow(folder: string): void {
    watchFolder(folder, /(?<!\.lock)$/);
    for (const child of folders(folder)) watchBelow(child);
  }

  const looking = setInterval(() => {
    if (settling === undefined && signature(path) !== known) changed();
  }, pollMs);
  looking.unref();
  arm();
  return () => {
    stopped = true;
    clearTimeout(settling);
    clearInterval(looking);
    for (const watcher of watchers.splice(0)) watcher.close();
  };
}

/**
 * The git folder of a path and, behind a worktree, the shared one; none when there is no repository. Found by hand rather
 * than by `git rev-parse`, which refuses when the repository belongs to another user.
 */
function findGitFolders(path: string): string[] {
  const gitFolder = findGitFolder(path);
  if (gitFolder === null) return [];
  const common = readText(join(gitFolder, 'commondir')).trim();
  return common === '' ? [gitFolder] : [gitFolder, resolve(gitFolder, common)];
}

function findGitFolder(path: string): string | null {
  if (isFolder(join(path, 'objects')) && isFolder(join(path, 'refs'))) return path;
  const dotGit = join(path, '.git');
  if (isFolder(dotGit)) return dotGit;
  const target = /^gitdir: (.+)$/m.exec(readText(dotGit))?.[1];
  if (target !== undefined) return resolve(path, target);
  // git also takes `team` for `team.git`.
  return isFolder(join(`${path}.git`, 'refs')) ? `${path}.git` : null;
}

function refRoots(gitFolders: readonly string[]): string[] {
  return gitFolders.flatMap((folder) => [join(folder, 'refs'), join(folder, 'reftable')]).filter(isFolder);
}

/** The folders in a folder; none when it has just vanished. */
function folders(folder: string): string[] {
  if (!isFolder(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(folder, entry.name));
}

/** Changes whenever a ref does: refs are written by renaming, which touches their folder. The same repository has the same. */
function signature(path: string): string {
  try {
    const gitFolders = findGitFolders(path);
    const files = gitFolders.flatMap((folder) => [join(folder, 'HEAD'), join(folder, 'packed-refs')]);
    return [...files, ...withBelow(refRoots(gitFolders))].map((name) => `${name} ${modifiedAt(name)}`).join('\n');
  } catch {
    return '';
  }
}

function withBelow(roots: readonly string[]): string[] {
  return roots.flatMap((folder) => [folder, ...withBelow(folders(folder))]);
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
