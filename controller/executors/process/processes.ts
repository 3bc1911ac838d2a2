import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/**
 * When a process started, in the same form the launcher wrote it; null when there is none (or only its zombie is left).
 * A pid alone says nothing: it may be another's by now.
 */
export async function startOf(pid: number): Promise<string | null> {
  if (process.platform !== 'linux') {
    const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
    const found = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], { env }).catch(() => null);
    return found?.stdout.trim() || null;
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (stat === null) return null;
  // The name is in parentheses and may hold anything; what follows it is state (3rd field) up to start (22nd).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? null : (fields[19] ?? null);
}

/** Sends a signal to a process, or to a group by its negative id; false when there is nobody. */
export function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch (error) {
    // EPERM: somebody is there, though not ours to end (a setuid program).
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Finds processes by the attempt they carry in their environment, wherever they have gone. */
export class Carriers {
  #running: Promise<Map<string, number[]>> | null = null;
  #next: Promise<Map<string, number[]>> | null = null;

  /** Processes that carry `WINDLASS_ATTEMPT=<hash>`. Callers at the same time share one look at all processes. */
  async find(hash: string): Promise<number[]> {
    return (await this.#scan()).get(hash) ?? [];
  }

  /** A scan that begins after this call: one that is under way may have passed a process that has appeared since. */
  #scan(): Promise<Map<string, number[]>> {
    if (!this.#running) return this.#begin();
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  #begin(): Promise<Map<string, number[]>> {
    this.#next = null;
    this.#running = (process.platform === 'linux' ? scanProc() : scanPs()).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }
}

async function scanProc(): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>();
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const look = async (pid: string) => {
    // Unreadable: another user's, or gone.
    const environ = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
    add(found, /(?:^|\0)WINDLASS_ATTEMPT=([0-9a-f]+)(?:\0|$)/.exec(environ)?.[1], Number(pid));
  };
  await Promise.all(pids.map(look));
  return found;
}

async function scanPs(): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>();
  const options = { maxBuffer: 64 * 1024 * 1024 };
  const { stdout } = await promisify(execFile)('ps', ['-Eww', '-ax', '-o', 'pid=,command='], options);
  for (const line of stdout.split('\n')) {
    add(found, /\sWINDLASS_ATTEMPT=([0-9a-f]+)(?:\s|$)/.exec(line)?.[1], Number.parseInt(line, 10));
  }
  return found;
}

function add(found: Map<string, number[]>, hash: string | undefined, pid: number): void {
  if (hash === undefined || pid === process.pid) return;
  const pids = found.get(hash);
  if (pids) pids.push(pid);
  else found.set(hash, [pid]);
}
