/** Longest base64 that a frame may hold: 16 MiB and its line ends. */
const longest = 24 * 1024 * 1024;

/** Takes the framed outputs out of a log, and what comes after them; everything else passes. See wrapper.ts. */
export class OutputFrame {
  readonly #begin: Buffer;
  readonly #end: Buffer;
  #held: Buffer = Buffer.alloc(0);
  #parts: Buffer[] = [];
  #length = 0;
  #state: 'before' | 'within' | 'after' = 'before';

  constructor(marks: { begin: string; end: string }) {
    this.#begin = Buffer.from(marks.begin);
    this.#end = Buffer.from(marks.end);
  }

  /** What was between the marks, once the second one has come. */
  get content(): string | null {
    return this.#state === 'after' ? Buffer.concat(this.#parts).toString('latin1') : null;
  }

  /** What of the log is to be shown. */
  push(chunk: Buffer): Buffer {
    if (this.#state === 'after') return Buffer.alloc(0);
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const mark = this.#state === 'before' ? this.#begin : this.#end;
    const at = bytes.indexOf(mark);
    if (at === -1) {
      const cut = bytes.length - suffixThatBegins(bytes, mark);
      this.#held = Buffer.from(bytes.subarray(cut));
      return this.#pass(bytes.subarray(0, cut));
    }
    this.#held = Buffer.alloc(0);
    const before = this.#pass(bytes.subarray(0, at));
    this.#state = this.#state === 'before' ? 'within' : 'after';
    return Buffer.concat([before, this.push(bytes.subarray(at + mark.length))]);
  }

  /** What was held back, at the end of the log: what only looked like the beginning of a mark. */
  finish(): Buffer {
    const held = this.#held;
    this.#held = Buffer.alloc(0);
    return this.#state === 'before' ? held : Buffer.alloc(0);
  }

  #pass(bytes: Buffer): Buffer {
    if (this.#state === 'before') return bytes;
    this.#length += bytes.length;
    if (this.#length <= longest) this.#parts.push(Buffer.from(bytes));
    return Buffer.alloc(0);
  }
}

/** How many bytes at the end may be the beginning of the mark. */
function suffixThatBegins(bytes: Buffer, mark: Buffer): number {
  for (let length = Math.min(mark.length - 1, bytes.length); length > 0; length--) {
    if (bytes.subarray(bytes.length - length).equals(mark.subarray(0, length))) return length;
  }
  return 0;
}
