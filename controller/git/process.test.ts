import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { createGitProcesses } from './process.ts';

/** Runs git after every file descriptor was taken; an error event nobody hears would end this process. */
const exhausted = `
import { openSync, closeSync } from 'node:fs';
const { createGitProcesses } = await import(${JSON.stringify(new URL('./process.ts', import.meta.url).href)});
const git = createGitProcesses();
const command = { args: ['--version'], env: { PATH: process.env.PATH }, timeoutMs: 10_000, maxOutputBytes: 1000 };
await git.run(command);
const taken = [];
try { for (;;) taken.push(openSync('/dev/null')); } catch {}
const failed = await git.run(command).catch((error) => error);
for (const file of taken) closeSync(file);
const again = await git.run(command);
console.log(JSON.stringify({ name: failed.name, message: failed.message, code: again.code }));
`;

test('a controller without a file descriptor left cannot start git, says so, and lives on', async () => {
  const limited = 'ulimit -n 64; exec "$0" --input-type=module -e "$1"';
  const { stdout } = await promisify(execFile)('sh', ['-c', limited, process.execPath, exhausted]);
  expect(JSON.parse(stdout)).toEqual({
    name: 'GitError',
    message: expect.stringMatching(/^Cannot start git: spawn git EMFILE\. The machine may be out of processes, files/),
    code: 0,
  });
});

test('a machine without git is told to install it', async () => {
  const missing = { args: ['--version'], env: { PATH: '/nonexistent' }, timeoutMs: 10_000, maxOutputBytes: 1000 };
  await expect(createGitProcesses().run(missing)).rejects.toThrow('Install git 2.31 or newer');
});
