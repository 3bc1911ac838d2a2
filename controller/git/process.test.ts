import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
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

test('however many are asked for, eight run at once; the others have their turn', async () => {
  const connected: Socket[] = [];
  const server = createServer((socket) => connected.push(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const git = createGitProcesses();
  const env = { PATH: process.env['PATH'] ?? '', GIT_ALLOW_PROTOCOL: 'git' };
  // Each waits for a server that says nothing until it is let go of.
  const command = { args: ['ls-remote', `git://127.0.0.1:${port}/x`], env, timeoutMs: 20_000, maxOutputBytes: 1000 };
  let done = 0;
  const all = Array.from({ length: 20 }, () => git.run(command).finally(() => done++));
  for (let seen = 0; seen < 20; seen++) {
    while (connected.length <= seen) await once(server, 'connection');
    expect(connected.length - done).toBeLessThanOrEqual(8);
    if (seen >= 7) connected[seen - 7]?.destroy();
  }
  for (const socket of connected) socket.destroy();
  await Promise.all(all);
  expect(connected).toHaveLength(20);
  server.close();
});
