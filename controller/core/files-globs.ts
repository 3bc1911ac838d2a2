import picomatch from 'picomatch/posix.js';
import { normalizePath } from './paths.ts';

/** Longest pattern; picomatch's regular expressions grow with it. */
const maxPattern = 512;

/** Whether a path (relative to the workflow file) is named by a pattern of `files`: a path, or a glob with * ** ? [ ]. */
export function matchFiles(pattern: string): (path: string) => boolean {
  const normal = normalizePath(pattern);
  // Extglobs and braces can be made to backtrack for ever; plain globs cannot.
  const matches = picomatch(normal, { dot: true, noextglob: true, nobrace: true, maxLength: maxPattern });
  return (path) => path === normal || matches(path);
}
