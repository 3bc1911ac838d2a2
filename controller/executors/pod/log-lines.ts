/** Where a log was read up to: after `bytes` of the text of the `ordinal`-th line (from 1) with this timestamp. */
interface Mark {
  timestamp: string;
  ordinal: number;
  bytes: number;
  /** The line has ended. */
  whole: boolean;
}

const newline = 10;
const space = 32;
/** `2026-11-20T23:14:57.123456789+01:00` and not longer. */
const longestTimestamp = 40;
const timestampPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

/**
 * Reads the log of a container as the kubelet gives it with `timestamps=true`, and takes the timestamps off. After a cut
 * connection the log is read anew from the second of the last line (`sinceTime` knows no fractions), and what was seen
 * already is dropped by timestamp and ordinal: of lines with equal timestamps none is lost and none doubled.
 */
export class LogLines {
  #mark: Mark | null = null;
  /** The beginning of a line whose timestamp is not whole yet. */
  #prefix: Buffer = Buffer.alloc(0);
  #inText = false;
  /** What remains to be dropped after `resume`; null when nothing is. */
  #seen: Mark | null = null;
  /** Of the line that is read now: how much of its text still is to be dropped. */
  #drop = 0;
  #ordinal = 0;
  #gap = false;

  /** For `sinceTime`; null to read from the beginning. */
  get since(): string | null {
    return this.#mark === null ? null : this.#mark.timestamp;
  }

  /** Call before a new connection is read. */
  resume(): void {
    this.#seen = this.#mark;
    this.#prefix = Buffer.alloc(0);
    this.#inText = false;
    this.#drop = 0;
    this.#ordinal = 0;
  }

  /** True once after a connection whose first line is later than the last one seen: what lay between is lost. */
  takeGap(): boolean {
    const gap = this.#gap;
    this.#gap = false;
    return gap;
  }

  /** The text of what came. @throws Error when it is no log but the kubelet's excuse for having none. */
  push(chunk: Buffer): Buffer {
    const parts: Buffer[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (!this.#inText) at = this.#readPrefix(chunk, at);
      else {
        const end = chunk.indexOf(newline, at);
        const next = end === -1 ? chunk.length : end + 1;
        parts.push(this.#take(chunk.subarray(at, next)));
        if (end !== -1) this.#endLine();
        at = next;
      }
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }

  #readPrefix(chunk: Buffer, from: number): number {
    const end = chunk.indexOf(space, from);
    const cut = end === -1 ? chunk.length : end;
    this.#prefix = Buffer.concat([this.#prefix, chunk.subarray(from, cut)]);
    if (end === -1 && this.#prefix.length <= longestTimestamp) return chunk.length;
    const timestamp = this.#prefix.toString('latin1');
    if (!timestampPattern.test(timestamp)) {
      throw new Error(
        `the kubelet cannot read the log: ${this.#prefix.toString()}${chunk.subarray(cut).toString()}`.slice(0, 500),
      );
    }
    this.#prefix = Buffer.alloc(0);
    this.#beginLine(timestamp);
    return end + 1;
  }

  #beginLine(timestamp: string): void {
    this.#inText = true;
    const seen = this.#seen;
    if (seen === null) {
      const ordinal = this.#mark?.timestamp === timestamp ? this.#mark.ordinal + 1 : 1;
      this.#mark = { timestamp, ordinal, bytes: 0, whole: false };
      return;
    }
    const order = compareTimestamps(timestamp, seen.timestamp);
    if (order < 0) this.#drop = Number.POSITIVE_INFINITY;
    else if (order > 0) {
      if (this.#ordinal < seen.ordinal) this.#gap = true;
      this.#forgetSeen({ timestamp, ordinal: 1, bytes: 0, whole: false });
    } else {
      this.#ordinal++;
      if (this.#ordinal < seen.ordinal) this.#drop = Number.POSITIVE_INFINITY;
      else if (this.#ordinal === seen.ordinal) this.#drop = seen.whole ? Number.POSITIVE_INFINITY : seen.bytes;
      else this.#forgetSeen({ timestamp, ordinal: this.#ordinal, bytes: 0, whole: false });
    }
  }

  #forgetSeen(mark: Mark): void {
    this.#seen = null;
    this.#mark = mark;
  }

  #take(text: Buffer): Buffer {
    const fresh = text.subarray(Math.min(this.#drop, text.length));
    this.#drop = Math.max(0, this.#drop - text.length);
    if (this.#mark !== null && this.#drop === 0) {
      // The rest of a line that was cut off: from here on everything is new.
      if (this.#seen !== null && fresh.length > 0) this.#seen = null;
      if (this.#seen === null) this.#mark.bytes += fresh.length;
    }
    return fresh;
  }

  #endLine(): void {
    this.#inText = false;
    this.#drop = 0;
    if (this.#mark !== null && this.#seen === null) this.#mark.whole = true;
  }
}

/** By instant, to the nanosecond. A node writes all of them with one offset; when it changes (summer time), by what a date can hold. */
function compareTimestamps(a: string, b: string): number {
  const [, atA = a, fractionA = '', zoneA] = /^(.{19})(?:\.(\d+))?(.*)$/.exec(a) ?? [];
  const [, atB = b, fractionB = '', zoneB] = /^(.{19})(?:\.(\d+))?(.*)$/.exec(b) ?? [];
  if (zoneA !== zoneB) return Date.parse(a) - Date.parse(b);
  if (atA !== atB) return atA < atB ? -1 : 1;
  return Number(fractionA.padEnd(9, '0')) - Number(fractionB.padEnd(9, '0'));
}
