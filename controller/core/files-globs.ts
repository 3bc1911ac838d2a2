import { RE2JS } from 're2js';
import { normalizePath } from './paths.ts';

/**
 * Whether a path (relative to the workflow file) is named by a pattern of `files`: the path itself, or a glob with `*`
 * and `?` (not over `/`), `[a-z]`, and `**` for any folders. Names that begin with a dot are like others.
 */
export function matchFiles(pattern: string): (path: string) => boolean {
  const normal = normalizePath(pattern);
  if (!isGlob(normal)) return (path) => path === normal;
  const compiled = compileGlob(normal);
  return (path) => path === normal || compiled(path);
}

/** False when a pattern can only name the one path that it is. */
export function isGlob(pattern: string): boolean {
  return /[*?[]/.test(pattern);
}

/** By RE2: the glob packages translate to expressions that backtrack, and patterns come from whoever can push. */
function compileGlob(pattern: string): (path: string) => boolean {
  const parts = pattern.split('/');
  const source = parts.map((part, i) => {
    const last = i === parts.length - 1;
    if (part === '**') return last ? '.*' : '(?:[^/]+/)*';
    return segment(part) + (last ? '' : '/');
  });
  const compiled = RE2JS.compile(source.join(''), RE2JS.DOTALL);
  return (path) => compiled.matcher(path).matches();
}

function segment(glob: string): string {
  let source = '';
  for (let i = 0; i < glob.length; i++) {
    const char = glob[i] as string;
    const set = /^\[([!^]?)(\]?[^\]]*)\]/.exec(glob.slice(i));
    if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (set?.[2]) {
      const letters = lettersOf(set[2]);
      source += set[1] ? `[^\\x{2f}${letters}]` : `[${letters}]`;
      i += set[0].length - 1;
    } else source += RE2JS.quote(char);
  }
  return source;
}

/** Letters and ranges of a set, each by its number, so that none means anything else to RE2. */
function lettersOf(set: string): string {
  const letters = Array.from(set, (letter) => letter.codePointAt(0) ?? 0);
  const one = (letter: number) => `\\x{${letter.toString(16)}}`;
  let source = '';
  for (let i = 0; i < letters.length; i++) {
    const [from = 0, dash, to] = letters.slice(i, i + 3);
    // A range the wrong way round, as [z-a], would not compile: its letters stand for themselves.
    if (dash === 0x2d && to !== undefined && from <= to) {
      source += `${one(from)}-${one(to)}`;
      i += 2;
    } else source += one(from);
  }
  return source;
}
