import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DataDirectoryInUse } from './errors.ts';

/**
 * Takes the lock of a data directory; the embedded database has none, and two processes on it lose each other's writes.
 * A lock whose process is gone is taken over.
 * @returns a function that gives the lock back.
 * @throws DataDirectoryInUse while a live process holds it.
 */
export async function lockDataDirectory(directory: string): Promise<() => Promise<void>> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, 'lock');
  const own = `${path}.${randomUUID()}`;
  const text = `${JSON.stringify({ pid: process.pid, started: await startOf(process.pid) })}\n`;
  // Written beside it and linked into place: it exists whole or not at all, and only one link can win.
  await writeFile(own, text, { mode: 0o600 });
  try {
    while (!(await linked(own, path))) await clearStale(directory, path, own);
  } finally {
    await rm(own, { force: true });
  }
  return async () => {
    if ((await readIfThere(path)) === text) await rm(path, { force: true });
  };
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/**
 * Removes the lock of a dead process. Only who holds the marker may remove a lock, and only after reading it again:
 * otherwise a slow process could remove the lock of one that took over before it. @throws DataDirectoryInUse
 */
async function clearStale(directory: string, path: string, own: string): Promise<void> {
  const seen = await readIfThere(path);
  if (seen === null) return;
  const holder = await liveHolder(seen);
  if (holder !== null) throw new DataDirectoryInUse(directory, path, holder);
  const marker = `${path}.takeover`;
  if (await linked(own, marker)) {
    if ((await readIfThere(path)) === seen) await rm(path, { force: true });
    await rm(marker, { force: true });
    return;
  }
  const other = await readIfThere(marker);
  if (other !== null && (await liveHolder(other)) === null) await rm(marker, { force: true });
  else await setTimeout(10);
}

/** The pid in a lock if that very process is alive. */
async function liveHolder(text: string): Promise<number | null> {
  const holder = parse(text);
  return holder && (await startOf(holder.pid)) === holder.started ? holder.pid : null;
}

function parse(text: string): { pid: number; started: string } | null {
  try {
    const { pid, started } = JSON.parse(text) as { pid?: unknown; started?: unknown };
    return Number.isInteger(pid) && (pid as number) > 0 && typeof started === 'string'
      ? { pid: pid as number, started }
      : null;
  } catch {
    return null;
  }
}

/** When a process started, as text to compare; null when there is none. A pid alone may have been given to another. */
async function startOf(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    const stat = await readIfThere(`/proc/${pid}/stat`);
    // The name, in parentheses, may hold anything; the 20th field after it is the start, the first the state.
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields && fields[0] !== 'Z' ? (fields[19] ?? null) : null;
  }
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], { env: { LC_ALL: 'C' } });
    return stdout.trim() || null;
  } catch {
    return null;
  }
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ESRCH')) return null;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
