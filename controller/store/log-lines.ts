import type { LogLine } from './types.ts';

/** Lines, and what there is of the last one, with the position behind each. */
export function splitLines(bytes: Buffer, start: number): LogLine[] {
  const result: LogLine[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const newline = bytes.indexOf(10, at);
    const next = newline < 0 ? bytes.byteLength : newline + 1;
    result.push({ position: start + next, text: bytes.toString('utf8', at, next) });
    at = next;
  }
  return result;
}

/** Length without a UTF-8 sequence that is cut off at the end; bytes that are no UTF-8 at all are kept, and read as U+FFFD. */
export function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.byteLength); back++) {
    const byte = bytes[bytes.byteLength - back] ?? 0;
    if ((byte & 0b1100_0000) === 0b1000_0000) continue;
    const length = byte >= 0b1111_0000 ? 4 : byte >= 0b1110_0000 ? 3 : byte >= 0b1100_0000 ? 2 : 1;
    return length > back ? bytes.byteLength - back : bytes.byteLength;
  }
  return bytes.byteLength;
}
