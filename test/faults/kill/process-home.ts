import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attemptHash } from '../../../controller/executors/process/attempt-folder.ts';
import type { ControllerCommand } from './fleet.ts';
import type { SeenAttempt } from './history.ts';

/** A controller of a home of processes. */
export function processController(dataDir: string, databaseUrl: string): ControllerCommand {
  const script = fileURLToPath(new URL('./controller.ts', import.meta.url));
  return { args: [script, dataDir, databaseUrl], env: process.env };
}

/** What an attempt appends to the ledger. */
export function processEffect({ runId, step, item, number }: SeenAttempt): string {
  return attemptHash({ runId, step, item, attempt: number });
}

export async function readLedger(ledger: string): Promise<string[]> {
  return (await readFile(ledger, 'utf8')).split('\n').filter((line) => line !== '');
}

/** The processes that an attempt of this home still has: pid and command. */
export async function livingProcesses(dataDir: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const environment = await readFile(join('/proc', pid, 'environ'), 'utf8').catch(() => '');
    if (!environment.includes(`WINDLASS_OUTPUT=${dataDir}/`)) continue;
    const command = await readFile(join('/proc', pid, 'cmdline'), 'utf8').catch(() => '');
    found.push(`${pid} ${command.replaceAll('\0', ' ').slice(0, 80)}`);
  }
  return found;
}
