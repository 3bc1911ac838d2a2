/** `./a//b` and `a/b` name the same file. */
export function normalizePath(path: string): string {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

/** The folder of a file, `''` for the root. */
export function folderOf(path: string): string {
  return path.split('/').slice(0, -1).join('/');
}

/** `path` below `folder`, where `''` is the root. */
export function joinPath(folder: string, path: string): string {
  return folder === '' ? path : `${folder}/${path}`;
}

/** Why a path of `files` is refused, or null: it must stay below the workflow's own file. */
export function refusePath(path: string): string | null {
  if (path.startsWith('/') || /^[A-Za-z]:[\\/]/.test(path)) return 'must be relative to the workflow file';
  if (path.split('/').includes('..')) return 'must not contain ..; files lie beside the workflow file or below it';
  if (path.includes('\\')) return 'must not contain a backslash; folders are separated by /';
  if (normalizePath(path) === '') return 'names no file';
  return null;
}
