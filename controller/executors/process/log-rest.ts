import { open } from 'node:fs/promises';
import { Masker } from '../masking.ts';

const chunkBytes = 256 * 1024;

export interface LogRest {
  path: string;
  secrets: readonly string[];
  /** Position to begin at, in masked bytes. */
  from: number;
  /** Most bytes that the file may have, and the log as it is shown; a notice then says that it was cut. */
  limit: number;
  /** Told what is handed on, whether it is the log's true end or was cut. */
  seen(bytes: Buffer, cut: boolean): void;
  /** Aborted when nobody wants it any more: the stream breaks off then. */
  released: AbortSignal;
}

/**
 * The masked log of an attempt that has ended, from a position on. It reads the file from its beginning, as masking depends
 * on all bytes before: whoever asks again, another controller included, gets the same. @throws as the disk does
 */
export async function* restOfLog({ path, secrets, from, limit, seen, released }: LogRest): AsyncGenerator<Buffer> {
  const masker = new Masker(secrets);
  const file = await open(path);
  let read = 0;
  let shown = 0;
  const fresh = (bytes: Buffer): Buffer => {
    const kept = bytes.subarray(0, limit - shown);
    const skipped = Math.max(0, from - shown);
    shown += kept.length;
    return kept.subarray(skipped);
  };
  try {
    // The launcher counts in whole blocks.
    const most = Math.floor(limit / 512) * 512;
    for (;;) {
      released.throwIfAborted();
      // A new one each time: what was handed on may still wait to be written.
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, read);
      read += bytesRead;
      // At the limit the file may end inside a secret: what the masker still holds back is not shown then.
      const over = bytesRead === 0 && read < most;
      const bytes = bytesRead > 0 ? masker.push(buffer.subarray(0, bytesRead)) : over ? masker.end() : Buffer.alloc(0);
      const cut = bytes.length > limit - shown || (bytesRead === 0 && !over);
      const next = fresh(bytes);
      if (next.length > 0) {
        seen(next, false);
        yield next;
      }
      if (cut) {
        const notice = Buffer.from(`\n[windlass] the log is cut here after ${limit} bytes; the step ran on\n`);
        seen(notice, true);
        yield notice;
      }
      if (cut || bytesRead === 0) return;
    }
  } finally {
    await file.close();
  }
}
