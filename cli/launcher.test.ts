import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { version } from './version.ts';

const execute = promisify(execFile);
const launcher = join(import.meta.dirname, 'windlass.js');
const hostPath = (process.env['PATH'] ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes('node_modules'))
  .join(delimiter);
const hostNode = await execute('/usr/bin/env', ['node', '--version'], { env: { PATH: hostPath } }).then(
  ({ stdout }) => stdout.trim(),
  () => 'none',
);
const isOld = Number(/^v(\d+)/.exec(hostNode)?.[1] ?? 99) < 22;

let cwd = '';
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'windlass-launcher-'));
});
afterAll(async () => {
  await rm(cwd, { recursive: true, force: true });
});

const start = (node: string, path: string, argv: string[]) =>
  spawn('/usr/bin/env', [node, launcher, ...argv], {
    cwd,
    env: { PATH: path, HOME: cwd },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

describe.each([
  ['the Node of this test', process.execPath, true],
  [`the host's Node (${hostNode}; skipped unless it is older than 22)`, 'node', isOld],
])('under %s', (_, node, there) => {
  test.skipIf(!there)('prints its version, and hands on the exit code', async () => {
    const options = { cwd, env: { PATH: hostPath, HOME: cwd } };
    expect((await execute('/usr/bin/env', [node, launcher, '--version'], options)).stdout).toBe(`${version}\n`);
    await expect(execute('/usr/bin/env', [node, launcher, 'get', 'runs'], options)).rejects.toMatchObject({ code: 5 });
  });

  test.skipIf(!there)('a signal reaches the controller, which stops in order', async () => {
    await execute('git', ['init', '-q', '-b', 'main', 'repository'], { cwd });
    const child = start(node, hostPath, [
      'up',
      '--repo',
      'repository',
      '--branch',
      'main',
      '--port',
      '0',
      '--data',
      `data-${node === 'node'}`,
    ]);
    let printed = '';
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    for await (const chunk of child.stdout) {
      printed += String(chunk);
      if (/ at http:/.test(printed)) break;
    }
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
  });

  test.skipIf(!there)('a reader that goes away is no crash', async () => {
    const pipeline = `/usr/bin/env ${node} ${launcher} --help | head -1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await execute('bash', ['-c', pipeline], { cwd, env: { PATH: hostPath, HOME: cwd } });
    expect(stdout).toBe('Usage: windlass [options] [command]\n0\n');
    expect(stderr).toBe('');
  });
});
