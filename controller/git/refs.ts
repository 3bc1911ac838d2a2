import type { Person } from '../core/promotion/types.ts';

/** A branch or a tag as it is in the repository now. */
export interface FetchedRef {
  /** `refs/heads/main` or `refs/tags/v1.4.0`. */
  ref: string;
  /** The commit it points at, annotated tags peeled; when `target` is not commit, that object. */
  commit: string;
  /** `tree` and `blob`: a tag of something that is not a commit, which no version can come from. */
  target: 'commit' | 'tree' | 'blob';
  /** Null for branches and lightweight tags. */
  tagger: Person | null;
  /** Author of the commit; the tagger when there is no commit. */
  author: Person;
  /** Of the annotated tag, else of the commit; without signature, at most 4,096 characters. */
  message: string;
}

/** An id of git, SHA-1 or SHA-256. */
export function isObjectId(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** Whether git would accept it as a branch or tag (git-check-ref-format). */
export function isRefName(name: string): boolean {
  return (
    name !== '' &&
    !name.startsWith('-') &&
    !/[\p{Cc} ~^:?*[\\]|\.\.|@\{|\/\/|\/$|^\/|\.$|^@$/u.test(name) &&
    name.split('/').every((part) => !part.startsWith('.') && !part.endsWith('.lock'))
  );
}

type GlobToken = { repeat: boolean; accepts(char: string): boolean };

/** `*` and `?` stay within one path segment, `**` crosses, `[a-z]` and `[!a-z]` are classes. */
export function matchesGlob(glob: string, name: string): boolean {
  const tokens = [...glob.matchAll(/\*\*|\[[!^]?[^\]/]+\]|[^]/g)].map(([token]) => globToken(token));
  // All positions at once instead of backtracking, which a hostile glob could make take for ever.
  let positions = skipRepeats(tokens, new Set([0]));
  for (const char of name) {
    const next = new Set<number>();
    for (const at of positions) {
      const token = tokens[at];
      if (token?.accepts(char)) next.add(token.repeat ? at : at + 1);
    }
    positions = skipRepeats(tokens, next);
  }
  return positions.has(tokens.length);
}

function skipRepeats(tokens: readonly GlobToken[], positions: Set<number>): Set<number> {
  // A Set visits what is added to it during the walk.
  for (const at of positions) if (tokens[at]?.repeat) positions.add(at + 1);
  return positions;
}

function globToken(token: string): GlobToken {
  if (token === '**') return { repeat: true, accepts: () => true };
  if (token === '*') return { repeat: true, accepts: (char) => char !== '/' };
  if (token === '?') return { repeat: false, accepts: (char) => char !== '/' };
  if (token.length === 1) return { repeat: false, accepts: (char) => char === token };
  const negated = /^\[[!^]/.test(token);
  const members = [...token.slice(negated ? 2 : 1, -1).matchAll(/([^])-([^])|[^]/g)];
  const accepts = (char: string): boolean =>
    members.some(([all, from, to]) => (from && to ? from <= char && char <= to : all === char));
  return { repeat: false, accepts: (char) => char !== '/' && accepts(char) !== negated };
}

/**
 * The narrowest refspecs that bring every tag the globs match. A refspec has room for one star at a place git likes, so
 * they end after the literal beginning, and the globs are applied again to what came.
 */
export function tagRefspecs(globs: readonly string[]): string[] {
  const prefixes = globs.map((glob) => glob.replace(/[*?[].*$/s, '')).filter(isRefPrefix);
  return [...new Set(prefixes)].map((prefix) => `+refs/tags/${prefix}*:refs/tags/${prefix}*`);
}

/** Whether a tag can begin like this; else the glob matches nothing that git has. */
function isRefPrefix(prefix: string): boolean {
  return isRefName(`${prefix}x`);
}

/** At most so many characters, and still text that can be stored: no half of a surrogate pair at the end. */
export function clip(text: string, length: number): string {
  return text.slice(0, length).toWellFormed();
}

const fields = [
  'refname',
  'objecttype',
  'objectname',
  '*objecttype',
  '*objectname',
  'taggername',
  'taggeremail:trim',
  'authorname',
  'authoremail:trim',
  '*authorname',
  '*authoremail:trim',
  'contents:subject',
  'contents:body',
];
export const refFormat = fields.map((field) => `%(${field})%00`).join('');

/** One line of `for-each-ref`, and what it says of the object behind a tag. */
export interface ListedRef extends FetchedRef {
  /** True for a tag of a tag, which `for-each-ref` peels only once. */
  nested: boolean;
}

export function parseRefs(output: Buffer): ListedRef[] {
  const values = output.toString('utf8').split('\0');
  const refs: ListedRef[] = [];
  for (let i = 0; i + fields.length <= values.length; i += fields.length) {
    const [ref = '', type, id = '', peeledType, peeledId = '', ...rest] = values.slice(i, i + fields.length);
    const [
      tagger = '',
      taggerEmail = '',
      author = '',
      authorEmail = '',
      peeledAuthor = '',
      peeledEmail = '',
      subject = '',
      body = '',
    ] = rest;
    const annotated = type === 'tag';
    const target = annotated ? peeledType : type;
    const person = annotated ? { name: tagger, email: taggerEmail } : null;
    const writer = annotated ? { name: peeledAuthor, email: peeledEmail } : { name: author, email: authorEmail };
    refs.push({
      // Records are separated by a newline, which sticks to the next one's first field.
      ref: ref.replace(/^\n/, ''),
      commit: annotated ? peeledId : id,
      target: target === 'tree' || target === 'blob' ? target : 'commit',
      tagger: person,
      author: target === 'commit' ? writer : (person ?? { name: '', email: '' }),
      message: clip(`${subject}\n\n${body}`.trim(), 4096),
      nested: target === 'tag',
    });
  }
  return refs;
}
