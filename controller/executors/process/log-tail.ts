import { statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { ArtifactStore, StoredArtifact } from '../../seams/artifacts.ts';
import { pause } from '../../seams/clock.ts';
import { LogHandover, type LogHandoverOptions, retryMs } from '../log-handover.ts';
import { Masker } from '../masking.ts';
import { restOfLog } from './log-rest.ts';

const chunkBytes = 64 * 1024;
/** A character may lie across the border of what is handed on: it is whole in the rest. */
const overlapBytes = 3;
/** Of a notice at the end. */
const noticeBytes = 256;
/** An end waits so long for a place that does not take the rest of its log; the rest is given up then. */
const unkeptMs = 30_000;

export interface LogTailOptions extends LogHandoverOptions {
  path: string;
  secrets: readonly string[];
  /** Most bytes to hand on while it runs; what is more goes to the artifacts at its end. */
  limit: number;
  /** Most bytes of the file and of what is kept in all; a notice then says that it was cut. */
  fileBytes: number;
  artifacts: Pick<ArtifactStore, 'put'>;
}

/**
 * Follows an attempt's log and hands it on, masked. Positions count masked bytes: masking depends on the bytes alone, so
 * a new controller reads the file from its beginning, gets the same stream and goes on where the last one stopped.
 */
export class LogTail {
  readonly #options: LogTailOptions;
  readonly #masker: Masker;
  readonly #handover: LogHandover;
  #buffer: Buffer | null = null;
  #file: FileHandle | null = null;
  #read = 0;
  #shown = 0;
  /** There is more than is handed on. */
  #over = false;
  /** There was more than is kept at all: the last line is not known. */
  #cut = false;

  constructor(options: LogTailOptions) {
    this.#options = options;
    this.#masker = new Masker(options.secrets);
    this.#handover = new LogHandover(options);
  }

  /** Hands on what is new. */
  async advance(): Promise<void> {
    while (!this.#over && !this.#options.released.aborted) {
      const bytes = await this.#next();
      if (bytes === null) return;
      await this.#show(this.#masker.push(bytes));
    }
  }

  /** Hands on what is left, once nothing more can come. Returns the last line that is not empty, nor says nothing. */
  async finish(saysNothing?: RegExp): Promise<string | null> {
    // Most scripts print nothing: a look at the size costs a tenth of opening the file.
    if (this.#file === null && (statSync(this.#options.path, { throwIfNoEntry: false })?.size ?? 0) === 0) return null;
    try {
      await this.advance();
      if (!this.#over) await this.#show(this.#masker.end());
      if (this.#over) await this.#keepRest();
    } finally {
      await this.close();
    }
    return this.#cut ? null : this.#handover.lastLine(saysNothing);
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
    const kept = bytes.subarray(0, room);
    await this.#handover.give(this.#shown, kept);
    this.#shown += kept.length;
    this.#handover.remember(bytes);
  }

  /** Keeps what was not handed on. What it says is the same however often it is done: by the next controller, too. */
  async #keepRest(): Promise<void> {
    const { path, secrets, fileBytes: limit, artifacts, clock, released } = this.#options;
    const seen = (bytes: Buffer, cut: boolean): void => {
      this.#cut = cut;
      this.#handover.remember(bytes);
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

  async #tell(rest: StoredArtifact | null): Promise<void> {
    const { key, sink } = this.#options;
    await this.#handover.untilTaken(() => sink.overflow(key, this.#border(), rest));
  }
}
