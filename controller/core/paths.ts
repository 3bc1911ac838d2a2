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

const homes = {
  workflow: { base: 'the workflow file', inside: 'files lie beside the workflow file or below it' },
  step: { base: 'the working directory', inside: 'artifacts lie in the working directory' },
} as const;

/** Why a path is refused, or null: one of `files` stays below the workflow's own file, one of a step below its directory. */
export function refusePath(path: string, home: keyof typeof homes = 'workflow'): string | null {
  if (path.startsWith('/') || /^[A-Za-z]:[\\/]/.test(path)) return `must be relative to ${homes[home].base}`;
  if (path.split('/').includes('..')) return `must not contain ..; ${homes[home].inside}`;
  if (path.includes('\\')) return 'must not contain a backslash; folders are separated by /';
  if (normalizePath(path) === '') return 'names no file';
  return null;
}
