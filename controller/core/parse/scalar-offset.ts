import type { Scalar } from 'yaml';

/** The offset in the file's text of unit `offset` of a scalar's value; exact but in folded blocks with odd indentation. */
export function sourceOffset(text: string, node: Scalar, offset: number): number {
  const [start, end] = node.range ?? [0, 0];
  const source = text.slice(start, end);
  if (node.type === 'BLOCK_LITERAL') return start + literalOffset(source, String(node.value), offset);
  const headerless = node.type === 'BLOCK_FOLDED' ? source.indexOf('\n') + 1 : 0;
  const quoted = node.type === 'QUOTE_DOUBLE' || node.type === 'QUOTE_SINGLE';
  const from = headerless + (quoted ? 1 : 0) + (headerless > 0 ? indentOf(source.slice(headerless)) : 0);
  return Math.min(start + foldedOffset(source, from, node.type, offset), end);
}

function indentOf(text: string): number {
  return /^ */.exec(text)?.[0].length ?? 0;
}

/** In `|` blocks every line of the value is one of the source, moved by the indentation. */
function literalOffset(source: string, value: string, offset: number): number {
  const before = value.slice(0, offset).split('\n');
  const valueLines = value.split('\n');
  // Line ends of Windows are in the source and not in the value.
  const sourceLines = source.split('\n').slice(1);
  const first = valueLines.findIndex((line) => line.trim() !== '');
  const indent =
    first === -1 ? 0 : (sourceLines[first]?.replace(/\r$/, '').length ?? 0) - (valueLines[first]?.length ?? 0);
  let at = source.indexOf('\n') + 1;
  for (let i = 0; i < before.length - 1; i++) at += (sourceLines[i]?.length ?? 0) + 1;
  return at + Math.max(0, indent) + (before.at(-1)?.length ?? 0);
}

/** Walks value and source side by side: line breaks fold to spaces, quotes and escapes are longer than what they mean. */
function foldedOffset(source: string, from: number, type: Scalar.Type | undefined, offset: number): number {
  let i = 0;
  let at = from;
  while (i < offset && at < source.length) {
    const char = source[at];
    const space = /^[ \t]*\r?\n\s*/.exec(source.slice(at, at + 1024))?.[0];
    if (space !== undefined) {
      i += Math.max(1, space.split('\n').length - 2);
      at += space.length;
    } else if (type === 'QUOTE_DOUBLE' && char === '\\') {
      const escape = /^\\(x..|u....|U.{8}|\r?\n\s*|[^])/.exec(source.slice(at, at + 64))?.[0] ?? '\\';
      if (!/^\\\s*\n/.test(escape)) i++;
      at += escape.length;
    } else {
      if (type === 'QUOTE_SINGLE' && char === "'") at++;
      i++;
      at++;
    }
  }
  return at;
}
