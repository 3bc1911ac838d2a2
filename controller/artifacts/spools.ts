import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../seams/clock.ts';

/** Nobody writes one file for so long: whoever did was killed. */
const abandonedMs = 24 * 3_600_000;

/** A directory for files that are still being written. */
export class Spools {
  readonly #directory: string;
  readonly #clock: Pick<Clock, 'now'>;
  #swept: Promise<void> | null = null;

  constructor(directory: string, clock: Pick<Clock, 'now'>) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /** Calls `use` with a path at which there is no file, and removes the file if it is still there afterwards. */
  async with<T>(use: (path: string) => Promise<T>): Promise<T> {
    // Each time: somebody may have cleared it away.
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    this.#swept ??= this.#sweep();
    await this.#swept;
    const path = join(this.#directory, randomUUID());
    try {
      return await use(path);
    } finally {
      await rm(path, { force: true });
    }
  }

  /** Removes what controllers that were killed have left; what cannot be looked at stays. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#directory).catch(() => [])) {
      const path = join(this.#directory, name);
      const found = await stat(path).catch(() => null);
      if (found === null || found.mtimeMs > this.#clock.now() - abandonedMs) continue;
      await rm(path, { force: true }).catch(() => {});
    }
  }
}
