import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lockDataDirectory } from './lock-file.ts';

describe('the lock of a data directory', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'windlass-lock-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  async function deadPid(): Promise<number> {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    return child.pid ?? 0;
  }

  test('it is held until it is given back', async () => {
    const unlock = await lockDataDirectory(directory);
    await expect(lockDataDirectory(directory)).rejects.toMatchObject({ name: 'DataDirectoryInUse', pid: process.pid });
    await unlock();
    expect(await readdir(directory)).toEqual([]);
    await (await lockDataDirectory(directory))();
  });

  test.each([
    ['of a process that has ended', async () => JSON.stringify({ pid: await deadPid(), started: '1' })],
    ['of a pid that was given to another process', async () => JSON.stringify({ pid: process.pid, started: '1' })],
    ['that is no lock at all', async () => 'garbage'],
    ['that is empty', async () => ''],
  ])('a lock %s is taken over', async (_what, content) => {
    await writeFile(join(directory, 'lock'), await content());
    const unlock = await lockDataDirectory(directory);
    expect(JSON.parse(await readFile(join(directory, 'lock'), 'utf8'))).toMatchObject({ pid: process.pid });
    await unlock();
  });

  test('of many that find a stale lock at once, one gets it', async () => {
    await writeFile(join(directory, 'lock'), JSON.stringify({ pid: await deadPid(), started: '1' }));
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => lockDataDirectory(directory)));
    expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1);
    expect(await readdir(directory)).toEqual(['lock']);
  });

  test('giving back a lock that another has taken meanwhile leaves it to that one', async () => {
    const unlock = await lockDataDirectory(directory);
    await writeFile(join(directory, 'lock'), 'another');
    await unlock();
    expect(await readFile(join(directory, 'lock'), 'utf8')).toBe('another');
  });
});
