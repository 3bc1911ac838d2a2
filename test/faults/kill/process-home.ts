import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attemptHash } from '../../../controller/executors/process/attempt-folder.ts';
import type { FaultHome, FaultHomeOptions } from './home.ts';
import { scenarios } from './scenarios.ts';

/** Attempts are processes, and each appends its name to a file, first of all. */
export async function openProcessHome({ directory, databaseUrl }: FaultHomeOptions): Promise<FaultHome> {
  const script = fileURLToPath(new URL('./controller.ts', import.meta.url));
  const dataDir = join(directory, '.windlass');
  const ledger = join(directory, 'ledger');
  const rooms = join(directory, 'rooms');
  await mkdir(rooms);
  await writeFile(ledger, '');
  return {
    command: { args: [script, dataDir, databaseUrl], env: process.env },
    scenarios: scenarios({ ledger, rooms }),
    lockers: ['lock', 'group'],
    rooms,
    effectOf: ({ runId, step, item, number }) => attemptHash({ runId, step, item, attempt: number }),
    effects: async () => (await readFile(ledger, 'utf8')).split('\n').filter((line) => line !== ''),
    outlives: true,
    living: () => livingProcesses(dataDir),
    async close() {
      for (const one of await livingProcesses(dataDir)) process.kill(Number(one.split(' ')[0]), 'SIGKILL');
    },
  };
}

/** The processes that an attempt of this home still has: pid and command. */
async function livingProcesses(dataDir: string): Promise<string[]> {
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
