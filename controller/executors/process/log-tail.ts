import { statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { AttemptKey } from '../../core/run/types.ts';
import type { ArtifactStore, StoredArtifact } from '../../seams/artifacts.ts';
import { type Clock, pause } from '../../seams/clock.ts';
import type { LogSink } from '../../seams/executor.ts';
import { Masker } from '../masking.ts';
import { restOfLog } from './log-rest.ts';

const chunkBytes = 64 * 1024;
const retryMs = 1000;
/** How much of the end is kept to find the last line in. */
const endBytes = 2048;
/** A character may lie across the border of what is handed on: it is whole in the rest. */
const overlapBytes = 3;
/** Of a notice at the end. */
const noticeBytes = 256;
/** An end waits so long for a place that does not take the rest of its log; the rest is given up then. */
const unkeptMs = 30_000;

export interface LogTailOptions {
  path: string;
  key: AttemptKey;
  sink: LogSink;
  secrets: readonly string[];
  /** First position that is not stored yet. */
  from: number;
  /** Most bytes to hand on while it runs; what is more goes to the artifacts at its end. */
  limit: number;
  /** Most bytes of the file and of what is kept in all; a notice then says that it was cut. */
  fileBytes: number;
  artifacts: Pick<ArtifactStore, 'put'>;
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
  /** There is more than is handed on. */
  #over = false;
  /** There was more than is kept at all: the last line is not known. */
  #cut = false;
  #end: Buffer = Buffer.alloc(0);

  constructor(options: LogTailOptions) {
    this.#options = options;
    this.#masker = new Masker(options.secrets);
  }

  /** Hands on what is new. */
  async advance(): Promise<void> {
    while (!this.#over && !this.#options.released.aborted) {
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
      if (!this.#over) await this.#show(this.#masker.end());
      if (this.#over) await this.#keepRest();
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
    // Told first: whoever reads up to the border then learns that there is more.
    if (bytes.length >= room && !this.#over) {
      this.#over = true;
      await this.#tell(null);
    }
    for (let at = 0; at < Math.min(bytes.length, room); at += chunkBytes) {
      await this.#append(bytes.subarray(at, Math.min(at + chunkBytes, room)));
    }
    this.#remember(bytes);
  }

  /** Keeps what was not handed on. What it says is the same however often it is done: by the next controller, too. */
  async #keepRest(): Promise<void> {
    const { path, secrets, fileBytes: limit, artifacts, clock, released } = this.#options;
    const seen = (bytes: Buffer, cut: boolean): void => {
      this.#cut = cut;
      this.#remember(bytes);
    };
    const begun = clock.now();
    while (!released.aborted) {
      try {
        const rest = restOfLog({ path, secrets, from: this.#border(), limit, seen, released });
        return await this.#tell(await artifacts.put(Readable.from(rest), limit + noticeBytes));
      } catch {
        // The end of a step matters more than all of its log.
        if (clock.now() - begun >= unkeptMs) return;
        await pause(clock, retryMs, released);
      }
    }
  }

  #border(): number {
    return Math.max(0, this.#options.limit - overlapBytes);
  }

  #remember(bytes: Buffer): void {
    this.#end = Buffer.concat([this.#end, bytes.subarray(-endBytes)]).subarray(-endBytes);
  }

  async #tell(rest: StoredArtifact | null): Promise<void> {
    const { key, sink } = this.#options;
    await this.#untilTaken(() => sink.overflow(key, this.#border(), rest));
  }

  async #append(bytes: Buffer): Promise<void> {
    const { key, sink, from } = this.#options;
    const position = this.#shown;
    this.#shown += bytes.length;
    const fresh = bytes.subarray(Math.max(0, from - position));
    if (fresh.length === 0) return;
    // A copy: the sink may keep it while the buffer is read into again.
    const at = this.#shown - fresh.length;
    await this.#untilTaken(() => sink.append(key, at, Uint8Array.from(fresh)));
  }

  /** The store may be slow or away for a while; an end is reported only after its log, so this waits with it. */
  async #untilTaken(give: () => Promise<void>): Promise<void> {
    const { clock, released } = this.#options;
    while (!released.aborted) {
      try {
        return await give();
      } catch {
        await pause(clock, retryMs, released);
      }
    }
  }
}
