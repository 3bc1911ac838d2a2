import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** What the mirror holds. */
export async function packBytes(directory: string): Promise<{ bytes: number; packs: number }> {
  const folder = join(directory, 'objects', 'pack');
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.pack'));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
  return { bytes: sizes.reduce((sum, size) => sum + size, 0), packs: names.length };
}

/**
 * A git that was ended leaves half-written packs, which fill the disk, and lock files, at which the next one gives up; a
 * killed controller leaves credentials.
 */
export async function removeLeftovers(directory: string): Promise<void> {
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  const stale = names.filter((name) => /\.lock$|(^|\/)tmp_(pack|idx|rev|obj)_|^credentials-[^/]+$/.test(name));
  await Promise.all(stale.map((name) => rm(join(directory, name), { recursive: true, force: true })));
}
