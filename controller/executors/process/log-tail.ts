import { statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { AttemptKey } from '../../core/run/types.ts';
import type { Clock } from '../../seams/clock.ts';
import type { LogSink } from '../../seams/executor.ts';
import { Masker } from '../masking.ts';
import { pause } from '../pause.ts';

const chunkBytes = 64 * 1024;
const retryMs = 1000;
/** How much of the end is kept to find the last line in. */
const endBytes = 2048;

export interface LogTailOptions {
  path: string;
  key: AttemptKey;
  sink: LogSink;
  secrets: readonly string[];
  /** First position that is not stored yet. */
  from: number;
  /** Most bytes to hand on; a notice then says that it was cut. */
  limit: number;
  clock: Clock;
  /** Aborted when nobody wants the log any more: nothing is handed on after that. */
  released: AbortSignal;
}

/**
 * Follows an attempt's log and hands it on, masked. Positions count masked bytes: masking depends on the bytes alone, so
 * a new controller reads the file from its beginning, gets the same stream and goes on where the last one stopped.
 */
export class LogTail {
  readonly #options: LogTailOptions;
  readonly #masker: Masker;
  #buffer: Buffer | null = null;
  #file: FileHandle | null = null;
  #read = 0;
  #shown = 0;
  #cut = false;
  #end: Buffer = Buffer.alloc(0);

  constructor(options: LogTailOptions) {
    this.#options = options;
    this.#masker = new Masker(options.secrets);
  }

  /** Hands on what is new. */
  async advance(): Promise<void> {
    while (!this.#cut && !this.#options.released.aborted) {
      const bytes = await this.#next();
      if (bytes === null) return;
      await this.#show(this.#masker.push(bytes));
    }
  }

  /** Hands on what is left, once nothing more can come. Returns the last line that is not empty. */
  async finish(): Promise<string | null> {
    // Most scripts print nothing: a look at the size costs a tenth of opening the file.
    if (this.#file === null && (statSync(this.#options.path, { throwIfNoEntry: false })?.size ?? 0) === 0) return null;
    try {
      await this.advance();
      if (!this.#cut) await this.#show(this.#masker.end());
    } finally {
      await this.close();
    }
    if (this.#cut) return null;
    return (
      this.#end
        .toString()
        .split('\n')
        .map((line) => line.trim())
        .findLast((line) => line !== '') ?? null
    );
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }

  async #next(): Promise<Buffer | null> {
    try {
      this.#file ??= await open(this.#options.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    this.#buffer ??= Buffer.allocUnsafe(chunkBytes);
    const { bytesRead } = await this.#file.read(this.#buffer, 0, chunkBytes, this.#read);
    this.#read += bytesRead;
    return bytesRead === 0 ? null : this.#buffer.subarray(0, bytesRead);
  }

  async #show(bytes: Buffer): Promise<void> {
    const room = this.#options.limit - this.#shown;
    for (let at = 0; at < Math.min(bytes.length, room); at += chunkBytes) {
      await this.#append(bytes.subarray(at, Math.min(at + chunkBytes, room)));
    }
    this.#end = Buffer.concat([this.#end, bytes.subarray(-endBytes)]).subarray(-endBytes);
    if (bytes.length <= room) return;
    this.#cut = true;
    await this.#append(
      Buffer.from(`\n[windlass] the log is cut here after ${this.#options.limit} bytes; the step runs on\n`),
    );
  }

  /** The store may be slow or away for a while; an end is reported only after its log, so this waits with it. */
  async #append(bytes: Buffer): Promise<void> {
    const { key, sink, from, clock, released } = this.#options;
    const position = this.#shown;
    this.#shown += bytes.length;
    const fresh = bytes.subarray(Math.max(0, from - position));
    if (fresh.length === 0) return;
    while (!released.aborted) {
      try {
        // A copy: the sink may keep it while the buffer is read into again.
        return await sink.append(key, this.#shown - fresh.length, Uint8Array.from(fresh));
      } catch {
        await pause(clock, retryMs, released);
      }
    }
  }
}
