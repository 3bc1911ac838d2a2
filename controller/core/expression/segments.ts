/** A part of a text with `${{ }}`: literal text, or an expression with its place in the text. */
type Segment = { text: string } | { source: string; offset: number };

export type Segments = { ok: true; segments: Segment[] } | { ok: false; message: string; offset: number };

/** Splits a text at its `${{ }}`. `$${{` is a literal `${{`. Neighbouring literal parts are one. */
export function splitTemplate(text: string): Segments {
  const segments: Segment[] = [];
  let literal = '';
  let position = 0;
  for (;;) {
    const open = text.indexOf('${{', position);
    if (open === -1) break;
    if (open > position && text[open - 1] === '$') {
      literal += `${text.slice(position, open - 1)}\${{`;
      position = open + 3;
      continue;
    }
    literal += text.slice(position, open);
    if (literal !== '') segments.push({ text: literal });
    literal = '';
    const start = open + 3;
    const end = findEnd(text, start);
    if (end === -1)
      return { ok: false, message: '`${{` is never closed by `}}`; for a literal one write `$${{`', offset: open };
    segments.push({ source: text.slice(start, end), offset: start });
    position = end + 2;
  }
  literal += text.slice(position);
  if (literal !== '') segments.push({ text: literal });
  return { ok: true, segments };
}

/** Where the `}}` is that ends an expression: not one in a string, nor one that closes two map literals. */
function findEnd(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const ch = text[i];
    if (ch === '"' || ch === "'") {
      i = skipString(text, i, ch);
      if (i === -1) return -1;
    } else if (ch === '{') depth++;
    else if (ch === '}') {
      if (depth > 0) depth--;
      else if (text[i + 1] === '}') return i;
    }
  }
  return -1;
}

/** Offset of the last character of a string literal, or -1 when it does not end. */
function skipString(text: string, start: number, quote: string): number {
  const triple = quote.repeat(3);
  const delimiter = text.startsWith(triple, start) ? triple : quote;
  for (let i = start + delimiter.length; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text.startsWith(delimiter, i)) return i + delimiter.length - 1;
  }
  return -1;
}
